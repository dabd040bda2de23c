// Bench compares Lightning DB with other embedded databases: the same work on
// every engine, in one run, with every answer checked.
//
//	go run . -quick
//	go run . -full
//
// README.md beside this file says what there is and how it is done.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/session"
	"github.com/lightningdb/lightning/bench/suite"
)

func main() {
	session.Child()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errRegressions):
		os.Exit(1)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	}
}

// run does what the arguments say.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	switch {
	case o.list:
		return list(stdout)
	case o.compare:
		return compare(o.files, stdout)
	case o.report:
		return rewrite(o, stdout)
	}
	return measureAll(ctx, o, stdout, stderr)
}

// list prints what there is to choose from.
func list(w io.Writer) error {
	fmt.Fprintln(w, "Engines:")
	for _, name := range engine.Names() {
		e, err := engine.Lookup(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %-12s %s; memory: %s\n", name, e.Tuning, e.Memory)
	}
	for _, line := range engine.Missing() {
		fmt.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprintln(w, "\nWorkloads:")
	for _, g := range suite.Groups() {
		for _, p := range g.Phases {
			for _, wl := range p.Workloads {
				fmt.Fprintf(w, "  %-20s %s\n", wl.Name, wl.What)
			}
		}
	}
	return nil
}

// splitList splits a comma-separated list; "" is no list.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
