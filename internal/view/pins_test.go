package view

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// look is what somebody found who was about to drop old records, or to join operands.
type look struct {
	visible base.SeqNum // before he looked
	seqs    []base.SeqNum
	at      base.Instant // up to when he drops what expires; 0: nothing
}

// leavesOut reports whether a snapshot is missed: it is older than what he saw, or lives
// before the time, and he does not know.
func (l *look) leavesOut(s *Snapshot) bool {
	return !slices.Contains(l.seqs, s.at.Seq) && (s.at.Seq < l.visible || s.at.Time < l.at)
}

// Whoever drops old records finds every snapshot, or it is as new as all that he has seen.
// The same holds for who joins operands.
func TestSnapshotsAreFoundOrNew(t *testing.T) {
	r := newRoom(t, 0)
	r.timeline.Use()
	var last atomic.Pointer[look]
	last.Store(new(look))
	var stop atomic.Bool
	var background sync.WaitGroup
	visible := atomic.Uint64{}
	var leader sync.Mutex // one publishes at a time
	publish := func() {
		leader.Lock()
		defer leader.Unlock()
		r.Publish(base.SeqNum(visible.Add(1)))
	}
	for _, work := range []func(){
		publish,
		func() { r.clock.at.Add(1) },
		func() {
			l := look{visible: r.VisibleSeq()}
			l.seqs = r.SnapshotSeqs()
			last.Store(&l)
		},
		func() {
			l := look{visible: r.VisibleSeq()}
			p := r.Pinned()
			l.seqs, l.at = p.Seqs, p.Times[len(p.Times)-1]
			last.Store(&l)
		},
		func() {
			leader.Lock()
			defer leader.Unlock()
			must(t, r.KeepSnapshotsOut(func(newest base.SeqNum) error {
				l := look{visible: base.SeqNum(visible.Add(1))} // between here and newest is none
				for seq := l.visible - min(l.visible, 100); seq <= newest; seq++ {
					l.seqs = append(l.seqs, seq)
				}
				runtime.Gosched()
				r.Publish(l.visible)
				last.Store(&l)
				return nil
			}))
		},
	} {
		background.Go(func() {
			for !stop.Load() {
				work()
				runtime.Gosched()
			}
		})
	}
	var openers sync.WaitGroup
	for range 3 {
		openers.Go(func() {
			for range 20_000 {
				var s Snapshot
				if err := r.OpenForTx(&s); err != nil {
					t.Error(err)
					return
				}
				l := last.Load()
				if base.SeqNum(visible.Load())-s.at.Seq < 100 && l.leavesOut(&s) {
					t.Errorf("a snapshot at %d, living at %d, is not in %+v", s.at.Seq, s.at.Time, *l)
				}
				must(t, s.Close())
			}
		})
	}
	openers.Wait()
	stop.Store(true)
	background.Wait()
	if r.handles.pins.any() {
		t.Error("a pin is not free")
	}
}

// There are as many pins as snapshots are open; each says what it sees.
func TestManySnapshots(t *testing.T) {
	r := newRoom(t, 0)
	closed := 0
	r.cfg.SnapshotClosed = func() { closed++ }
	const count = 1000
	var open []*Snapshot
	var want []base.SeqNum
	for seq := range base.SeqNum(count) {
		r.Publish(seq)
		s, err := r.Snapshot()
		must(t, err)
		open, want = append(open, s), append(want, seq)
	}
	for i, s := range open {
		if i == count/2 {
			if got := r.SnapshotSeqs(); !slices.Equal(got, want[i:]) {
				t.Errorf("%d of %d are listed", len(got), count-i)
			}
			if closed != 0 {
				t.Errorf("%d were waited for before anybody has looked", closed)
			}
		}
		must(t, s.Close())
		wantErr(t, s.Close(), base.ErrInvalidHandle)
	}
	if closed != count/2 || r.handles.pins.any() {
		t.Errorf("%d that were listed are known to have gone", closed)
	}
	s, err := r.Snapshot() // in a pin that was listed before
	must(t, err)
	must(t, s.Close())
	if closed != count/2 {
		t.Error("one that nobody has seen was waited for")
	}
}

