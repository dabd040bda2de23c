package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(30) {
		cfg, m := newConfig(t)
		segments := mustPrepare(t, cfg, 8<<10, 1)
		l := mustLog(t, cfg, segments[0], 0)
		w := newWriter(l, seed)
		synced := Position(0)
		for range 100 {
			must(t, w.append(w.size()))
			switch w.rng.IntN(10) {
			case 0:
				must(t, l.Flush())
			case 1:
				must(t, l.Sync())
				if synced = l.Durable(); synced != l.Appended() || l.DurableSeq() != w.seq {
					t.Fatalf("seed %d: durable %d of %d, seq %d of %d", seed, synced, l.Appended(),
						l.DurableSeq(), w.seq)
				}
			case 2:
				next := mustPrepare(t, cfg, 8<<10, base.FileNum(len(segments)+1))
				must(t, l.Rotate(next[0]))
				segments = append(segments, next...)
			}
		}
		// What was only flushed is there for other readers, and not after a crash.
		must(t, l.Flush())
		got, r, err := replayAll(cfg, 0, segments...)
		if err == nil {
			err = check(w.groups, got, r, l.Appended())
		}
		if err != nil || r.TornBytes != 0 {
			t.Fatalf("seed %d: flushed: %v, %+v", seed, err, r)
		}
		crashed := on(cfg, m.Crash(memfs.CrashOptions{}))
		got, r, err = replayAll(crashed, 0, segments...)
		if err == nil {
			err = check(w.groups, got, r, synced)
		}
		if err != nil {
			t.Fatalf("seed %d: crashed: %v", seed, err)
		}
		must(t, l.Close(), l.Close())
		crashed = on(cfg, m.Crash(memfs.CrashOptions{}))
		got, r, err = replayAll(crashed, 0, segments...)
		if err == nil {
			err = check(w.groups, got, r, w.groups[len(w.groups)-1].end)
		}
		if err != nil || r.End != l.Appended() {
			t.Fatalf("seed %d: closed: %v, %+v", seed, err, r)
		}
	}
}

func TestReplayFrom(t *testing.T) {
	cfg, _ := newConfig(t)
	all := mustPrepare(t, cfg, 8<<10, 1, 2, 3)
	l := mustLog(t, cfg, all[0], 800)
	w := newWriter(l, 1)
	for i := range 30 {
		if i == 10 || i == 20 {
			must(t, l.Rotate(all[i/10]))
		}
		must(t, w.append(100))
	}
	must(t, l.Close())
	for i, g := range w.groups {
		segments := all
		for range 3 { // segments that are not needed may be left out
			got, r, err := replayAll(cfg, g.end, segments...)
			want := w.groups[i+1:]
			if err != nil || len(got) != len(want) || r.End != l.Appended() {
				t.Fatalf("from group %d with %v: %d groups, %+v, %v", i, segments, len(got), r, err)
			}
			if len(want) > 0 && got[0].first != want[0].first {
				t.Fatalf("from group %d: starts with %d", i, got[0].first)
			}
			if len(segments) == 1 || g.end < Position(800)+w.groups[9].end-800 {
				break
			}
			if first := segments[0].Num; base.FileNum(i/10) < first || i%10 == 9 && base.FileNum(i/10) == first {
				break
			}
			segments = segments[1:]
		}
	}
	// Beyond the end: what is needed begins with what comes next.
	beyond := l.Appended() + 800
	if got, r, err := replayAll(cfg, beyond, all[2]); err != nil || len(got) != 0 || r.End != beyond {
		t.Errorf("from beyond the end: %+v, %v", r, err)
	}
	// The segments do not reach back far enough.
	if _, _, err := replayAll(cfg, 800, all[1:]...); !isDamage(err) {
		t.Errorf("the first segment left out: %v", err)
	}
	if _, r, err := replayAll(cfg, 16); err != nil || r.End != 16 {
		t.Errorf("no segments: %+v, %v", r, err)
	}
}

