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
	// Places and DivePlaces are how many places to crash a script and a recovery have at
	// most, by a longer stride; 0: as many as there are.
	Places, DivePlaces int64
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
	fs, stride := memfs.New(), c.Stride
	if c.Places > 0 {
		trial := memfs.New()
		ops, err := mutations(trial, func() error { return r.play(s, trial, script.NewHistory(model.State{})) })
		if err != nil {
			return err
		}
		stride = strideFor(c.Stride, ops, c.Places)
	}
	h := script.NewHistory(model.State{})
	r.crashAtOps(fs, h, place{perOp: c.PerOp, depth: c.Depth, stride: stride})
	err := r.play(s, fs, h)
	if failure := r.failure(); failure != nil {
		return failure
	}
	if err != nil {
		return err
	}
	h.Acknowledge(&script.Op{Kind: script.SyncLog}) // as Close does
	r.judgeAll(fs, h, vfs.Op{}, place{perOp: c.PerOp, depth: c.Depth})
	return r.failure()
}

// play runs a script on fs, from an open to a close.
func (r *run) play(s script.Script, fs *memfs.FS, h *script.History) error {
	o := r.Options
	o.FS = fs
	session := script.NewSession(o)
	err := session.Open()
	for i := 0; i < len(s) && err == nil && r.failure() == nil; i++ {
		err = session.Run(&s[i], h)
	}
	if closeErr := session.Close(); err == nil {
		err = closeErr
	}
	return err
}

// mutations counts the operations of fs that change anything while fn runs.
func mutations(fs *memfs.FS, fn func() error) (int64, error) {
	var n atomic.Int64
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) {
			n.Add(1)
		}
		return nil
	})
	defer fs.SetHook(nil)
	err := fn()
	return n.Load(), err
}

// strideFor returns a stride that makes no more than about so many of the operations
// places; 0 places are all.
func strideFor(stride, ops, places int64) int64 {
	if places == 0 {
		return stride
	}
	return max(stride, ops/places)
}

// place says where to crash, and how many states to judge there.
type place struct {
	perOp, depth   int
	stride, offset int64
	where          string // the crashes before it
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

// crashAtOps makes the operations of fs places to crash.
func (r *run) crashAtOps(fs *memfs.FS, h *script.History, p place) {
	var n atomic.Int64
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) && (n.Add(1)+p.offset)%max(p.stride, 1) == 0 {
			r.judgeAll(fs, h, op, p)
		}
		return nil
	})
}

// judgeAll judges the states that a crash before op could leave.
func (r *run) judgeAll(fs *memfs.FS, h *script.History, op vfs.Op, p place) {
	mark := h.Mark()
	states, complete := fs.CrashStates(p.perOp)
	if !complete {
		states = func(yield func(*memfs.FS) bool) {
			for i := range p.perOp {
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
		here := fmt.Sprintf("%scrash before %v, state %d: ", p.where, op, n)
		if err := r.judge(state, func() script.Allowed { return h.Since(mark) }, p.depth, here); err != nil {
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

// dive opens a copy of a state and crashes at the operations of that recovery, each time
// at others if not at all. What was allowed before it is allowed after it.
func (r *run) dive(fs *memfs.FS, allowed script.Allowed, depth int, where string) {
	p := place{perOp: nestedPerOp, depth: depth, stride: r.Stride, where: where}
	if r.DivePlaces > 0 {
		trial := fs.Crash(memfs.CrashOptions{})
		ops, _ := mutations(trial, func() error { return r.reopen(trial) })
		p.stride = strideFor(r.Stride, ops, r.DivePlaces)
		p.offset = int64(r.taken.Load())
	}
	fs = fs.Crash(memfs.CrashOptions{})
	r.crashAtOps(fs, script.HistoryOf(allowed), p)
	// An open that fails is reported by whoever judges the state itself.
	_ = r.reopen(fs)
}

// reopen opens what is on fs and closes it.
func (r *run) reopen(fs *memfs.FS) error {
	return r.play(nil, fs, nil)
}
