package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/result"
	"github.com/lightningdb/lightning/bench/session"
	"github.com/lightningdb/lightning/bench/suite"
)

// The test binary is also the child of its sessions.
func TestMain(m *testing.M) {
	session.Child()
	os.Exit(m.Run())
}

func TestBadArguments(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(full, "precious")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-engines", "oracle"}, `no engine "oracle"; there are lightning, `},
		{[]string{"-workloads", "get-rich"}, `no workload "get-rich"; there are load-random, `},
		{[]string{"-quick", "-dir", full}, "is not empty"},
		{[]string{"-quick", "-full"}, "exclude each other"},
		{[]string{"-records", "3"}, "at least 1000 records"},
		{[]string{"-durability", "perhaps"}, "async or sync"},
		{[]string{"-time", "never"}, "-time"},
		{[]string{"-time", "-3s"}, "must be positive"},
		{[]string{"-repeats", "-1"}, "at least 1"},
		{[]string{"-frobnicate"}, "not defined"},
		{[]string{"more"}, `unexpected argument "more"`},
		{[]string{"-compare", "one"}, "two files"},
		{[]string{"-compare", "missing.json", "missing.json"}, "missing.json"},
		{[]string{"-report"}, "one file or more"},
		{[]string{"-report", broken}, "is no result of this program"},
	} {
		err := run(t.Context(), c.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", c.args, err)
		}
	}
	if _, err := os.Stat(broken); err != nil {
		t.Errorf("the data directory was touched: %v", err)
	}
	if err := run(t.Context(), []string{"-help"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Error(err)
	}
}

// An engine that is not built in is asked for with a hint.
func TestOptionalEngines(t *testing.T) {
	for _, name := range []string{"lmdb", "rocksdb"} {
		if _, err := engine.Lookup(name); err != nil && !strings.Contains(err.Error(), "-tags "+name) {
			t.Error(err)
		}
	}
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-list"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, word := range append(suite.Names(), engine.Names()...) {
		if !strings.Contains(out.String(), "  "+word+" ") {
			t.Errorf("-list does not have %s", word)
		}
	}
}

// tiny is a run of two engines on next to no data, through child processes.
func tiny(t *testing.T, more ...string) (*result.Run, string) {
	t.Helper()
	out := t.TempDir()
	args := append([]string{
		"-quick", "-records", "2000", "-time", "5ms", "-warm-up", "1ms", "-sustained", "1s", "-out", out,
		"-engines", "lightning,bbolt", "-repeats", "2",
	}, more...)
	if err := run(t.Context(), args, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	got, err := result.Load(filepath.Join(out, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	return got, out
}

func TestRunAndReports(t *testing.T) {
	got, out := tiny(t, "-workloads", "load-random,get-hot,delete-half,open-killed,cold-get-1,put-1KiB")
	if len(got.Rows) != 6*2*2 {
		t.Errorf("%d rows", len(got.Rows))
	}
	for _, row := range got.Rows {
		if row.Operations == 0 || row.Seconds <= 0 || row.Repeat == 0 {
			t.Errorf("%+v", row)
		}
	}
	if got.Rows[0].Engine != "lightning" || got.Rows[len(got.Rows)-1].Engine != "lightning" {
		t.Error("the second repeat does not begin with another engine")
	}
	for _, e := range got.Engines {
		if e.Version == "" || e.Tuning == "" || e.Memory == "" {
			t.Errorf("%+v", e)
		}
	}
	for _, name := range []string{"report.txt", "report.md", "report.html", "summary.svg"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(b) < 500 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	file := filepath.Join(out, "result.json")
	if err := run(t.Context(), []string{"-compare", file, file}, io.Discard, io.Discard); err != nil {
		t.Errorf("a run against itself: %v", err)
	}
	slower := *got
	slower.Rows = nil
	for _, row := range got.Rows {
		row.Seconds *= 30
		slower.Rows = append(slower.Rows, row)
	}
	worse := filepath.Join(out, "worse.json")
	if err := slower.Save(worse); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"-compare", file, worse}, io.Discard, io.Discard); !errors.Is(err, errRegressions) {
		t.Errorf("30 times slower: %v", err)
	}
	merged := filepath.Join(t.TempDir(), "merged")
	if err := run(t.Context(), []string{"-out", merged, "-report", file, file}, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	if both, err := result.Load(filepath.Join(merged, "result.json")); err != nil || len(both.Rows) != 2*len(got.Rows) {
		t.Errorf("the report of two runs: %v", err)
	}
}

// What was measured before an interruption is kept, and nothing is left behind.
func TestInterrupted(t *testing.T) {
	out, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o, err := parse([]string{"-quick", "-engines", "lightning", "-dir", data, "-out", out}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	watch := writerFunc(func(b []byte) (int, error) {
		if bytes.Contains(b, []byte("2/")) { // the second session
			cancel()
		}
		return len(b), nil
	})
	if err := measureAll(ctx, o, io.Discard, watch); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if got, err := result.Load(filepath.Join(out, "result.json")); err != nil || len(got.Rows) == 0 {
		t.Errorf("nothing was kept: %v", err)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory is still there: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestCommandLeavesOutPlaces(t *testing.T) {
	got := command([]string{"-quick", "-dir", "/secret", "-out=/hidden", "-engines", "lightning"})
	if !strings.HasPrefix(got, "go run ") || !strings.HasSuffix(got, " . -quick -engines lightning") {
		t.Error(got)
	}
}
