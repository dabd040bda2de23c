package commit

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/view"
)

// recorder is an Env that notes what it is asked for, and fails where it is told.
type recorder struct {
	steps  []string
	groups []Group // as they came to the log
	ahead  []int   // how many stood before each request that was validated
	fail   map[string]error
}

func (r *recorder) step(name string) error {
	r.steps = append(r.steps, name)
	return r.fail[name]
}

func (r *recorder) env() Env {
	return Env{
		Validate: func(_ *Request, ahead []*Request) error {
			r.ahead = append(r.ahead, len(ahead))
			return r.step("validate")
		},
		MakeRoom: func(*Group) error { return r.step("make room") },
		WriteLog: func(g *Group) error {
			kept := *g
			kept.Payloads = slices.Clone(g.Payloads)
			r.groups = append(r.groups, kept)
			return r.step("write log")
		},
		Apply: func(*Group) error { return r.step("apply") },
	}
}

func newPipeline() (*Pipeline, *recorder) {
	r := &recorder{fail: map[string]error{}}
	p := new(Pipeline)
	p.Init(r.env())
	return p, r
}

func batchOf(t testing.TB, keys ...string) *batch.Batch {
	t.Helper()
	b := new(batch.Batch)
	for _, key := range keys {
		if err := b.Set([]byte{0}, []byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// together makes requests stand in line, in this order, while one is alone on the
// write path, and lets them go on. It returns their errors.
func together(p *Pipeline, requests ...func() error) []error {
	errs := make([]error, len(requests))
	var wg sync.WaitGroup
	_ = p.Alone(func() error {
		for i, fn := range requests {
			wg.Go(func() { errs[i] = fn() })
			for p.Waiting() <= i {
				runtime.Gosched()
			}
		}
		return nil
	})
	wg.Wait()
	return errs
}

// A group goes through the steps in one order, and stops at the first that fails.
// What was not done leaves no trace: the numbers are given out again.
func TestStepsOfAGroup(t *testing.T) {
	all := []string{"validate", "make room", "write log", "apply"}
	for at := range len(all) + 1 {
		p, r := newPipeline()
		p.Advance(10)
		want := all[:min(at+1, len(all))]
		failure := errors.New("fails")
		if at < len(all) {
			r.fail[all[at]] = failure
		}
		err := p.Commit(batchOf(t, "a", "b"), Async, &view.ReadSet{})
		if (at < len(all)) != errors.Is(err, failure) {
			t.Errorf("%v: the error is %v", want, err)
		}
		if !slices.Equal(r.steps, want) {
			t.Errorf("the steps are %v, want %v", r.steps, want)
		}
		last := base.SeqNum(10)
		if at >= 3 { // the log has it
			last = 12
		}
		if p.LastSeq() != last {
			t.Errorf("%v: %d is given out, want %d", want, p.LastSeq(), last)
		}
		clear(r.fail)
		if err := p.Commit(batchOf(t, "c"), Async, nil); err != nil {
			t.Error(err)
		}
		if g := r.groups[len(r.groups)-1]; g.First != last+1 || g.Last != last+1 {
			t.Errorf("%v: the next has %d to %d, want %d", want, g.First, g.Last, last+1)
		}
	}
}

// Those who wait become one group, in their order, as durable as the strictest of
// them asks. Whoever wants to be alone ends it.
func TestGroups(t *testing.T) {
	p, r := newPipeline()
	var alone base.SeqNum
	errs := together(p,
		func() error { return p.Set(nil, []byte{0}, []byte("a"), nil, Async) },
		func() error { return p.Delete(nil, []byte{0}, []byte("b"), Sync) },
		func() error { return p.SetExpiring(nil, []byte{0}, []byte("c"), nil, 7, Buffered) },
		func() error { return p.Alone(func() error { alone = p.LastSeq(); return nil }) },
		func() error { return p.Merge(nil, []byte{0}, []byte("d"), nil, Async) },
		func() error { return p.DeleteRange(nil, []byte("\x00e"), []byte("\x00f"), Buffered) },
	)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if alone != 3 || len(r.groups) != 2 {
		t.Fatalf("%d were committed before the one who was alone; %d groups", alone, len(r.groups))
	}
	for i, want := range []Group{
		{First: 1, Last: 3, Records: 3, Durability: Sync, Expires: true},
		{First: 4, Last: 5, Records: 2, Durability: Buffered, Merges: true},
	} {
		got := r.groups[i]
		size, keys := 0, ""
		for _, payload := range got.Payloads {
			size += len(payload)
			b := batch.NewReader(payload)
			if ok, err := b.Next(); !ok || err != nil {
				t.Fatal(err)
			}
			keys += string(b.Key[1:])
		}
		if keys != [2]string{"abc", "de"}[i] || got.SizeBytes != int64(size) || got.MemtableBytes <= 0 {
			t.Errorf("group %d is of %q, %d bytes and %d in a memtable", i, keys, got.SizeBytes, got.MemtableBytes)
		}
		got.Payloads, got.SizeBytes, got.MemtableBytes = nil, 0, 0
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("group %d is %+v, want %+v", i, got, want)
		}
	}
}

// A request that must not be committed is left out of its group. The others do not
// notice, and who is validated sees only those ahead that are written.
func TestRefusedRequestsAreLeftOut(t *testing.T) {
	p, r := newPipeline()
	registry := keyspace.NewRegistry(keyspace.Config{})
	if err := registry.Apply(keyspace.Act{ID: 1, Keyspace: &manifest.Keyspace{ID: 1, Name: "gone"}}); err != nil {
		t.Fatal(err)
	}
	gone := registry.ByName("gone")
	if err := registry.Apply(keyspace.Act{ID: 1}); err != nil {
		t.Fatal(err)
	}
	conflict := errors.New("conflict")
	validate := p.env.Validate
	p.env.Validate = func(req *Request, ahead []*Request) error {
		return errors.Join(validate(req, ahead), map[bool]error{true: conflict}[req.Batch.Len() == 2])
	}
	errs := together(p,
		func() error { return p.Set(gone, []byte{1}, []byte("a"), nil, Sync) },
		func() error { return p.Commit(batchOf(t, "b"), Async, &view.ReadSet{}) },
		func() error { return p.Commit(batchOf(t, "c", "c"), Sync, &view.ReadSet{}) },
		func() error { return p.Commit(batchOf(t, "d"), Async, &view.ReadSet{}) },
	)
	for i, want := range []error{keyspace.ErrDropped, nil, conflict, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("request %d: %v, want %v", i, errs[i], want)
		}
	}
	if !slices.Equal(r.ahead, []int{0, 1, 1}) {
		t.Errorf("so many stood ahead: %v", r.ahead)
	}
	if len(r.groups) != 1 || len(r.groups[0].Payloads) != 2 || r.groups[0].Durability != Async {
		t.Errorf("the groups are %+v", r.groups)
	}
	if err := p.Set(gone, []byte{1}, []byte("a"), nil, Sync); !errors.Is(err, keyspace.ErrDropped) || len(r.groups) != 1 {
		t.Errorf("one that is refused alone: %v, %d groups", err, len(r.groups))
	}
}

// An error of a step is that of all members.
func TestGroupFailsAsOne(t *testing.T) {
	p, r := newPipeline()
	r.fail["write log"] = errors.New("disk")
	errs := together(p,
		func() error { return p.Commit(batchOf(t, "a"), Async, nil) },
		func() error { return p.Commit(batchOf(t, "b"), Sync, nil) },
	)
	for i, err := range errs {
		if !errors.Is(err, r.fail["write log"]) {
			t.Errorf("request %d: %v", i, err)
		}
	}
}

// A group does not grow without bound.
func TestGroupsAreBounded(t *testing.T) {
	p, r := newPipeline()
	large := new(batch.Batch)
	if err := large.Set([]byte{0}, []byte("a"), make([]byte, groupMaxBytes*2/3)); err != nil {
		t.Fatal(err)
	}
	commit := func() error { return p.Commit(large, Async, nil) }
	if err := errors.Join(together(p, commit, commit, commit)...); err != nil {
		t.Fatal(err)
	}
	if len(r.groups) != 3 {
		t.Errorf("%d groups", len(r.groups))
	}
}

// The numbers end, and nothing is written with one that is none.
func TestSequenceNumbersAreUsedUp(t *testing.T) {
	p, r := newPipeline()
	p.Advance(base.SeqNumMax - 1)
	if err := p.Commit(batchOf(t, "a", "b"), Async, nil); !errors.Is(err, ErrSeqNumsUsedUp) || len(r.steps) > 0 {
		t.Errorf("%v after %v", err, r.steps)
	}
	if err := p.Commit(batchOf(t, "a"), Async, nil); err != nil {
		t.Errorf("the last number: %v", err)
	}
}