func TestReplayStopsAtErrorOfCallback(t *testing.T) {
	cfg, _ := newConfig(t)
	segments := mustPrepare(t, cfg, 8<<10, 1)
	l := mustLog(t, cfg, segments[0], 0)
	w := newWriter(l, 1)
	for range 5 {
		must(t, w.append(10))
	}
	must(t, l.Close())
	stop := errors.New("stop")
	calls := 0
	_, err := Replay(cfg, segments, 0, 0, func(base.SeqNum, []byte) error {
		calls++
		if calls == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestMisuse(t *testing.T) {
	cfg, _ := newConfig(t)
	s := mustPrepare(t, cfg, 4<<10, 1)[0]
	if _, err := NewLog(cfg, s, 3, 0); err == nil {
		t.Error("a start that is not aligned was accepted")
	}
	if _, err := NewLog(cfg, Segment{Num: 9}, 0, 0); err == nil {
		t.Error("a segment that does not exist was begun")
	}
	if _, err := Recycle(cfg, 1, 1, 4<<10); err == nil {
		t.Error("recycled a segment under its own number")
	}
	l := mustLog(t, cfg, s, 0)
	for _, bad := range []struct{ first, last base.SeqNum }{
		{2, 1}, {base.SeqNumMax, base.SeqNumMax + 1}, {0, math.MaxUint32 + 1},
	} {
		if _, err := l.Append(bad.first, bad.last, []byte("x")); err == nil {
			t.Errorf("%d..%d was accepted", bad.first, bad.last)
		}
	}
	if err := l.Rotate(Segment{Num: 7}); err == nil {
		t.Error("rotated to a segment that does not exist")
	}
	if _, err := l.Append(base.SeqNumMax, base.SeqNumMax, []byte("x")); err != nil {
		t.Errorf("after refused calls: %v", err)
	}
	must(t, l.Close())
	_, appendErr := l.Append(1, 1, nil)
	for name, err := range map[string]error{
		"append": appendErr, "flush": l.Flush(), "sync": l.Sync(), "rotate": l.Rotate(Segment{Num: 2}),
	} {
		if !errors.Is(err, base.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

// A write and a sync that hang do not hold up Append before the ring is full,
// nor a sync the rotation.
func TestAppendBesideSlowDisk(t *testing.T) {
	cfg, m := newConfig(t)
	segments := mustPrepare(t, cfg, 8<<10, 1, 2)
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpSyncData} {
		faulty := faultfs.New(m)
		l := mustLog(t, on(cfg, faulty), segments[0], 0)
		w := newWriter(l, 1)
		must(t, w.append(100))
		entered, release := make(chan bool), make(chan bool)
		faulty.Add(faultfs.Rule{Kinds: kind, Before: func(vfs.Op) { close(entered); <-release }})
		done := make(chan error)
		go func() { done <- l.Sync() }()
		<-entered
		for l.Appended() < minBufferBytes-400 {
			must(t, w.append(200))
		}
		if kind == vfs.OpSyncData {
			must(t, l.Rotate(segments[1]), w.append(200), l.Flush())
		}
		if l.Durable() != 0 {
			t.Errorf("%v: durable before the sync is over", kind)
		}
		close(release)
		must(t, <-done)
		if got := l.Durable(); got != w.groups[0].end {
			t.Errorf("%v: durable up to %d, the sync began at %d", kind, got, w.groups[0].end)
		}
		must(t, l.Close())
	}
}

func TestWaitersShareSyncs(t *testing.T) {
	cfg, m := newConfig(t)
	s := mustPrepare(t, cfg, 64<<10, 1)[0]
	faulty := faultfs.New(m)
	l := mustLog(t, on(cfg, faulty), s, 0)
	w := newWriter(l, 1)
	must(t, w.append(10))
	entered, release := make(chan bool), make(chan bool)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Before: func(vfs.Op) { close(entered); <-release }})
	var wg sync.WaitGroup
	var failures atomic.Int32
	wait := func() {
		wg.Go(func() {
			if l.Sync() != nil {
				failures.Add(1)
			}
		})
	}
	wait()
	<-entered
	must(t, w.append(10))
	for range 20 {
		wait()
	}
	close(release)
	wg.Wait()
	if n := faulty.Count(vfs.OpSyncData); n != 2 || failures.Load() != 0 {
		t.Errorf("21 waiters took %d syncs, %d failed", n, failures.Load())
	}
}

// Everything at once; the race detector and the final replay judge.
func TestConcurrentUse(t *testing.T) {
	cfg, m := newConfig(t)
	segments := mustPrepare(t, cfg, 8<<10, 1)
	l := mustLog(t, cfg, segments[0], 0)
	w := newWriter(l, 9)
	var wg sync.WaitGroup
	stop := make(chan bool)
	for g := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				before, seq := l.Appended(), l.DurableSeq()
				if rng.IntN(2) == 0 {
					if err := l.Flush(); err != nil {
						t.Error(err)
					}
				} else if err := l.Sync(); err != nil || l.Durable() < before || l.DurableSeq() < seq {
					t.Errorf("synced up to %d of %d: %v", l.Durable(), before, err)
				}
			}
		})
	}
	for i := range 600 {
		must(t, w.append(w.size()))
		if i%50 == 49 {
			next := mustPrepare(t, cfg, 8<<10, base.FileNum(len(segments)+1))
			must(t, l.Rotate(next[0]))
			segments = append(segments, next...)
		}
	}
	close(stop)
	wg.Wait()
	must(t, l.Close())
	got, r, err := replayAll(on(cfg, m.Crash(memfs.CrashOptions{})), 0, segments...)
	if err == nil {
		err = check(w.groups, got, r, w.groups[len(w.groups)-1].end)
	}
	must(t, err)
}

