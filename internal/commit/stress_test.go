package commit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/view"
)

// stressed is an Env that keeps the log, and looks whether the pipeline keeps its
// promises: one step at a time, in order, and numbers without gaps or overlap.
type stressed struct {
	Pipeline
	t testing.TB

	inside  atomic.Bool // whether a step is under way
	step    string      // the last one of the group
	log     []string    // what was applied, in order
	applied atomic.Int64
	largest int // how many went together at most
	last    base.SeqNum
	// failed are the writes of groups that were to fail: who has put in one that
	// asks for it fails all that go with it.
	failed map[string]bool
	// version counts the commits to what those with Reads read.
	version atomic.Uint64
}

// The first byte of a key says what becomes of it.
const (
	plainWrite = "."
	failsRoom  = "r"
	failsLog   = "l"
	failsApply = "a"
	writesRead = "c" // what those with Reads read
)

var errConflict = errors.New("fake conflict")

func newStressed(t testing.TB) *stressed {
	s := &stressed{t: t, failed: map[string]bool{}}
	s.Init(Env{Admit: admitAll, Validate: s.validate, MakeRoom: s.makeRoom, WriteLog: s.writeLog, Apply: s.apply, Behind: never})
	return s
}

func (s *stressed) enter(step string, from ...string) (leave func()) {
	if s.inside.Swap(true) {
		s.t.Errorf("%s while another step is under way", step)
	}
	ok := len(from) == 0
	for _, f := range from {
		ok = ok || s.step == f
	}
	if !ok {
		s.t.Errorf("%s after %q", step, s.step)
	}
	s.step = step
	return func() { s.inside.Store(false) }
}

func (s *stressed) validate(r *Request, ahead []*Request) error {
	defer s.enter("validate", "", "validate", "apply", "failed", "alone")()
	version := base.SeqNum(s.version.Load())
	for _, other := range ahead {
		if keysOf(other.Batch.Bytes())[0][:1] == writesRead {
			version++
		}
	}
	if r.Reads.Since != version {
		return errConflict
	}
	return nil
}

// fails notes what goes down with a group where one of it asks for that.
func (s *stressed) fails(g *Group, kind string) error {
	asked := false
	for _, p := range g.Payloads {
		for _, key := range keysOf(p) {
			asked = asked || key[:1] == kind
		}
	}
	if !asked {
		return nil
	}
	for _, p := range g.Payloads {
		for _, key := range keysOf(p) {
			s.failed[key] = true
		}
	}
	s.step = "failed"
	return errFake
}

func (s *stressed) makeRoom(g *Group) error {
	defer s.enter("room", "", "validate", "apply", "failed", "alone")()
	return s.fails(g, failsRoom)
}

func (s *stressed) writeLog(g *Group) error {
	defer s.enter("log", "room")()
	if err := s.fails(g, failsLog); err != nil {
		return err
	}
	if g.First != s.last+1 || g.Last != s.last+base.SeqNum(g.Records) {
		s.t.Errorf("a group of %d has the numbers %s after %d", g.Records, span(*g), s.last)
	}
	s.last = g.Last
	s.largest = max(s.largest, len(g.Payloads))
	runtime.Gosched() // so that others come meanwhile
	return nil
}

func (s *stressed) apply(g *Group) error {
	defer s.enter("apply", "log")()
	if err := s.fails(g, failsApply); err != nil {
		return err
	}
	for _, p := range g.Payloads {
		keys := keysOf(p)
		s.log = append(s.log, keys...)
		if keys[0][:1] == writesRead {
			s.version.Add(1)
		}
	}
	s.applied.Store(int64(len(s.log)))
	return nil
}

// written is a commit as its committer has seen it: it took place between two
// lengths of the log.
type written struct {
	keys          []string
	before, after int64
	err           error
}

// TestStressIsATotalOrder has many goroutines commit, some of them alone, with
// conditions or so that a step fails. The log must then be one order of the commits
// that returned nil, each of them in one piece, and each after all that had returned
// before it began.
func TestStressIsATotalOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const committers, each = 24, 200
	s := newStressed(t)
	var wg sync.WaitGroup
	done := make([][]written, committers)
	var counted atomic.Uint64
	for c := range committers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(c)))
			for i := range each {
				id := fmt.Sprintf("%d-%d", c, i)
				switch rng.IntN(20) {
				case 0:
					if err := s.Alone(context.Background(), func() error { s.enter("alone", "", "validate", "apply", "failed", "alone")(); return errFake }); err != errFake {
						t.Errorf("alone: %v", err)
					}
				case 1, 2:
					if s.countUp(id) {
						counted.Add(1)
					}
				default:
					done[c] = append(done[c], s.writeSome(rng, id))
				}
			}
		})
	}
	wg.Wait()
	s.check(done)
	if counted.Load() != s.version.Load() || counted.Load() == 0 {
		t.Errorf("%d conditional commits returned nil, and %d were applied", counted.Load(), s.version.Load())
	}
	if s.turn.Load() != turnFree || len(s.queue) > 0 {
		t.Error("the pipeline is busy")
	}
	if s.largest < 3 {
		t.Errorf("never more than %d commits went together: nothing was tested", s.largest)
	}
}