// Whoever has found a snapshot is told when it is closed, also when somebody else takes its
// slot meanwhile.
func TestWhoIsListedIsMissed(t *testing.T) {
	const count = 200_000
	var ps pins
	var found, missed [count]bool
	moved := ps.claim(KindSnapshot, ReadPoint{})
	moved.list()
	if moved.move(KindSnapshot, ReadPoint{Seq: 1}); !moved.release() {
		t.Error("a snapshot that was found was moved, and is not missed")
	}
	var stop atomic.Bool
	var lister sync.WaitGroup
	lister.Go(func() {
		for !stop.Load() {
			for p := range ps.all {
				if at, ok := p.list(); ok {
					found[at.Seq] = true
				}
			}
		}
	})
	for seq := range base.SeqNum(count) {
		p := ps.claim(KindSnapshot, ReadPoint{Seq: seq})
		if seq%3 == 0 {
			p.move(KindSnapshot, ReadPoint{Seq: seq})
		}
		missed[seq] = p.release()
	}
	stop.Store(true)
	lister.Wait()
	seen := 0
	for seq := range found {
		if found[seq] {
			seen++
		}
		if found[seq] != missed[seq] {
			t.Fatalf("snapshot %d: found %v, missed %v", seq, found[seq], missed[seq])
		}
	}
	if seen == 0 {
		t.Skip("none was found: one processor")
	}
}

// What many snapshots have taken is not looked through once they are closed.
func TestEmptyBlocksOfPinsAreSkipped(t *testing.T) {
	var ps pins
	var open []*pin
	for seq := range base.SeqNum(10_000) {
		open = append(open, ps.claim(KindSnapshot, ReadPoint{Seq: seq}))
	}
	if ps.newest() != 9_999 {
		t.Errorf("the newest is at %d", ps.newest())
	}
	for _, p := range open {
		p.release()
	}
	for i := range ps.blocks {
		if b := ps.blocks[i].Load(); b != nil && b.used.Load() != 0 {
			t.Errorf("%d slots of block %d are used", b.used.Load(), i)
		}
	}
	if ps.any() {
		t.Error("a pin is not free")
	}
}

// Who has seen that the database is open, and then comes behind Close, is refused, and leaves
// no pin.
func TestSnapshotThatCloseOvertakes(t *testing.T) {
	r := newRoom(t, 0)
	r.Close()
	var s Snapshot
	wantErr(t, s.pinIn(&r.Reader, KindSnapshot), base.ErrClosed)
	if r.handles.pins.any() {
		t.Error("a pin is not free")
	}
	r.GiveUp()
}

// While operands are joined no snapshot is opened.
func TestSnapshotsWaitForJoins(t *testing.T) {
	r := newRoom(t, 0)
	var begun, opened atomic.Bool
	var s Snapshot
	var opener sync.WaitGroup
	must(t, r.KeepSnapshotsOut(func(base.SeqNum) error {
		opener.Go(func() {
			begun.Store(true)
			must(t, r.OpenForTx(&s))
			opened.Store(true)
		})
		for i := 0; i < 10_000 || !begun.Load(); i++ {
			runtime.Gosched()
		}
		if opened.Load() {
			t.Error("a snapshot was opened meanwhile")
		}
		r.Publish(7)
		return nil
	}))
	opener.Wait()
	if s.Seq() != 7 {
		t.Errorf("the snapshot is at %d", s.Seq())
	}
	must(t, s.Close())
}

// Who comes after Close is refused, and at no moment looks like a leak.
func TestRefusedSnapshotIsNoLeak(t *testing.T) {
	r := newRoom(t, 0)
	r.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100_000 {
			_, err := r.Snapshot()
			wantErr(t, err, base.ErrClosed)
		}
	}()
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
		}
		if err := r.Leaks(); err != nil {
			t.Fatal(err)
		}
	}
	r.GiveUp()
}

// A snapshot that is opened beside Close is reported, or is not there.
func TestSnapshotsOpenedBesideClose(t *testing.T) {
	for range 200 {
		r := newRoom(t, 0)
		opened := make(chan *Snapshot)
		go func() {
			s, err := r.Snapshot()
			if err != nil {
				wantErr(t, err, base.ErrClosed)
			}
			opened <- s
		}()
		r.Close()
		leaks := r.Leaks()
		idle := false
		r.WhenIdle(func() { idle = true })
		if s := <-opened; s != nil {
			if !errors.Is(leaks, ErrLeaked) {
				t.Errorf("an open snapshot was not reported: %v", leaks)
			}
			must(t, s.Close())
		}
		if !idle {
			t.Error("nobody was told that the last snapshot has gone")
		}
		r.GiveUp()
	}
}

func BenchmarkSnapshot(b *testing.B) {
	r := newRoom(b, 0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var s Snapshot
			if r.OpenForTx(&s) != nil || s.Close() != nil {
				b.Error("it cannot be opened and closed")
				return
			}
		}
	})
}
