package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/torture/process"
)

// TestMain makes the test binary serve as the program for the scripts.
func TestMain(m *testing.M) {
	process.Child()
	testscript.Main(leakChecked{m}, map[string]func(){"lightning": main})
}

// leakChecked are tests that fail when they leave goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int { return leak.Run(m.M) }

// runScripts runs the scripts of one sub-command. Beside what testscript
// brings they have:
//
//	status N ARGS...       run lightning with ARGS, which must exit with N
//	closed-stdout ARGS...  run lightning with a standard output nobody reads:
//	                       it must exit with 0 and say nothing
//	mask FILE              print a file, or stdout, with # for what differs
//	                       from run to run
//	repeat NAME N          set a variable to N times the letter x
//	peak-at-most N         the peak memory that stdout tells of is at most N MiB
func runScripts(t *testing.T, command string) {
	t.Helper()
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script", command),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status":        scriptStatus,
			"closed-stdout": scriptClosedStdout,
			"mask":          scriptMask,
			"repeat":        scriptRepeat,
			"peak-at-most":  scriptPeakAtMost,
		},
	})
}

func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: status N ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("lightning", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if stderr := ts.ReadFile("stderr"); want != exitOK && strings.Count(stderr, "\n") != 1 {
		ts.Fatalf("an error must be one line on stderr")
	}
}

func scriptPeakAtMost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: peak-at-most N")
	}
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	found := regexp.MustCompile(`peak resident memory: (\d+) MiB`).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("stdout does not tell the peak memory")
	}
	if peak, err := strconv.Atoi(found[1]); err != nil || peak > most {
		ts.Fatalf("peak of %s MiB, want at most %d", found[1], most)
	}
}

func scriptClosedStdout(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: closed-stdout ARGS...")
	}
	program, err := findProgram(ts.Getenv("PATH"))
	ts.Check(err)
	reader, writer, err := os.Pipe()
	ts.Check(err)
	ts.Check(reader.Close())
	defer writer.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout = writer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		ts.Fatalf("%v: %s", err, stderr.Bytes())
	}
}

// findProgram finds lightning in the script's own path.
func findProgram(path string) (program string, err error) {
	for _, dir := range filepath.SplitList(path) {
		if program, err = exec.LookPath(filepath.Join(dir, "lightning")); err == nil {
			return program, nil
		}
	}
	return "", err
}

var (
	// varying matches times, rates and sizes, with the blanks that align them,
	// the names of temporary directories, and how far the tour's writer came.
	varying = regexp.MustCompile(
		`( ?) *([0-9.,]+ (ns|µs|ms|s|B|KiB|MiB|GiB|[KM]/s)\b|[0-9.]+/s\b|/\S*lightning-(tour|bench)-[0-9]+` +
			`|\b[0-9,]+ acknowledged|\b[0-9,]+ found)`)
	// occasional matches what is not always there.
	occasional = regexp.MustCompile(` \([0-9]+ not yet acknowledged\)`)
)

func scriptMask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mask FILE")
	}
	text := occasional.ReplaceAllString(ts.ReadFile(args[0]), "")
	_, err := ts.Stdout().Write([]byte(varying.ReplaceAllString(text, "$1#")))
	ts.Check(err)
}

func scriptRepeat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: repeat NAME N")
	}
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Setenv(args[0], strings.Repeat("x", count))
}