func TestPrepareAndRecycle(t *testing.T) {
	cfg, m := newConfig(t)
	for i, size := range []int64{20 << 10, 8 << 10, 40 << 10} {
		from := base.FileNum(2*i + 1)
		s := mustPrepare(t, cfg, 20<<10, from)[0]
		l := mustLog(t, cfg, s, 0)
		w := newWriter(l, 1)
		for range 40 {
			must(t, w.append(300))
		}
		must(t, l.Close())
		again, err := Recycle(cfg, from, from+1, size)
		must(t, err)
		if again.Num != from+1 || again.SizeBytes != size || again.Salt == s.Salt {
			t.Errorf("%+v became %+v", s, again)
		}
		crashed := on(cfg, m.Crash(memfs.CrashOptions{}))
		b := readSegment(t, crashed.FS, again.Num)
		if int64(len(b)) != size {
			t.Errorf("recycled with %d bytes, want %d", len(b), size)
		}
		// The old groups are in the file, and nobody takes them for new ones.
		if got, r, err := replayAll(crashed, 0, again); err != nil || len(got) != 0 || r.TornBytes != 0 {
			t.Errorf("recycled and not begun: %d groups, %+v, %v", len(got), r, err)
		}
		if was, begun, err := Identify(crashed, again.Num); was != again || begun || err != nil {
			t.Errorf("recycled and not begun: identified as %+v, %v, %v", was, begun, err)
		}
		l = mustLog(t, cfg, again, 0)
		v := newWriter(l, 2)
		must(t, v.append(300), v.append(300), l.Sync())
		if got, r, err := replayAll(cfg, 0, again); err != nil || len(got) != 2 || r.TornBytes != 0 {
			t.Errorf("recycled and begun: %d groups, %+v, %v", len(got), r, err)
		}
		if was, begun, err := Identify(cfg, again.Num); was != again || !begun || err != nil {
			t.Errorf("recycled and begun: identified as %+v, %v, %v", was, begun, err)
		}
		must(t, l.Close())
	}
}

// What has a second name is not written over: recycled, it is a new file, and its
// groups can be read under the other name.
func TestLinkedSegmentIsNotOverwritten(t *testing.T) {
	for what, use := range map[string]func(cfg Config, e Extent) error{
		"recycled": func(cfg Config, _ Extent) error {
			_, err := Recycle(cfg, 1, 2, 8<<10)
			return err
		},
		"archived": func(cfg Config, e Extent) error {
			_, err := Archive(cfg, 1, e, time.Unix(1, 0))
			return err
		},
	} {
		cfg, m := newConfig(t)
		_, e := sealedSegment(t, cfg, 20)
		before := readSegment(t, m, 1)
		must(t, m.Link(testDir+"/"+FileName(1), testDir+"/"+FileName(99)))
		must(t, use(cfg, e))
		if !bytes.Equal(readSegment(t, m, 99), before) {
			t.Errorf("%s: the file changed under its second name", what)
		}
		if _, err := m.Stat(testDir + "/" + FileName(1)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it is still there under its first name: %v", what, err)
		}
		if what == "archived" {
			h, err := ReadArchived(cfg, 1)
			if must(t, err); h.Extent != e {
				t.Errorf("the copy holds %+v, want %+v", h.Extent, e)
			}
		}
	}
}

// A segment that cannot be recycled is gone under both names.
func TestRecycleLeavesNothingBehindOnFailure(t *testing.T) {
	for nth := int64(1); ; nth++ {
		cfg, m := newConfig(t)
		mustPrepare(t, cfg, 4<<10, 1)
		faulty := faultfs.New(m)
		rule := faulty.Add(faultfs.Rule{Kinds: vfs.OpMutations, Nth: nth, Err: syscall.EIO})
		_, err := Recycle(on(cfg, faulty), 1, 2, 8<<10)
		if rule.Fired() == 0 {
			must(t, err)
			if nth < 5 {
				t.Errorf("only %d operations", nth)
			}
			return
		}
		names, listErr := m.List(testDir)
		must(t, listErr)
		if !errors.Is(err, syscall.EIO) || len(names) > 0 {
			t.Errorf("operation %d: %v, left behind: %v", nth, err, names)
		}
	}
}

func TestPrepareLeavesNothingBehindOnFailure(t *testing.T) {
	cfg, m := newConfig(t)
	m.SetCapacity(64 << 10)
	if _, err := Prepare(cfg, 1, 1<<20); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatalf("on a full disk: %v", err)
	}
	if names, err := m.List(testDir); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestFileNames(t *testing.T) {
	for _, n := range []base.FileNum{1, 12, 1000000, math.MaxUint64} {
		if got, ok := ParseFileName(FileName(n)); !ok || got != n {
			t.Errorf("%s parsed as %d, %v", FileName(n), got, ok)
		}
	}
	if FileName(12) != "000012.wal" {
		t.Error(FileName(12))
	}
	for _, name := range []string{
		"", ".wal", "1.wal", "+00001.wal", "000001.wal.tmp", "000001.sst", "0000001.wal",
	} {
		if _, ok := ParseFileName(name); ok {
			t.Errorf("%q parsed", name)
		}
	}
}
