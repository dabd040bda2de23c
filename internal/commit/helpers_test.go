package commit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/leak"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/view"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// batchOf returns a batch that sets keys.
func batchOf(t testing.TB, keys ...string) *batch.Batch {
	t.Helper()
	b := new(batch.Batch)
	for _, key := range keys {
		must(t, b.Set(nil, []byte(key), nil))
	}
	return b
}

// keysOf returns the keys that an encoded batch writes; of a malformed one what is wrong
// stands among them, which no test expects.
func keysOf(payload []byte) (keys []string) {
	r := batch.NewReader(payload)
	for {
		ok, err := r.Next()
		if err != nil {
			return append(keys, err.Error())
		}
		if !ok {
			return keys
		}
		keys = append(keys, string(r.Key))
	}
}

// fake is a pipeline over an Env that writes down what is asked of it, and can
// fail or wait at each step.
type fake struct {
	Pipeline
	t testing.TB

	mu    sync.Mutex
	steps []string
	// groups are the groups that came to MakeRoom; payloads as the keys in them.
	groups []Group
	admit  error                    // what a commit that adds data is told
	fail   map[string]error         // by step
	wait   map[string]chan struct{} // by step: it goes on when that is closed
	alone  bool                     // whether no group may join those in flight
	large  bool                     // whether groups are large
	behind func() bool
}

func admitAll(*batch.Batch) error { return nil }

func newFake(t testing.TB) *fake {
	f := &fake{t: t, fail: map[string]error{}, wait: map[string]chan struct{}{}, behind: never}
	f.Init(Env{
		Clock:   clock.System,
		Foresee: func(*Decision) error { return nil },
		Behind:  func() bool { return f.behind() },
		Admit: func(b *batch.Batch) error {
			if b.Adds() {
				return f.admit
			}
			return nil
		},
		Validate: func(r *Request, ahead []*Request) error {
			step := "validate " + name(r) + " behind ["
			for i, other := range ahead {
				if i > 0 {
					step += " "
				}
				step += name(other)
			}
			if err := f.step(step+"]", "validate "+name(r)); err != nil || r.Decision == nil {
				return err
			}
			r.Decision.Behind = len(ahead) > 0
			return r.Decision.Make(view.Current{}, r.Batch)
		},
		Join: func(g *Group) bool {
			if f.alone {
				return false
			}
			f.note(g)
			return f.step(describe("join", g), "join") == nil
		},
		MakeRoom: func(g *Group) error {
			f.note(g)
			g.Large = f.large
			return f.step(describe("room", g), "room")
		},
		WriteLog: func(g *Group) error { return f.step(describe("log", g), "log") },
		Append:   func(g *Group) error { return f.step(describe("append", g), "append") },
		Harden: func(d Durability) error {
			return f.step([]string{Async: "wait", Buffered: "flush", Sync: "sync"}[d], "harden")
		},
		Apply: func(g *Group) error { return f.step(describe("apply", g), "apply") },
	})
	return f
}

// note keeps a group as it is now.
func (f *fake) note(g *Group) {
	noted := *g
	noted.Payloads = nil
	for _, p := range g.Payloads {
		noted.Payloads = append(noted.Payloads, []byte(strings.Join(keysOf(p), "+")))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groups = append(f.groups, noted)
}

func name(r *Request) string { return strings.Join(keysOf(r.Batch.Bytes()), "+") }

func describe(step string, g *Group) string {
	for _, p := range g.Payloads {
		step += " " + strings.Join(keysOf(p), "+")
	}
	return step
}

// step notes a step, waits where it is to, and fails as it is to: under its whole
// text, or the name of its kind.
func (f *fake) step(text, kind string) error {
	f.mu.Lock()
	f.steps = append(f.steps, text)
	gate, err := f.wait[text], f.fail[text]
	if gate == nil {
		gate = f.wait[kind]
	}
	if err == nil {
		err = f.fail[kind]
	}
	f.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return err
}

// holdAt makes a step wait until what is returned is called.
func (f *fake) holdAt(step string) (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := make(chan struct{})
	f.wait[step] = gate
	return func() { close(gate) }
}

// expectSteps compares what was done since the last call.
func (f *fake) expectSteps(want ...string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.steps, want) {
		f.t.Errorf("steps\n  %s\nwant\n  %s", strings.Join(f.steps, "\n  "), strings.Join(want, "\n  "))
	}
	f.steps = nil
}

// committer is a commit under way in a goroutine of its own.
type committer struct {
	done chan struct{}
	err  error
}

// returned reports whether the call has come back.
func (c *committer) returned() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// start runs fn beside the test, as far as it gets.
func start(fn func() error) *committer {
	c := &committer{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = fn()
	}()
	synctest.Wait()
	return c
}

// commit starts a commit of some keys.
func (f *fake) commit(d Durability, keys ...string) *committer {
	return start(func() error { return f.Commit(context.Background(), batchOf(f.t, keys...), d, nil) })
}

// commitReading starts a commit that asks for validation.
func (f *fake) commitReading(keys ...string) *committer {
	return start(func() error { return f.Commit(context.Background(), batchOf(f.t, keys...), Async, &view.ReadSet{}) })
}

// expect waits for a commit and compares its error.
func (f *fake) expect(c *committer, want error) {
	f.t.Helper()
	<-c.done
	if !errors.Is(c.err, want) || want == nil && c.err != nil {
		f.t.Errorf("got %v, want %v", c.err, want)
	}
}

func (f *fake) expectWaiting(want int) {
	f.t.Helper()
	if got := f.Waiting(); got != want {
		f.t.Fatalf("%d requests wait, want %d", got, want)
	}
}

// expectIdle looks whether the pipeline is as new: it is free, and holds nothing
// of what it has committed.
func (f *fake) expectIdle() {
	f.t.Helper()
	f.Pipeline.mu.Lock()
	defer f.Pipeline.mu.Unlock()
	if f.turn.Load() != turnFree || len(f.queue) > 0 {
		f.t.Errorf("the turn is %d, %d wait", f.turn.Load(), len(f.queue))
	}
	if f.flights.count.Load() != 0 || f.flights.landing || f.flights.aboard != 0 || f.flights.landed != nil {
		f.t.Errorf("%d groups with %d commits are in flight", f.flights.count.Load(), f.flights.aboard)
	}
	for _, flight := range f.flights.list[:cap(f.flights.list)] {
		if flight != nil {
			f.t.Error("a flight is still in the list")
		}
	}
	for what, held := range map[string][]*Request{"queue": f.queue, "group": f.group, "live": f.live} {
		for _, r := range held[:cap(held)] {
			if r != nil {
				f.t.Errorf("the %s still holds a request", what)
			}
		}
	}
	payloads := f.write.Payloads
	for _, p := range payloads[:cap(payloads)] {
		if p != nil {
			f.t.Error("the last group still holds a batch")
		}
	}
}

// span is the numbers of a group.
func span(g Group) string { return fmt.Sprintf("%d-%d", g.First, g.Last) }

func (f *fake) expectSpans(want ...string) {
	f.t.Helper()
	var got []string
	for _, g := range f.groups {
		got = append(got, span(g))
	}
	if !slices.Equal(got, want) {
		f.t.Errorf("groups have the numbers %q, want %q", got, want)
	}
}

// ticking is a clock that goes on by a second with each look.
type ticking struct {
	clock.Clock
	ticks atomic.Int64
}

func (c *ticking) Now() time.Time { return time.Unix(c.ticks.Add(1), 0) }
