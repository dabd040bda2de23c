package view

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/txn"
)

// get returns the value that is visible now, "-" if there is none.
func (r *room) get(key string) string {
	r.t.Helper()
	value, err := r.AppendGet(nil, []byte(key))
	if err == base.ErrNotFound {
		return "-"
	}
	must(r.t, err)
	return string(value)
}

// scan returns the rows of an iterator.
func (r *room) scan(it *Iterator) string {
	r.t.Helper()
	var out []string
	for ok := it.First(); ok; ok = it.Next() {
		out = append(out, fmt.Sprintf("%s=%s", it.Key(), it.Value()))
	}
	must(r.t, it.Err())
	return strings.Join(out, " ")
}

func (r *room) iterator() *Iterator {
	r.t.Helper()
	it, err := r.NewIterator(options("\x00", "\x02"))
	must(r.t, err)
	return it
}

// What is in a state is not visible before its number is; and that comes with the
// state where the change says so, not before.
func TestVisibleFollowsTheData(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	mem := r.State().Mem.Table
	must(t, mem.Add([]byte("\x00a"), base.Hash([]byte("\x00a")), base.MakeTrailer(2, base.KindSet), []byte("2")))
	if got := r.get("\x00a"); got != "1" {
		t.Errorf("read %q before it was published", got)
	}
	r.last = 2
	var seen base.SeqNum
	var current *State
	r.cfg.Installed = func(*State) { seen, current = r.VisibleSeq(), r.State() }
	next := r.newMemtable()
	r.Update(func(c *Change) {
		c.Mem.LastSeq = 2
		c.Immutables, c.Mem = []*Flushable{c.Mem}, next
		c.Visible = 2
	})
	if seen != 1 || current.Mem != next {
		t.Errorf("when the state was installed, %d was visible, and the state was the new one: %v", seen, current.Mem == next)
	}
	if r.VisibleSeq() != 2 || r.get("\x00a") != "2" {
		t.Errorf("%d is visible, and the value %q", r.VisibleSeq(), r.get("\x00a"))
	}
	r.Update(func(c *Change) {}) // 0: as it was
	if r.VisibleSeq() != 2 {
		t.Errorf("%d is visible after a change that does not say", r.VisibleSeq())
	}
}

// Each new state is told, once, and is then the current one.
func TestInstalledIsTold(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	r.seal()
	r.flush()
	if n := len(r.installed); n != 3 || r.installed[2] != r.State() {
		t.Errorf("%d states were told, the last is the current one: %v", n, r.installed[n-1] == r.State())
	}
	if len(r.installed[1].Immutables) != 1 || len(r.installed[2].Immutables) != 0 || r.installed[2].Tree.Runs != 1 {
		t.Error("the states are not those of the changes")
	}
}

// A memtable goes when the last state that has it goes, however many there were, and
// a file when it is given up as well.
func TestReleaseGivesBackOnce(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	memory := r.memory.Bytes(offheap.OwnerMemtable)
	old := r.State().Mem
	pinned := r.Pin()
	r.seal()
	it := r.iterator()
	r.flush()
	r.write(set("\x00a", "2"))
	r.seal()
	r.flush()
	r.settle()
	if got := r.memory.Bytes(offheap.OwnerMemtable); got < memory {
		t.Errorf("%d bytes of memtables, though an old one of %d is in use", got, memory)
	}
	if old.refs.Load() != 2 { // of the state that is pinned, and of the iterator's
		t.Errorf("the old memtable has %d references", old.refs.Load())
	}
	r.Release(pinned)
	r.settle()
	if got := r.scan(it); got != "a=1" || old.refs.Load() != 0 { // it has moved on
		t.Errorf("the iterator sees %q, in a memtable with %d references", got, old.refs.Load())
	}
	it2 := r.iterator() // holds the two files
	r.compact(0)
	r.settle()
	if len(r.files()) != 3 {
		t.Errorf("files %q while the old ones are in use", r.files())
	}
	must(t, it.Close())
	r.settle()
	if old.refs.Load() != 0 {
		t.Errorf("the old memtable has %d references", old.refs.Load())
	}
	if len(r.files()) != 3 {
		t.Errorf("files %q while the old ones are in use", r.files())
	}
	if got := r.scan(it2); got != "a=2" {
		t.Errorf("the second iterator sees %q", got)
	}
	must(t, it2.Close())
	r.settle()
	r.expectFiles()
	if s := r.State(); s.refs.Load() != 1 || s.Mem.refs.Load() != 1 {
		t.Errorf("the current state has %d references, its memtable %d", s.refs.Load(), s.Mem.refs.Load())
	}
}

