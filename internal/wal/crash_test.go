package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const scriptSegmentBytes = 6 << 10

// story is the life of a log as its owner sees it: what was appended, how far
// Sync has said it is durable, and what a manifest would say.
type story struct {
	cfg      Config
	w        *writer
	synced   Position
	segments []Segment
	recycled Segment
	from     Position
}

// run plays the story and stops at the first failure.
func (s *story) run() error {
	first, err := Prepare(s.cfg, 1, scriptSegmentBytes)
	if err != nil {
		return err
	}
	s.segments = []Segment{first}
	l, err := NewLog(s.cfg, first, 0, 0)
	if err != nil {
		return err
	}
	s.w = newWriter(l, 77)
	steps := []func() error{
		s.append(100), s.flush, s.append(600), s.append(0), s.sync, s.append(900), s.flush,
		s.rotate(2), s.append(1500), s.append(30), s.flush, s.append(700), s.sync,
		s.append(minBufferBytes + 3000), s.append(20), s.recycle(1, 3), s.flush, s.rotate(3),
		s.append(200), s.flush, s.append(40), s.sync, s.append(3000), s.append(3000), s.flush,
		s.rotate(4), s.rotate(5), s.append(50), s.flush, s.append(60),
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	end := l.Appended()
	if err := l.Close(); err != nil {
		return err
	}
	s.synced = end
	return nil
}

func (s *story) append(size int) func() error {
	return func() error { return s.w.append(size) }
}

func (s *story) flush() error { return s.w.l.Flush() }

func (s *story) sync() error {
	end := s.w.l.Appended()
	if err := s.w.l.Sync(); err != nil {
		return err
	}
	s.synced = end
	return nil
}

// rotate prepares the segment, unless it is recycled, lists it, and goes on in it.
func (s *story) rotate(n base.FileNum) func() error {
	return func() error {
		next := s.recycled
		if n != next.Num {
			var err error
			if next, err = Prepare(s.cfg, n, scriptSegmentBytes); err != nil {
				return err
			}
		}
		s.segments = append(slices.Clip(s.segments), next)
		return s.w.l.Rotate(next)
	}
}

// recycle pretends that everything in segment n has gone to tables.
func (s *story) recycle(n, to base.FileNum) func() error {
	return func() (err error) {
		s.segments = slices.DeleteFunc(slices.Clone(s.segments), func(s Segment) bool { return s.Num == n })
		s.from = s.w.l.current.start
		s.recycled, err = Recycle(s.cfg, n, to, scriptSegmentBytes)
		return err
	}
}

// verify replays what a crash left, and goes on from there in two ways: with
// the old segments forgotten, and with them still listed.
func (s *story) verify(crashed vfs.FS) error {
	cfg := on(s.cfg, crashed)
	got, r, err := replayAll(cfg, s.from, s.segments...)
	if err != nil {
		return err
	}
	if s.w == nil {
		if len(got) > 0 {
			return errors.New("groups out of nothing")
		}
		return nil
	}
	needed := slices.DeleteFunc(slices.Clone(s.w.groups), func(g group) bool { return g.end <= s.from })
	if len(got) == 0 && r.End == s.from && s.synced <= s.from {
		err = nil
	} else {
		err = check(needed, got, r, max(s.synced, s.from))
	}
	if err != nil {
		return fmt.Errorf("%w (%+v)", err, r)
	}
	return s.goOn(cfg, got, r)
}

func (s *story) goOn(cfg Config, before []group, r Result) error {
	next, err := Prepare(cfg, 10, scriptSegmentBytes)
	if err != nil {
		return err
	}
	l, err := NewLog(cfg, next, r.End, r.LastSeq)
	if err != nil {
		return err
	}
	w := newWriter(l, 5)
	w.seq = r.LastSeq
	for range 3 {
		if err := w.append(200); err != nil {
			return err
		}
	}
	if err := l.Sync(); err != nil {
		return err
	}
	for name, run := range map[string]struct {
		from     Position
		segments []Segment
		want     int
	}{
		"alone":          {r.End, []Segment{next}, 3},
		"behind the old": {s.from, append(slices.Clip(s.segments), next), len(before) + 3},
	} {
		got, again, err := replayAll(cfg, run.from, run.segments...)
		if err != nil || len(got) != run.want || again.End != l.Appended() {
			return fmt.Errorf("new segment %s: %d groups of %d, %+v: %w", name, len(got), run.want, again, err)
		}
	}
	return l.Close()
}

func TestCrashAtEveryOperation(t *testing.T) {
	cfg, m := newConfig(t)
	s := &story{cfg: cfg}
	checked, torn := 0, 0
	m.SetHook(func(op vfs.Op) error {
		if !vfs.OpMutations.Has(op.Kind) || t.Failed() {
			return nil
		}
		for crashed := range m.SampleCrashes(80, 20) {
			checked++
			if _, r, err := replayAll(on(cfg, crashed), s.from, s.segments...); err == nil && r.TornBytes > 0 {
				torn++
			}
			if err := s.verify(crashed); err != nil && !t.Failed() {
				t.Errorf("crash before %v: %v", op, err)
			}
		}
		return nil
	})
	must(t, s.run())
	t.Logf("%d crash states, %d with a torn end", checked, torn)
	if torn == 0 {
		t.Error("no crash tore the log")
	}
}

// Every operation fails once, done or not. The log refuses everything from the
// first failed write or sync on, with the same error, and never touches the
// disk again; what was durable stays so.
func TestFailureOfEveryOperation(t *testing.T) {
	cfg, m := newConfig(t)
	clean := faultfs.New(m)
	must(t, (&story{cfg: on(cfg, clean)}).run())
	for nth := int64(1); nth <= clean.Ops(); nth++ {
		for variant := range 4 {
			cfg, m := newConfig(t)
			m.SetSyncFailure(memfs.SyncFailure(variant & 1))
			faulty := faultfs.New(m)
			var failed vfs.Op
			rule := faulty.Add(faultfs.Rule{
				Nth: nth, Err: syscall.EIO, Done: variant&2 != 0, Before: func(op vfs.Op) { failed = op },
			})
			s := &story{cfg: on(cfg, faulty)}
			err := s.run()
			if rule.Fired() != 1 || !errors.Is(err, syscall.EIO) {
				t.Fatalf("%v failed, and the story ended with %v", failed, err)
			}
			if s.w != nil && (failed.Kind&(vfs.OpWrite|vfs.OpSyncData) != 0) && !s.preparing(failed) {
				s.checkPoison(t, faulty, failed, err)
			}
			for seed := range uint64(8) {
				o := memfs.CrashOptions{Seed: seed, Keep: memfs.KeepRandom}
				if seed < 2 {
					o.Keep = memfs.Policy(seed)
				}
				if err := s.verify(m.Crash(o)); err != nil {
					t.Fatalf("%v failed, variant %d, crash %d: %v", failed, variant, seed, err)
				}
			}
		}
	}
	t.Logf("%d operations", clean.Ops())
}

// preparing reports whether the operation belongs to Prepare or Recycle.
func (s *story) preparing(op vfs.Op) bool {
	num := func(n base.FileNum) string { return testDir + "/" + FileName(n) }
	return op.Name == num(1) && s.from > 0 ||
		!slices.ContainsFunc(s.segments, func(s Segment) bool { return op.Name == num(s.Num) })
}

func (s *story) checkPoison(t *testing.T, faulty *faultfs.FS, failed vfs.Op, first error) {
	t.Helper()
	l := s.w.l
	ops, durable := faulty.Ops(), l.Durable()
	if errors.Is(l.failed(), base.ErrClosed) { // it happened in Close
		return
	}
	_, appendErr := l.Append(s.w.seq+1, s.w.seq+1, []byte("late"))
	for name, err := range map[string]error{
		"append": appendErr, "flush": l.Flush(), "sync": l.Sync(), "rotate": l.Rotate(Segment{Num: 2}),
	} {
		if err == nil || err.Error() != first.Error() {
			t.Fatalf("%v failed; then %s: %v", failed, name, err)
		}
	}
	if faulty.Ops() != ops || l.Durable() != durable {
		t.Fatalf("%v failed; the log went on all the same", failed)
	}
	syncs := faulty.Count(vfs.OpAnySync | vfs.OpSyncData | vfs.OpWrite)
	if err := l.Close(); err == nil || err.Error() != first.Error() {
		t.Fatalf("%v failed; then close: %v", failed, err)
	}
	if faulty.Count(vfs.OpAnySync|vfs.OpSyncData|vfs.OpWrite) != syncs {
		t.Fatalf("%v failed; Close wrote or synced again", failed)
	}
}

// A sync that lies must be noticed by the crash test above; if not, the test
// is worth nothing.
func TestLyingSyncsAreNoticed(t *testing.T) {
	cfg, m := newConfig(t)
	clean := faultfs.New(m)
	must(t, (&story{cfg: on(cfg, clean)}).run())
	syncs := clean.Count(vfs.OpAnySync)
	var unnoticed []string
	for nth := int64(1); nth <= syncs; nth++ {
		cfg, m := newConfig(t)
		faulty := faultfs.New(m)
		s := &story{cfg: on(cfg, faulty)}
		noticed := false
		var lied vfs.Op
		faulty.Add(faultfs.Rule{
			Kinds: vfs.OpAnySync, Nth: nth, Ignore: true, Before: func(op vfs.Op) { lied = op },
		})
		faulty.Add(faultfs.Rule{Kinds: vfs.OpMutations, Sticky: true, Before: func(vfs.Op) {
			for seed := uint64(0); seed < 8 && !noticed; seed++ {
				o := memfs.CrashOptions{Seed: seed, Keep: memfs.KeepRandom}
				if seed < 1 {
					o.Keep = memfs.KeepNone
				}
				noticed = s.verify(m.Crash(o)) != nil
			}
		}})
		must(t, s.run())
		noticed = noticed || s.verify(m.Crash(memfs.CrashOptions{})) != nil
		if !noticed {
			unnoticed = append(unnoticed, lied.String())
		}
	}
	// Zeroes that are not durable read as zeroes all the same; nothing is in
	// segment 4; and of the two syncs of Close the other one suffices.
	t.Logf("%d syncs, unnoticed if skipped: %q", syncs, unnoticed)
	for _, op := range unnoticed {
		if !strings.Contains(op, " sync db/") && !strings.Contains(op, "sync-data db/000004.wal") &&
			!strings.Contains(op, "sync-data db/000005.wal") {
			t.Errorf("skipping %s goes unnoticed", op)
		}
	}
}
