// Package crash cuts the power. A script runs on the strict in-memory file
// system; before each operation of the file system that changes anything, the
// states are taken that a crash could leave there. Each is opened and must hold
// the history up to some commit: not before the last that was promised to be
// durable, not after the last that had begun. It must take a write, keep it over
// a clean close, and open again. Some of the recoveries are cut short by another
// crash, and those after them too.
//
// A run is safe to be judged by many goroutines, because the workers of the
// database reach the file system side by side; two runs share nothing.
package crash

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/model"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Config says how thoroughly a script is tormented.
type Config struct {
	Options lightning.Options // of every open, but for the file system
	// Seed chooses the states where there are too many to judge all.
	Seed uint64
	// PerOp is how many states are judged at an operation at most. Where there
	// are no more, all are.
	PerOp int
	// Stride makes only each so many-th operation a place to crash.
	Stride int64
	// Depth is how deep crashes go into recoveries from crashes; 1 means not.
	Depth int
	// Dive makes one in so many states crash again while it recovers, where
	// Depth allows it.
	Dive int
}

// nestedPerOp is PerOp inside recoveries.
const nestedPerOp = 2

type run struct {
	Config
	tally *ledger.Tally
	taken atomic.Uint64 // states, to choose those that dive

	mu  sync.Mutex
	err error // the first failure
}

// Run runs a script on a new file system and judges the crash states on the
// way. It adds them to the tally.
func Run(s script.Script, c Config, tally *ledger.Tally) error {
	r := &run{Config: c, tally: tally}
	fs := memfs.New()
	h := script.NewHistory(model.State{})
	r.crashAtOps(fs, h, c.PerOp, c.Depth, "")
	o := c.Options
	o.FS = fs
	session := script.NewSession(o)
	err := session.Open()
	for i := 0; i < len(s) && err == nil && r.failure() == nil; i++ {
		err = session.Run(&s[i], h)
	}
	if err == nil {
		err = session.Close()
	} else {
		_ = session.Close() // the first error is the one to report
	}
	if failure := r.failure(); failure != nil {
		return failure
	}
	if err != nil {
		return err
	}
	h.Acknowledge(&script.Op{Kind: script.SyncLog}) // as Close does
	r.judgeAll(fs, h, vfs.Op{}, c.PerOp, c.Depth, "")
	return r.failure()
}

func (r *run) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// crashAtOps makes every operation of fs a place to crash.
func (r *run) crashAtOps(fs *memfs.FS, h *script.History, perOp, depth int, where string) {
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) && op.N%max(r.Stride, 1) == 0 {
			r.judgeAll(fs, h, op, perOp, depth, where)
		}
		return nil
	})
}

// judgeAll judges the states that a crash before op could leave.
func (r *run) judgeAll(fs *memfs.FS, h *script.History, op vfs.Op, perOp, depth int, where string) {
	mark := h.Mark()
	states, complete := fs.CrashStates(perOp)
	if !complete {
		states = func(yield func(*memfs.FS) bool) {
			for i := range perOp {
				if !yield(fs.Crash(r.sample(op, i))) {
					return
				}
			}
		}
	}
	n := 0
	for state := range states {
		if r.failure() != nil {
			return
		}
		n++
		here := fmt.Sprintf("%scrash before %v, state %d: ", where, op, n)
		if err := r.judge(state, func() script.Allowed { return h.Since(mark) }, depth, here); err != nil {
			r.fail(fmt.Errorf("%s%w", here, err))
		}
	}
	r.tally.Add(ledger.States, int64(n))
}

// sample chooses one of the states at an operation with too many.
func (r *run) sample(op vfs.Op, i int) memfs.CrashOptions {
	rng := rand.New(rand.NewPCG(r.Seed^uint64(op.N), uint64(i)))
	o := memfs.CrashOptions{Seed: rng.Uint64(), Keep: memfs.KeepRandom, Stale: rng.IntN(2) == 0}
	switch rng.IntN(8) {
	case 0:
		o.Keep = memfs.KeepNone
	case 1:
		o.Keep = memfs.KeepAll
	}
	return o
}

func (r *run) judge(fs *memfs.FS, allowed func() script.Allowed, depth int, where string) error {
	if depth > 1 && r.Dive > 0 && r.taken.Add(1)%uint64(r.Dive) == 0 {
		r.dive(fs, allowed(), depth-1, where)
	}
	return script.Judge(fs, r.Options, allowed)
}

// dive opens a copy of a state and crashes at each operation of that recovery.
// What was allowed before it is allowed after it.
func (r *run) dive(fs *memfs.FS, allowed script.Allowed, depth int, where string) {
	fs = fs.Crash(memfs.CrashOptions{})
	h := script.HistoryOf(allowed)
	r.crashAtOps(fs, h, nestedPerOp, depth, where)
	o := r.Options
	o.FS = fs
	session := script.NewSession(o)
	// An open that fails is reported by whoever judges the state itself.
	_ = session.Open()
	_ = session.Close()
}
