package commit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
)

// stressed is an Env that keeps the log, and looks whether the pipeline keeps its
// promises: one step of the leader at a time and one landing, in order, numbers without
// gaps or overlap, and nothing visible that is less durable than it asks.
type stressed struct {
	Pipeline
	t testing.TB

	inside  atomic.Bool // whether a step of the leader is under way
	step    string      // the last one of the group
	landing atomic.Bool // whether a step of a landing is under way
	flying  atomic.Int64
	log     []string // what was applied, in order
	applied atomic.Int64
	largest int // how many went together at most
	joined  int // how many groups joined others
	last    base.SeqNum
	// appended and hardened are how far the log was appended, and synced; visible what was
	// applied.
	appended, hardened atomic.Uint64
	visible            base.SeqNum
	// failed are the writes of groups that were to fail: who has put in one that
	// asks for it fails all that go with it.
	failed sync.Map
	// version counts the commits to what those with Reads read.
	version atomic.Uint64
}

// The first byte of a key says what becomes of it.
const (
	plainWrite = "."
	failsRoom  = "r"
	failsLog   = "l"
	failsApply = "a" // where the group was not in flight: after such a failure nothing goes on
	writesRead = "c" // what those with Reads read
)

var errConflict = errors.New("fake conflict")

func newStressed(t testing.TB) *stressed {
	s := &stressed{t: t}
	s.Init(Env{
		Clock: clock.System, Admit: admitAll, Validate: s.validate, Join: s.join, MakeRoom: s.makeRoom, WriteLog: s.writeLog,
		Append: s.append, Harden: s.harden, Apply: s.apply, Behind: never,
	})
	return s
}

// between are the steps with which a group may end.
var between = []string{"", "validate", "apply", "append", "failed", "alone"}

func (s *stressed) enter(step string, from ...string) (leave func()) {
	if s.inside.Swap(true) {
		s.t.Errorf("%s while another step is under way", step)
	}
	if len(from) > 0 && !slices.Contains(from, s.step) {
		s.t.Errorf("%s after %q", step, s.step)
	}
	s.step = step
	return func() { s.inside.Store(false) }
}

// grounded is enter for a step during which nothing may be in flight.
func (s *stressed) grounded(step string, from ...string) (leave func()) {
	if n := s.flying.Load(); n != 0 || s.landing.Load() {
		s.t.Errorf("%s with %d commits in flight", step, n)
	}
	return s.enter(step, from...)
}

func (s *stressed) land(step string) (leave func()) {
	if s.landing.Swap(true) {
		s.t.Errorf("%s while another landing is under way", step)
	}
	return func() { s.landing.Store(false) }
}

func (s *stressed) validate(r *Request, ahead []*Request) error {
	defer s.enter("validate", between...)()
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
			s.failed.Store(key, true)
		}
	}
	s.step = "failed"
	return errFake
}

func (s *stressed) join(g *Group) bool {
	defer s.enter("join", between...)()
	return g.First%7 != 0
}

func (s *stressed) makeRoom(g *Group) error {
	defer s.grounded("room", append([]string{"join"}, between...)...)()
	g.Large = g.First%5 == 0
	return s.fails(g, failsRoom)
}

func (s *stressed) writeLog(g *Group) error {
	defer s.grounded("log", "room")()
	if err := s.fails(g, failsLog); err != nil {
		return err
	}
	s.number(g)
	if g.Durability == Sync {
		s.hardened.Store(s.appended.Load())
	}
	runtime.Gosched() // so that others come meanwhile
	return nil
}

func (s *stressed) append(g *Group) error {
	joins := s.step == "join"
	defer s.enter("append", "room", "join")()
	if joins {
		s.joined++
	}
	if err := s.fails(g, failsLog); err != nil {
		return err
	}
	s.number(g)
	s.flying.Add(int64(g.Records))
	return nil
}

// number looks at the numbers of a group.
func (s *stressed) number(g *Group) {
	if g.First != s.last+1 || g.Last != s.last+base.SeqNum(g.Records) {
		s.t.Errorf("a group of %d has the numbers %s after %d", g.Records, span(*g), s.last)
	}
	s.last = g.Last
	s.largest = max(s.largest, len(g.Payloads))
	s.appended.Store(uint64(g.Last))
}

func (s *stressed) harden(d Durability) error {
	defer s.land("harden")()
	target := s.appended.Load()
	for range 3 {
		runtime.Gosched() // so that others come meanwhile
	}
	if d == Sync {
		s.hardened.Store(target)
	}
	return nil
}

func (s *stressed) apply(g *Group) error {
	if g.Flown {
		defer s.land("apply")()
		defer s.flying.Add(-int64(g.Records))
	} else {
		defer s.grounded("apply", "log")()
		if err := s.fails(g, failsApply); err != nil {
			s.visible = g.Last
			return err
		}
	}
	if g.First != s.visible+1 || g.Durability == Sync && base.SeqNum(s.hardened.Load()) < g.Last {
		s.t.Errorf("a group has the numbers %s after %d, and %d is durable", span(*g), s.visible, s.hardened.Load())
	}
	s.visible = g.Last
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
					if err := s.Alone(context.Background(), func() error { s.grounded("alone", between...)(); return errFake }); err != errFake {
						t.Errorf("alone: %v", err)
					}
				case 1, 2:
					if s.countUp(id, Durability(rng.IntN(3))) {
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
	if s.turn.Load() != turnFree || len(s.queue) > 0 || s.flights.count.Load() != 0 || s.flights.landing {
		t.Error("the pipeline is busy")
	}
	if s.visible != s.last {
		t.Errorf("%d is in the log, and %d visible", s.last, s.visible)
	}
	if s.largest < 3 || s.joined == 0 {
		t.Errorf("never more than %d commits went together, %d groups joined others: nothing was tested", s.largest, s.joined)
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
func (s *stressed) countUp(id string, d Durability) bool {
	reads := &view.ReadSet{Since: base.SeqNum(s.version.Load()), Reads: new(txn.Reads)}
	reads.Reads.AddSpan([]byte(writesRead), []byte(writesRead+"\xff"))
	reads.Reads.Freeze()
	err := s.Commit(context.Background(), batchOf(s.t, writesRead+id), d, reads)
	var conflict *txn.ConflictError
	if err != nil && err != errConflict && err != errFake && !errors.As(err, &conflict) {
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
			_, failed := s.failed.Load(w.keys[0])
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
	read := func(g *Group) error {
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
	}
	env := emptyEnv()
	env.WriteLog, env.Apply = read, read
	env.Append = func(g *Group) error { read(g); return nil }
	p.Init(env)
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
	if want := uint64(committers * each * (each - 1)); sum.Load() != want { // each is read twice
		t.Errorf("the log has a sum of %d, want %d", sum.Load(), want)
	}
}
