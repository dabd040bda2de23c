// Package metamorph runs one history of operations under several option sets:
// block sizes, compression, budgets, durabilities, ways of closing and so on
// must not change a single answer. Every answer is also compared with that of
// the model, at once. Histories are made from seeds (Generate) without regard
// to the option sets; they hold iterators and snapshots across changes, batches
// that are built over a while, and everything else that a single goroutine can
// do with a database. What fails is cut down and printed as text, which
// script.Parse reads back.
//
// A round is one history, and for one goroutine; rounds may run beside each
// other.
package metamorph

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
)

// Suite makes rounds.
type Suite struct {
	// Dir is a directory on the disk of the machine, where one in four rounds
	// runs one of its option sets. Without it everything stays in memory.
	Dir string
}

// The number of operations of a history.
const (
	fewestOperations = 100
	mostOperations   = 900
)

// Round makes the history of a seed and runs it.
func (s Suite) Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	h := Generate(rng, fewestOperations+rng.IntN(mostOperations-fewestOperations))
	err := s.run(ctx, h, seed, everySet())
	var f *Failure
	if errors.As(err, &f) {
		return s.shrink(ctx, f)
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	tally.Add(ledger.Histories, sets)
	tally.Add(ledger.Operations, int64(sets*len(h)))
	return nil
}

func everySet() []int {
	var all []int
	for set := range sets {
		all = append(all, set)
	}
	return all
}

// run runs a history under some option sets. The error is a *Failure, or says
// why the disk cannot be used.
func (s Suite) run(ctx context.Context, h script.Script, seed uint64, under []int) error {
	want := expect(h)
	var first []step
	for i, set := range under {
		steps, err := s.runOne(ctx, plan{seed: seed, set: set}, h, want)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if i == 0 {
			first = steps
		}
		if at := firstDifference(first, steps); at >= 0 {
			return &Failure{Seed: seed, Script: h, sets: []int{under[0], set}, at: at,
				Err: fmt.Errorf("answers %+v under option set %d, and %+v here", first[at], under[0], steps[at])}
		}
	}
	return nil
}

// firstDifference returns the first step at which two transcripts differ, or -1.
func firstDifference(a, b []step) int {
	for at := range min(len(a), len(b)) {
		if a[at] != b[at] {
			return at
		}
	}
	return -1
}

// runOne runs a history under one option set.
func (s Suite) runOne(ctx context.Context, p plan, h script.Script, want [][]Line) ([]step, error) {
	if s.Dir != "" && p.seed%4 == 3 && p.set == int(p.seed/4%sets) {
		p.dir = filepath.Join(s.Dir, fmt.Sprintf("metamorph-%d", p.seed))
		defer clean(p.dir)
		if err := clean(p.dir); err != nil {
			return nil, fmt.Errorf("metamorph: %w", err)
		}
	}
	steps, err := run(p, h, want, func() bool { return ctx.Err() != nil })
	var f *fault
	if errors.As(err, &f) {
		return nil, &Failure{Seed: p.seed, Script: h, sets: []int{p.set}, at: f.at, Err: f.err}
	}
	return steps, nil
}

// clean removes a database on the disk, if there is one, and its backups.
func clean(dir string) error { return errors.Join(remove(dir), remove(dir+"-vault")) }

// remove removes a file, or a directory with all in it.
func remove(path string) error {
	names, err := vfs.OS.List(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil { // a file
		return vfs.OS.Remove(path)
	}
	for _, name := range names {
		if err := remove(filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return vfs.OS.Remove(path)
}

// Failure is a wrong answer.
type Failure struct {
	Seed   uint64
	Script script.Script // as short as it could be made
	Err    error
	sets   []int // the option sets that it takes; the last gave the answer
	at     int   // where in the history; its length for the end of the run
}

func (f *Failure) Error() string {
	var b strings.Builder
	set := f.sets[len(f.sets)-1]
	fmt.Fprintf(&b, "seed %d, option set %d (%v): ", f.Seed, set, settingsOf(f.Seed, f.opening())[set])
	if f.at < len(f.Script) {
		fmt.Fprintf(&b, "operation %d, %v: ", f.at+1, &f.Script[f.at])
	}
	fmt.Fprintf(&b, "%v\nThe %d operations:\n%v", f.Err, len(f.Script), f.Script)
	return b.String()
}

// opening returns the number of the settings that were in force.
func (f *Failure) opening() int {
	n := 0
	for i := range f.Script[:min(f.at+1, len(f.Script))] {
		switch o := &f.Script[i]; o.Kind {
		case script.Reopen:
			n = o.Count
		case script.ReadOnly:
			n = o.Count + 1
		}
	}
	return n
}

func (f *Failure) Unwrap() error { return f.Err }

// What shrinking may take: that many runs, and that long.
const (
	shrinkRuns = 2000
	shrinkTime = 2 * time.Minute
)

// shrink returns a failure of a history that is as short as it finds. It may be
// another failure than f. What never ends is not tried again.
func (s Suite) shrink(ctx context.Context, f *Failure) *Failure {
	if errors.Is(f, context.DeadlineExceeded) {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, shrinkTime)
	defer cancel()
	runs := 0
	try := func(h script.Script) bool {
		if runs++; runs > shrinkRuns || ctx.Err() != nil {
			return false
		}
		var shorter *Failure
		if !errors.As(s.run(ctx, h, f.Seed, f.sets), &shorter) {
			return false
		}
		f = shorter
		return true
	}
	if !try(f.Script) && !try(f.Script) && !try(f.Script) {
		f.Err = fmt.Errorf("%w (but not when run again)", f.Err)
		return f
	}
	// Whatever a commit waits for, the answers are the same.
	script.Shrink(f.Script, shrinkTime, try, func(o *script.Op) { o.Wait = 0 })
	return f
}