// A guard holds what it may see, without counting.
func TestGuardHoldsTheState(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	inside, goOn := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- r.GetFunc([]byte("\x00a"), func(value []byte) error {
			close(inside)
			<-goOn
			if string(value) != "1" {
				return fmt.Errorf("the value became %q", value)
			}
			return nil
		})
	}()
	<-inside
	old := r.State().Mem
	r.seal()
	r.flush()
	if old.refs.Load() == 0 {
		t.Error("the memtable went while a guard may see it")
	}
	close(goOn)
	must(t, <-done)
	r.settle()
	if old.refs.Load() != 0 {
		t.Errorf("the memtable has %d references without a reader", old.refs.Load())
	}
}

func TestPinned(t *testing.T) {
	r := newRoom(t, 0)
	snapshot := func() *Snapshot {
		s, err := r.Snapshot()
		must(t, err)
		return s
	}
	expect := func(seqs []base.SeqNum, times []base.Instant) {
		t.Helper()
		if p := r.Pinned(); !slices.Equal(p.Seqs, seqs) || !slices.Equal(p.Times, times) {
			t.Errorf("pinned are %v, want %v and %v", p, seqs, times)
		}
		if got := r.SnapshotSeqs(); !slices.Equal(got, seqs) {
			t.Errorf("snapshots at %v, want %v", got, seqs)
		}
	}
	expect(nil, nil)
	first := snapshot()
	r.write(set("\x00a", "1"))
	second, third := snapshot(), snapshot()
	expect([]base.SeqNum{0, 1}, nil)
	if r.timeline.Purged(0) {
		t.Error("something was purged where nothing expires")
	}
	r.write(op{base.KindSetExpiring, "\x00b", "2", 5000})
	r.clock.at.Store(2000)
	fourth := snapshot()
	r.clock.at.Store(3000)
	// Those without a time see everything, also what has expired long since.
	expect([]base.SeqNum{0, 1, 2}, []base.Instant{0, 0, 2000, 3000})
	if !r.timeline.Purged(2999) || r.timeline.Purged(3000) {
		t.Error("the timeline was not told what may be dropped")
	}
	must(t, second.Close())
	must(t, first.Close())
	expect([]base.SeqNum{1, 2}, []base.Instant{0, 2000, 3000})
	must(t, third.Close())
	fifth := snapshot() // of the same number, at a later time
	expect([]base.SeqNum{2}, []base.Instant{2000, 3000})
	must(t, fourth.Close())
	expect([]base.SeqNum{2}, []base.Instant{3000, 3000})
	must(t, fifth.Close())
	wantErr(t, fifth.Close(), base.ErrInvalidHandle)
	expect(nil, []base.Instant{3000})
}

// While operands are joined no snapshot is made, and the floor is the newest of them.
func TestJoinsKeepSnapshotsOut(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	first, err := r.Snapshot()
	must(t, err)
	r.write(set("\x00a", "2"))
	made := make(chan *Snapshot)
	must(t, r.KeepSnapshotsOut(func(floor base.SeqNum) error {
		if floor != 1 {
			t.Errorf("the floor of joins is %d", floor)
		}
		go func() {
			s, err := r.Snapshot()
			if err != nil {
				t.Error(err)
			}
			made <- s
		}()
		r.write(set("\x00a", "3"))
		for range 1000 {
			runtime.Gosched() // it could be made
		}
		select {
		case <-made:
			t.Fatal("a snapshot was made while operands are joined")
		default:
		}
		return nil
	}))
	second := <-made
	if second.Seq() != 3 {
		t.Errorf("the snapshot is at %d", second.Seq())
	}
	must(t, first.Close())
	expectFloor := func(want base.SeqNum) {
		t.Helper()
		must(t, r.KeepSnapshotsOut(func(floor base.SeqNum) error {
			if floor != want {
				t.Errorf("the floor of joins is %d, want %d", floor, want)
			}
			return nil
		}))
	}
	expectFloor(3)
	must(t, second.Close())
	expectFloor(0)
}

