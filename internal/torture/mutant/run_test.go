//go:build mutants

package mutant

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The runner. Each mutant is a subtest: its suites run against the mutated
// source, and one of them must fail. A mutant that does not compile is an error
// of the list. Before a suite counts, it has to pass without a mutant. With
// -parallel 1 the mutants run one after the other.

var tablePath = flag.String("table", "", "write the outcomes to this file, as a table in Markdown")

// suiteTimeout ends a suite that a mutant makes hang; sound ones take seconds.
const suiteTimeout = "120s"

// verdict is what came of one mutant.
type verdict struct {
	mutant   Mutant
	file     string
	killedBy string // empty: it survived
	err      error  // of the list
}

type board struct {
	mu       sync.Mutex
	verdicts []verdict
	sound    map[string]func() error // suites without a mutant, run once each
}

func TestMutants(t *testing.T) {
	repository, sources := rootDir(t), sourcesOf(t)
	b := &board{sound: map[string]func() error{}}
	t.Cleanup(func() { b.conclude(t) }) // after the parallel subtests
	for _, m := range mutants(t) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			mutated, err := sources.mutate(&m)
			if err != nil {
				t.Fatalf("lists/%s: %v", m.Place, err)
			}
			v := verdict{mutant: m, file: mutated.site.in.file.name}
			v.killedBy, v.err = b.judge(repository, m, mutated, t.TempDir())
			switch {
			case v.err != nil:
				t.Errorf("cannot be judged: %v", v.err)
			case v.killedBy == "":
				t.Errorf("SURVIVED in %s; nothing tests that %s", v.file, m.Breaks)
			default:
				t.Logf("killed by %s", v.killedBy)
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.verdicts = append(b.verdicts, v)
		})
	}
}

// judge runs the suites of a mutant until one fails, and names that.
func (b *board) judge(repository string, m Mutant, mutated *mutation, dir string) (string, error) {
	overlay, err := writeOverlay(repository, mutated, dir)
	if err != nil {
		return "", err
	}
	for _, s := range m.Suites {
		if err := b.checkSound(repository, s); err != nil {
			return "", err
		}
		failed, _, err := runSuite(repository, s, "-overlay="+overlay)
		if failed != "" || err != nil {
			return failed, err
		}
	}
	return "", nil
}

// writeOverlay tells the compiler to take the mutated text for the file.
func writeOverlay(repository string, m *mutation, dir string) (string, error) {
	f := m.site.in.file
	mutated := filepath.Join(dir, path.Base(f.name))
	overlay := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(repository, filepath.FromSlash(f.name)): mutated,
	}})
	return overlay, errors.Join(err, os.WriteFile(mutated, []byte(m.change.apply(f.text)), 0o600),
		os.WriteFile(overlay, text, 0o600))
}

// checkSound runs a suite without a mutant, the first time it is asked.
func (b *board) checkSound(repository string, s Suite) error {
	b.mu.Lock()
	run, ok := b.sound[s.String()]
	if !ok {
		run = sync.OnceValue(func() error {
			failed, count, err := runSuite(repository, s)
			switch {
			case err != nil:
				return err
			case failed != "":
				return fmt.Errorf("suite %v fails without a mutant: %s", s, failed)
			case count == 0:
				return fmt.Errorf("suite %v has no tests", s)
			}
			return nil
		})
		b.sound[s.String()] = run
	}
	b.mu.Unlock()
	return run()
}

// event is a line of `go test -json`.
type event struct{ Action, Package, Test, Output, FailedBuild string }

// runSuite returns the first test that failed, and how many were begun.
func runSuite(repository string, s Suite, args ...string) (failed string, count int, err error) {
	args = append([]string{"test", "-json", "-vet=off", "-failfast", "-count=1", "-p=1",
		"-timeout=" + suiteTimeout, "-run=" + s.Run}, append(args, s.Args...)...)
	cmd := exec.Command("go", append(args, s.Package)...)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "RAPID_NOFAILFILE=true") // a mutant's finds are no regressions to keep
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", 0, err
	}
	failed, count, err = outcome(out)
	_, drainErr := io.Copy(io.Discard, out)
	waitErr := cmd.Wait()
	switch {
	case err != nil || drainErr != nil:
		return "", 0, errors.Join(err, drainErr)
	case waitErr != nil && failed == "":
		return "", 0, fmt.Errorf("%w: %s", waitErr, stderr.String())
	}
	return failed, count, nil
}

// outcome reads the events of a run.
func outcome(out io.Reader) (failed string, count int, err error) {
	var build strings.Builder
	how, running := "", ""
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // what a program prints is not ours
		}
		switch {
		case e.Action == "build-output":
			build.WriteString(e.Output)
		case e.FailedBuild != "" || e.Action == "build-fail":
			err = fmt.Errorf("does not compile: %s", build.String())
		case e.Action == "run" && e.Test != "":
			count++
			running = e.Test
		case e.Action == "output" && strings.HasPrefix(e.Output, "panic: test timed out"):
			how = " (timeout)"
		case e.Action == "output" && how == "" &&
			(strings.HasPrefix(e.Output, "panic: ") || strings.HasPrefix(e.Output, "fatal error: ")):
			how = " (panic)"
		case e.Action == "fail" && failed == "":
			failed = room(e.Package) + " " + cmp.Or(e.Test, running) + how
		}
	}
	return failed, count, errors.Join(err, lines.Err())
}

// room names a package by its place in the repository.
func room(pkg string) string {
	name := strings.TrimPrefix(pkg, "github.com/lightningdb/lightning")
	return cmp.Or(strings.TrimPrefix(name, "/"), "lightning")
}

// conclude prints the score and writes the table.
func (b *board) conclude(t *testing.T) {
	slices.SortFunc(b.verdicts, func(x, y verdict) int {
		return cmp.Or(cmp.Compare(x.file, y.file), cmp.Compare(x.mutant.Name, y.mutant.Name))
	})
	var table strings.Builder
	table.WriteString("| mutant | file | breaks | killed by |\n|---|---|---|---|\n")
	killed := 0
	for _, v := range b.verdicts {
		by := v.killedBy
		if by == "" {
			by = "**survived**"
		} else {
			killed++
		}
		fmt.Fprintf(&table, "| %s | `%s` | %s | %s |\n", v.mutant.Name, v.file, v.mutant.Breaks, by)
	}
	t.Logf("%d of %d mutants killed", killed, len(b.verdicts))
	if *tablePath == "" {
		return
	}
	if err := os.WriteFile(*tablePath, []byte(table.String()), 0o644); err != nil {
		t.Error(err)
	}
}