// writeSome commits one key or a few, of any kind and durability.
func (s *stressed) writeSome(rng *rand.Rand, id string) written {
	kind := plainWrite
	switch rng.IntN(60) {
	case 0:
		kind = failsRoom
	case 1:
		kind = failsLog
	case 2:
		kind = failsApply
	}
	d := Durability(rng.IntN(3))
	w := written{before: s.applied.Load()}
	if rng.IntN(2) == 0 {
		w.keys = []string{kind + id}
		w.err = s.Set(nil, nil, []byte(w.keys[0]), nil, d)
	} else {
		for i := range 1 + rng.IntN(4) {
			w.keys = append(w.keys, fmt.Sprintf("%s%s-%d", kind, id, i))
		}
		w.err = s.Commit(context.Background(), batchOf(s.t, w.keys...), d, nil)
	}
	w.after = s.applied.Load()
	return w
}

// countUp commits on the condition that nobody else did since it looked.
func (s *stressed) countUp(id string) bool {
	reads := &view.ReadSet{Since: base.SeqNum(s.version.Load())}
	err := s.Commit(context.Background(), batchOf(s.t, writesRead+id), Async, reads)
	if err != nil && err != errConflict && err != errFake {
		s.t.Errorf("conditional commit: %v", err)
	}
	return err == nil
}

// check compares what the committers have seen with the log.
func (s *stressed) check(done [][]written) {
	place := map[string]int64{}
	for i, key := range s.log {
		if _, twice := place[key]; twice {
			s.t.Errorf("%s was applied twice", key)
		}
		place[key] = int64(i)
	}
	for _, commits := range done {
		last := int64(-1)
		for _, w := range commits {
			first, applied := place[w.keys[0]]
			failed := s.failed[w.keys[0]]
			if applied != (w.err == nil) || failed != (w.err == errFake) {
				s.t.Errorf("%q returned %v; applied: %v, failed: %v", w.keys, w.err, applied, failed)
				continue
			}
			if w.err != nil {
				continue
			}
			for i, key := range w.keys {
				if at, ok := place[key]; !ok || at != first+int64(i) {
					s.t.Errorf("%q is not in one piece", w.keys)
				}
			}
			if first < w.before || first >= w.after || first <= last {
				s.t.Errorf("%q is at %d; it was committed between %d and %d, after what is at %d",
					w.keys, first, w.before, w.after, last)
			}
			last = first
		}
	}
}

// A committer changes its batch as soon as the call is back, and the pipeline must
// not look at it any more. The race detector sees it where it does.
func TestBatchIsTheCallersAgain(t *testing.T) {
	var p Pipeline
	var sum atomic.Uint64
	p.Init(Env{
		Admit:    admitAll,
		Behind:   never,
		Validate: func(*Request, []*Request) error { return nil },
		MakeRoom: func(*Group) error { return nil },
		WriteLog: func(g *Group) error {
			for _, payload := range g.Payloads {
				r := batch.NewReader(payload)
				for {
					if ok, err := r.Next(); err != nil || !ok {
						break
					}
					sum.Add(binary.LittleEndian.Uint64(r.Value))
				}
			}
			return nil
		},
		Apply: func(*Group) error { return nil },
	})
	const committers, each = 8, 200
	var wg sync.WaitGroup
	for range committers {
		wg.Go(func() {
			var b batch.Batch
			for i := range uint64(each) {
				b.Reset()
				if err := b.Set(nil, []byte("k"), binary.LittleEndian.AppendUint64(nil, i)); err != nil {
					t.Error(err)
				}
				if err := p.Commit(context.Background(), &b, Durability(i%3), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if want := uint64(committers * each * (each - 1) / 2); sum.Load() != want {
		t.Errorf("the log has a sum of %d, want %d", sum.Load(), want)
	}
}