func TestMetered(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	called := false
	if !r.Metered(func(s *State, visible base.SeqNum) {
		called = true
		if s != r.State() || visible != 1 || s.ReservedBytes() != memtableBytes {
			t.Errorf("metered %d, of another state: %v, %d bytes", visible, s != r.State(), s.ReservedBytes())
		}
	}) || !called {
		t.Error("an open reader is not metered")
	}
	r.writeLarge(set("\x00b", strings.Repeat("x", 1000)))
	r.Metered(func(s *State, _ base.SeqNum) {
		if n := s.ReservedBytes(); n < 2*memtableBytes+1000 || n > 2*memtableBytes+1100 {
			t.Errorf("two memtables and a large batch reserve %d bytes", n)
		}
	})
	r.Close()
	if r.Metered(func(*State, base.SeqNum) { t.Error("called") }) {
		t.Error("a closed reader is metered")
	}
	r.GiveUp()
}

func TestHandlesAreCounted(t *testing.T) {
	r := newRoom(t, 0)
	expect := func(iterators, snapshots int, oldest time.Duration) {
		t.Helper()
		now := r.Handles()
		var age time.Duration
		if !now.Oldest.IsZero() {
			age = r.clock.Now().Sub(now.Oldest)
		}
		if now.Open != (HandleCounts{KindIterator: iterators, KindSnapshot: snapshots}) || age != oldest {
			t.Errorf("%v are open, the oldest of %v; want %d, %d, %v", now.Open, age, iterators, snapshots, oldest)
		}
	}
	expect(0, 0, 0)
	must(t, r.Leaks())
	it := r.iterator()
	r.clock.at.Add(100)
	s, err := r.Snapshot()
	must(t, err)
	r.clock.at.Add(10)
	expect(1, 1, 110)
	if err := r.Leaks(); !errors.Is(err, ErrLeaked) || !strings.Contains(err.Error(), "iterators: 1, snapshots: 1") ||
		strings.Contains(err.Error(), "opened by") {
		t.Errorf("leaks are told as %v", err)
	}
	idle := 0
	r.WhenIdle(func() { idle++ })
	must(t, it.Close())
	expect(0, 1, 10)
	if idle != 0 {
		t.Error("idle with an open snapshot")
	}
	must(t, s.Close())
	if idle != 1 {
		t.Errorf("told %d times to be idle", idle)
	}
	r.WhenIdle(func() { idle++ })
	if idle != 2 {
		t.Errorf("told %d times to be idle", idle)
	}
	expect(0, 0, 0)

	r.cfg.TrackHandles = true
	it = r.iterator()
	if err := r.Leaks(); !strings.Contains(err.Error(), "iterator opened by:") ||
		!strings.Contains(err.Error(), "TestHandlesAreCounted") {
		t.Errorf("leaks are told as %v", err)
	}
	must(t, it.Close())
	var tx Snapshot
	must(t, r.OpenForTx(&tx))
	if err := r.Leaks(); !strings.Contains(err.Error(), "transactions: 1\ntransaction opened by:") ||
		!strings.Contains(err.Error(), "TestHandlesAreCounted") {
		t.Errorf("leaks are told as %v", err)
	}
	must(t, tx.Close())
	r.cfg.TrackHandles = false
	var next Snapshot
	must(t, r.OpenForTx(&next)) // in the same pin
	if err := r.Leaks(); strings.Contains(err.Error(), "opened by:") {
		t.Errorf("leaks are told as %v", err)
	}
	must(t, next.Close())
}

