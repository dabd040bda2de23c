package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lightningdb/lightning/bench/report"
	"github.com/lightningdb/lightning/bench/result"
)

// errRegressions ends the program with 1, without another word.
var errRegressions = errors.New("there are regressions")

// writeReports writes a run in all its forms, and the table to the terminal.
func writeReports(run *result.Run, dir string, stdout io.Writer) error {
	if err := run.Save(filepath.Join(dir, "result.json")); err != nil {
		return err
	}
	for _, form := range []struct {
		name  string
		write func(io.Writer, *result.Run) error
	}{
		{"report.txt", report.Text},
		{"report.md", report.Markdown},
		{"report.html", report.HTML},
		{"summary.svg", report.Summary},
	} {
		if err := writeFile(filepath.Join(dir, form.name), run, form.write); err != nil {
			return err
		}
	}
	if err := report.Text(stdout, run); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "\nwritten to %s: result.json, report.txt, report.md, report.html, summary.svg\n", dir)
	return err
}

func writeFile(path string, run *result.Run, write func(io.Writer, *result.Run) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f, run), f.Close())
}

// compare says how the second file differs from the first.
func compare(files []string, stdout io.Writer) error {
	older, err := result.Load(files[0])
	if err != nil {
		return err
	}
	newer, err := result.Load(files[1])
	if err != nil {
		return err
	}
	c, err := report.Compare(older, newer)
	if err != nil {
		return err
	}
	if err := c.Text(stdout); err != nil {
		return err
	}
	if c.Regressions() > 0 {
		return errRegressions
	}
	return nil
}

// rewrite writes the reports of several files as of one run.
func rewrite(o *options, stdout io.Writer) error {
	var runs []*result.Run
	for _, path := range o.files {
		run, err := result.Load(path)
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	merged, err := result.Merge(runs)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	return writeReports(merged, o.out, stdout)
}
