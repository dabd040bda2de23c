package damage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
)

// An inspection opens a damaged database and asks it everything: each key by
// Get, all rows forwards and backwards. It has a deadline, catches panics and
// weighs what was allocated, for a database that hangs or takes all memory is
// as wrong as one that lies.
type inspection struct {
	specimen *specimen
	// mount gives the file system to look at, the same damage each time.
	mount func() (vfs.FS, error)
	fs    vfs.FS // the one that is looked at
	// damaged are the files of which an error must name one.
	damaged []string
	// folders are directories where files should be: an error that names one
	// need not match ErrCorrupted, for nothing that was stored is damaged.
	folders []string
	// allowed are the states that may be shown, the truth first.
	allowed []answers
	// scope is what is asked for. Answers that do not depend on the damaged
	// files must be right; they may not even be errors.
	scope scope
	whole bool // ask for all, and hold what is outside of scope to that
	write bool // open for writing, and open again
	// compact compacts everything in between: damage must not spread.
	compact bool
}

// outcome tells how an inspection ended well.
type outcome uint8

const (
	unharmed  outcome = iota // every answer was right
	partial                  // some answers said damage
	refusal                  // so did Open
	shortened                // the newest groups of the log are gone, excusably
	outcomes
)

func (o outcome) String() string {
	return [...]string{"unharmed", "with errors on read", "refused at open", "without the newest groups"}[o]
}

const (
	// maxHeapBytes is what one inspection may allocate: several times what it
	// takes without damage. Reads that fail take more, some 15 KiB each, as
	// nothing is cached. A length that is believed takes gigabytes.
	maxHeapBytes = 256 << 20
	// deadline is many thousand times what an inspection takes: a busy machine
	// is no hang.
	deadline = 5 * time.Minute
	// While an inspection lasts longer than lookEvery, the memory in use is
	// looked at, so that a runaway is reported before it takes the machine.
	lookEvery    = 200 * time.Millisecond
	maxLiveBytes = 2 << 30
)

// run does the inspection. What others allocate meanwhile is weighed with it, so
// only what is too much again and again counts.
func (in *inspection) run() (got outcome, err error) {
	allocated := uint64(0)
	for range 5 {
		fsys, err := in.mount()
		if err != nil {
			return 0, err
		}
		in.fs = fsys
		before := heapBytes()
		got, err = in.guarded()
		allocated = heapBytes() - before
		if err != nil || allocated <= maxHeapBytes {
			return got, err
		}
	}
	return got, fmt.Errorf("%d MiB were allocated", allocated>>20)
}

// guarded inspects on a goroutine of its own, so that neither a panic nor a
// hang ends the round without a word.
func (in *inspection) guarded() (outcome, error) {
	type result struct {
		outcome outcome
		err     error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			done <- r
		}()
		r.outcome, r.err = in.inspect()
	}()
	for {
		look, stop := context.WithTimeout(ctx, lookEvery)
		select {
		case r := <-done:
			stop()
			return r.outcome, r.err
		case <-look.Done():
			stop()
		}
		if n := readMetric("/memory/classes/heap/objects:bytes"); n > maxLiveBytes {
			return 0, fmt.Errorf("%d MiB are in use and no answer yet\n%s", n>>20, stacks())
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("no answer within %v\n%s", deadline, stacks())
		}
	}
}

// stacks tells what all goroutines are doing.
func stacks() []byte {
	b := make([]byte, 64<<10)
	return b[:runtime.Stack(b, true)]
}

// heapBytes is how much this process has allocated so far.
func heapBytes() uint64 { return readMetric("/gc/heap/allocs:bytes") }

func readMetric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (in *inspection) inspect() (outcome, error) {
	got, state, err := in.open(in.allowed)
	if err != nil || !in.write {
		return got, err
	}
	// Opening must have made nothing worse: what was refused still is, and what
	// was shown is shown again.
	allowed := in.allowed
	if got != refusal {
		allowed = []answers{state}
	}
	second := in
	if in.compact {
		second = in.afterCompaction()
	}
	again, _, err := second.open(allowed)
	switch {
	case err != nil:
		return got, fmt.Errorf("second open: %w", err)
	case (got == refusal) != (again == refusal):
		return got, fmt.Errorf("the first open was %v, the second %v", got, again)
	}
	return got, nil
}

// open opens the database once, compares it with the allowed states and closes
// it. It returns the state that was found.
func (in *inspection) open(allowed []answers) (outcome, answers, error) {
	options := in.specimen.options
	options.FS, options.ReadOnly = in.fs, !in.write
	db, err := lightning.Open(dir, &options)
	if err != nil {
		return refusal, nil, in.excuse("open", err)
	}
	var found outcome
	var state answers
	var wrong error
	for i := range allowed {
		state = allowed[i]
		if found, err = in.compare(db, state); err == nil {
			if i > 0 {
				found = shortened
			}
			wrong = nil
			break
		}
		wrong = errors.Join(wrong, err)
	}
	if wrong == nil && in.compact {
		if err := in.excuse("compact", db.Compact(context.Background(), nil, nil)); err != nil {
			wrong = err
		} else if _, err := in.afterCompaction().compare(db, state); err != nil {
			wrong = fmt.Errorf("after a compaction: %w", err)
		}
	}
	if wrong == nil {
		m := db.Metrics()
		if m.Memory.OffHeapBytes > options.MemoryBudget+8<<20 {
			wrong = fmt.Errorf("%d bytes in use outside of the heap", m.Memory.OffHeapBytes)
		}
	}
	return found, state, errors.Join(wrong, in.excuse("close", db.Close()))
}