// After Close everything says so, and what handles hold goes when they are closed.
func TestClosedReader(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"), set("\x00b", "2"))
	s, err := r.Snapshot()
	must(t, err)
	it := r.iterator()
	if !it.First() {
		t.Fatal(it.Err())
	}
	old := r.State()
	if r.Close() || !r.Close() || !r.Closed() {
		t.Error("Close does not tell whether it was closed")
	}
	r.GiveUp()
	key := []byte("\x00a")
	called := func([]byte) error { t.Error("called"); return nil }
	multi := func(int, []byte, error) error { t.Error("called"); return nil }
	dst, err := r.AppendGet([]byte("x"), key)
	if string(dst) != "x" {
		t.Errorf("a refused get returns %q", dst)
	}
	errs := []error{err, r.GetFunc(key, called), r.MultiGet([][]byte{key}, multi)}
	note := func(_ any, err error) { errs = append(errs, err) }
	note(expiryOf(&r.Reader, key))
	note(r.NewIterator(options("", "")))
	note(r.Snapshot())
	note(s.AppendGet(nil, key))
	note(s.NewIterator(options("", "")))
	errs = append(errs, s.GetFunc(key, called), s.MultiGet([][]byte{key}, multi))
	var reads txn.Reads
	reads.AddPoint(key)
	reads.Freeze()
	errs = append(errs, r.Validate(&ReadSet{Since: 1, Reads: &reads}))
	for i, err := range errs {
		if err != base.ErrClosed {
			t.Errorf("call %d returned %v", i, err)
		}
	}
	// The row where it stands can still be read; it cannot be left.
	if !it.Valid() || string(it.Key()) != "a" || string(it.Value()) != "1" {
		t.Errorf("the iterator shows %q=%q", it.Key(), it.Value())
	}
	for _, moved := range []bool{it.Next(), it.Prev(), it.First(), it.Last(), it.SeekGE(key), it.SeekLT(key)} {
		if moved {
			t.Error("the iterator moves")
		}
	}
	wantErr(t, it.Err(), base.ErrClosed)
	r.settle()
	if old.refs.Load() != 1 {
		t.Errorf("the state has %d references", old.refs.Load())
	}
	if !errors.Is(r.Leaks(), ErrLeaked) {
		t.Error("the open handles are not told")
	}
	wantErr(t, it.Close(), base.ErrClosed)
	wantErr(t, it.Close(), base.ErrInvalidHandle)
	must(t, s.Close())
	r.settle()
	if old.refs.Load() != 0 {
		t.Errorf("the state has %d references", old.refs.Load())
	}
}

func TestClosedHandles(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"))
	key := []byte("\x00a")
	s, err := r.Snapshot()
	must(t, err)
	it, err := s.NewIterator(options("\x00", "\x01"))
	must(t, err)
	must(t, s.Close())
	if got := r.scan(it); got != "a=1" {
		t.Errorf("the iterator of a closed snapshot sees %q", got)
	}
	_, err = s.AppendGet(nil, key)
	_, iterErr := s.NewIterator(options("\x00", "\x01"))
	for _, err := range []error{err, iterErr, s.GetFunc(key, nil), s.MultiGet([][]byte{key}, nil)} {
		wantErr(t, err, base.ErrInvalidHandle)
	}
	must(t, it.Close())
	if it.First() || it.Valid() || it.Key() != nil || it.Value() != nil || it.Expiry() != 0 {
		t.Error("a closed iterator shows something")
	}
	wantErr(t, it.Err(), base.ErrInvalidHandle)
}

// What fn returns ends the calls that take one.
func TestFuncsEndTheCall(t *testing.T) {
	r := newRoom(t, 0)
	r.write(set("\x00a", "1"), set("\x00b", "2"))
	fail := errors.New("enough")
	wantErr(t, r.GetFunc([]byte("\x00a"), func([]byte) error { return fail }), fail)
	wantErr(t, r.GetFunc([]byte("\x00c"), func([]byte) error { return fail }), base.ErrNotFound)
	calls := 0
	err := r.MultiGet([][]byte{[]byte("\x00b"), []byte("\x00a")}, func(i int, value []byte, err error) error {
		calls++
		if i != 1 || string(value) != "1" {
			t.Errorf("call for %d with %q, %v", i, value, err)
		}
		return fail
	})
	wantErr(t, err, fail)
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// Files of level 0 that were committed past the log side by side are one source for
// an iterator, and tables that its range does not meet are none.
func TestSourcesOfAnIterator(t *testing.T) {
	r := newRoom(t, 0)
	for _, key := range []string{"\x00a", "\x00m", "\x00z"} {
		r.write(set(key, "1"))
		r.seal()
		r.flush()
	}
	sources := func(lower, upper string) int {
		it, err := r.NewIterator(options(lower, upper))
		must(t, err)
		defer it.Close()
		return it.Sources()
	}
	if a, b := sources("\x00", "\x01"), sources("\x00b", "\x00y"); a != 3 || b != 1 {
		t.Errorf("%d and %d sources of level 0", a, b)
	}
	r.compact(0)
	if a, b := sources("\x00", "\x01"), sources("\x00n", "\x00o"); a != 1 || b > 1 {
		t.Errorf("%d and %d sources of level 1", a, b)
	}
}
