package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/measure"
	"github.com/lightningdb/lightning/bench/result"
	"github.com/lightningdb/lightning/bench/session"
	"github.com/lightningdb/lightning/bench/suite"
	"github.com/lightningdb/lightning/internal/workload"
)

// measureAll measures everything that is wanted, engines in turns, and writes
// the reports: also of what there is when it is interrupted or an engine fails.
func measureAll(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	dir, cleanUp, err := dataDir(o.dir)
	if err != nil {
		return err
	}
	defer cleanUp()
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	run := describe(o, dir)
	p := newProgress(stderr)
	measureErr := runSessions(ctx, o, dir, run, p)
	p.clear()
	run.Ended = time.Now().UTC()
	if len(run.Rows) == 0 {
		return measureErr
	}
	return errors.Join(measureErr, writeReports(run, o.out, stdout))
}

// dataDir returns the directory for the databases, and what removes it.
func dataDir(path string) (dir string, cleanUp func(), err error) {
	if path == "" {
		dir, err = os.MkdirTemp("", "lightning-bench-")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return path, func() { _ = os.Remove(path) }, os.MkdirAll(path, 0o755)
	case err != nil:
		return "", nil, err
	case len(entries) > 0:
		return "", nil, fmt.Errorf("the data directory %s is not empty", path)
	}
	return path, func() {}, nil
}

// describe returns a run without rows.
func describe(o *options, dir string) *result.Run {
	c := &o.config
	run := &result.Run{
		Format: result.FormatVersion, Command: command(os.Args[1:]), Began: time.Now().UTC(),
		Host: measure.Host(dir),
		Config: result.Config{
			Records: c.Records, KeyBytes: workload.KeyBytes, ValueBytes: c.ValueBytes, Goroutines: c.Goroutines,
			MemoryBytes: c.MemoryBytes, Durability: string(c.Durability), Repeats: o.repeats,
			WarmUpS: c.WarmUp.Seconds(), TimeS: c.Time.Seconds(),
		},
	}
	for _, name := range o.engines {
		e, _ := engine.Lookup(name) // checked before
		run.Engines = append(run.Engines, result.Engine{
			Name: name, Version: e.VersionString(), Tuning: e.Tuning, Memory: e.Memory,
		})
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				run.Commit = s.Value
			}
		}
	}
	return run
}

// command returns what gets the same run again. Where the files lie does not
// belong to it.
func command(args []string) string {
	words := []string{"go run"}
	if tags := engine.Tags(); tags != "" {
		words = append(words, "-tags "+tags)
	}
	words = append(words, ".")
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if name == "dir" || name == "out" {
			if !joined {
				i++
			}
			continue
		}
		words = append(words, args[i])
	}
	return strings.Join(words, " ")
}

// runSessions goes through repeats, groups and engines, in this order, so that
// the engines take turns in everything; each repeat begins with another one.
func runSessions(ctx context.Context, o *options, dir string, run *result.Run, p *progress) error {
	groups := slices.DeleteFunc(suite.Groups(), func(g suite.Group) bool { return !g.Wanted(o.workloads) })
	p.total = o.repeats * len(groups) * len(o.engines)
	for repeat := 1; repeat <= o.repeats; repeat++ {
		for _, g := range groups {
			for i := range o.engines {
				name := o.engines[(i+repeat-1)%len(o.engines)]
				e, err := engine.Lookup(name)
				if err != nil || !g.TakesPart(e) || g.Once && repeat > 1 {
					p.done++
					continue
				}
				p.next(fmt.Sprintf("repeat %d of %d, %s", repeat, o.repeats, name))
				s := session.Session{
					Engine: name, Group: g, Workloads: o.workloads, Config: o.config,
					Dir:      session.NewDir(dir, name, g.Name, repeat),
					Progress: p.show,
					Row: func(row result.Row) error {
						row.Repeat = repeat
						run.Rows = append(run.Rows, row)
						// What is measured is kept, whatever happens next.
						return run.Save(filepath.Join(o.out, "result.json"))
					},
				}
				if err := s.Run(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