// afterCompaction is the inspection of a tree that a compaction has changed:
// which answers depend on the damaged file is no longer known.
func (in *inspection) afterCompaction() *inspection {
	after := *in
	after.scope = in.specimen.truth().everything()
	return &after
}

var fileName = regexp.MustCompile(`[0-9]{6}\.(sst|wal|manifest)|CURRENT`)

// excuse returns nil for an error that says damage and where.
func (in *inspection) excuse(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case slices.ContainsFunc(in.folders, func(name string) bool { return strings.Contains(err.Error(), name) }):
		return nil
	case !errors.Is(err, lightning.ErrCorrupted):
		return fmt.Errorf("%s: %w", doing, err)
	}
	for _, name := range in.damaged {
		// A manifest that lost its end is an older one: then it is the files that
		// came and went since which do not fit.
		if strings.Contains(err.Error(), name) ||
			(kind(name) == kindManifest || kind(name) == kindCurrent) && fileName.MatchString(err.Error()) {
			return nil
		}
	}
	return fmt.Errorf("%s: the error names none of %v: %w", doing, in.damaged, err)
}

// space is what an inspection reads from: the database or a keyspace.
type space interface {
	GetFunc(key []byte, fn func(value []byte) error) error
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
}

// compare asks for everything in scope.
func (in *inspection) compare(db *lightning.DB, want answers) (outcome, error) {
	found := unharmed
	for i := range want {
		s, at := &want[i], in.scope[i]
		r, err := spaceOf(db, s.space)
		if err != nil {
			return 0, err
		}
		asked := at
		switch {
		case in.whole:
			asked = span{0, len(s.probes)}
		case at.from < at.to: // and the neighbours
			asked = span{max(at.from-1, 0), min(at.to+1, len(s.probes))}
		}
		damaged, err := in.gets(r, s, asked, at)
		if err != nil {
			return 0, err
		}
		for _, reverse := range []bool{false, true} {
			stopped, err := in.walk(r, s, asked, reverse)
			if err != nil {
				return 0, err
			}
			damaged = damaged || stopped
		}
		if damaged {
			found = partial
		}
	}
	return found, nil
}

// gets asks for each key.
func (in *inspection) gets(r space, s *spaceAnswers, asked, at span) (damaged bool, err error) {
	var p *probe
	check := func(value []byte) error {
		if !p.found || !bytes.Equal(value, p.value) {
			return fmt.Errorf("%s is %.40q, not %.40q (%v)", p.key, value, p.value, p.found)
		}
		return nil
	}
	for i := asked.from; i < asked.to; i++ {
		p = &s.probes[i]
		err := r.GetFunc(p.key, check)
		switch {
		case err == nil, err == lightning.ErrNotFound && !p.found:
		case i < at.from || i >= at.to:
			return false, fmt.Errorf("get of %q %s, which does not depend on %v: %w", s.space, p.key, in.damaged, err)
		default:
			if err := in.excuse(fmt.Sprintf("get of %q %s", s.space, p.key), err); err != nil {
				return false, err
			}
			damaged = true
		}
	}
	return damaged, nil
}

// walk compares the rows of a range, in one direction, up to the first error.
func (in *inspection) walk(r space, s *spaceAnswers, asked span, reverse bool) (stopped bool, err error) {
	if asked.from >= asked.to {
		return false, nil
	}
	it, err := r.Iterator(s.bounds(asked))
	if err != nil {
		return true, in.excuse("iterator", err)
	}
	next, ok := it.Next, false
	if reverse {
		next = it.Prev
		ok = it.Last()
	} else {
		ok = it.First()
	}
	wrong := func() error {
		for n := range asked.to - asked.from {
			p := &s.probes[asked.from+n]
			if reverse {
				p = &s.probes[asked.to-1-n]
			}
			if !p.found {
				continue
			}
			if !ok {
				if it.Err() == nil {
					return fmt.Errorf("the rows end before %s", p.key)
				}
				return nil
			}
			if !bytes.Equal(it.Key(), p.key) || !bytes.Equal(it.Value(), p.value) {
				return fmt.Errorf("%s: %.40q, not %s: %.40q", it.Key(), it.Value(), p.key, p.value)
			}
			ok = next()
		}
		if ok {
			return fmt.Errorf("%s: %.40q, which is not there", it.Key(), it.Value())
		}
		return nil
	}()
	if wrong != nil {
		wrong = fmt.Errorf("scan of %q, reverse %v: %w", s.space, reverse, wrong)
	}
	return it.Err() != nil, errors.Join(wrong, in.excuse("scan", it.Close()))
}
