package manifest

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// history is what a script has done: the states that were acknowledged, and
// the one that is being attempted.
type history struct {
	acked   []string
	attempt string
}

// allows reports whether a recovered state is the last acknowledged one or the
// attempted one.
func (h *history) allows(got string) bool {
	return len(h.acked) > 0 && got == h.acked[len(h.acked)-1] || h.attempt != "" && got == h.attempt
}

func (h *history) ack(state string) { h.acked, h.attempt = append(h.acked, state), "" }

// script runs the life of a manifest: made, written to, rolled, reopened. It
// stops at the first failure and returns the log that failed, if there is one.
func script(fsys vfs.FS, h *history) (*Log, error) {
	h.attempt = fingerprint(newState(testID))
	l, state, err := Create(fsys, testDir, testID)
	if err != nil {
		return nil, err
	}
	h.ack(fingerprint(state))
	rolled := l.num
	ed := newEditor(11)
	for step := range 12 {
		e := ed.edit(l.State())
		switch step {
		case 5:
			l.rollBytes = 0
			for i := range base.FileNum(8) {
				e.AddFiles = append(e.AddFiles, LevelFile{0, table(1000+i, "a", "b")})
			}
		case 6:
			if l.num == rolled {
				return nil, errors.New("the large edit did not make the manifest roll")
			}
		case 8:
			if err := l.Close(); err != nil {
				return nil, err
			}
			if l, state, err = reopen(fsys); err != nil {
				return nil, err
			}
			if fingerprint(state) != h.acked[len(h.acked)-1] {
				return nil, errors.New("Open found another state")
			}
		}
		next, err := l.State().apply(e)
		if err != nil {
			return nil, err
		}
		h.attempt = fingerprint(next)
		if err := l.Append(e); err != nil {
			return l, err
		}
		h.ack(h.attempt)
	}
	return nil, l.Close()
}

// recoverFrom opens what a crash left, makes sure that it is allowed and that the
// database goes on; the error says what is wrong.
func recoverFrom(crashed *memfs.FS, h *history) error {
	ok, err := Exists(crashed, testDir)
	if err != nil {
		return fmt.Errorf("exists: %w", err)
	}
	var l *Log
	var state *State
	if !ok {
		if len(h.acked) > 0 {
			return errors.New("the database is gone")
		}
		if l, state, err = Create(crashed, testDir, base.DBID{42}); err != nil {
			return fmt.Errorf("create again: %w", err)
		}
	} else {
		loaded, err := load(crashed)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		if !h.allows(fingerprint(loaded)) {
			return errors.New("recovered a state that was never acknowledged or attempted")
		}
		if l, state, err = reopen(crashed); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		if fingerprint(state) != fingerprint(loaded) {
			return errors.New("open and load differ")
		}
	}
	if err := l.Append(&Edit{AddLogs: logs(9000)}); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	after := crashed.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
	loaded, err := load(after)
	if err != nil || indexLog(loaded.Logs, 9000) < 0 {
		return fmt.Errorf("after going on: %w", err)
	}
	return l.Close()
}

func TestCrashAtEveryOperation(t *testing.T) {
	fsys := newFS(t)
	var h history
	checked := 0
	fsys.SetHook(func(op vfs.Op) error {
		if !vfs.OpMutations.Has(op.Kind) || t.Failed() {
			return nil
		}
		for crashed := range fsys.SampleCrashes(24, 6) {
			checked++
			if err := recoverFrom(crashed, &h); err != nil {
				t.Errorf("crash before %v, %d acknowledged: %v", op, len(h.acked), err)
			}
		}
		return nil
	})
	if _, err := script(fsys, &h); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash states", checked)
}

// A crash while recovering from a crash, and once more.
func TestCrashInRecovery(t *testing.T) {
	fsys := newFS(t)
	var h history
	checked := 0
	var dive func(crashed *memfs.FS, depth int) error
	dive = func(crashed *memfs.FS, depth int) (failure error) {
		stop := errors.New("stop")
		for k := int64(1); ; k++ {
			again := crashed.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
			again.SetHook(func(op vfs.Op) error {
				if op.N < k {
					return nil
				}
				return stop
			})
			ok, err := Exists(again, testDir)
			switch {
			case err != nil:
			case ok:
				_, _, err = reopen(again)
			default:
				_, _, err = Create(again, testDir, testID)
			}
			again.SetHook(nil)
			checked++
			for seed := range uint64(2) {
				left := again.Crash(memfs.CrashOptions{Seed: seed + uint64(k), Keep: memfs.KeepRandom})
				if depth > 0 {
					failure = dive(left, depth-1)
				} else {
					failure = recoverFrom(left, &h)
				}
				if failure != nil {
					return fmt.Errorf("stopped at %d: %w", k, failure)
				}
			}
			if !errors.Is(err, stop) {
				return err
			}
		}
	}
	fsys.SetHook(func(op vfs.Op) error {
		// One state per kind of moment is enough at this depth.
		if op.Kind != vfs.OpSyncDir && op.Kind != vfs.OpRename || t.Failed() {
			return nil
		}
		crashed := fsys.Crash(memfs.CrashOptions{Seed: uint64(op.N), Keep: memfs.KeepRandom})
		if err := dive(crashed, 1); err != nil {
			t.Errorf("crash before %v: %v", op, err)
		}
		return nil
	})
	if _, err := script(fsys, &h); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d recoveries cut short", checked)
}

// Every operation fails once, done or not, with both behaviours of failed
// syncs: the log refuses further edits, what was acknowledged survives both a
// crash and a reopening without one, and then the database goes on.
func TestFailureOfEveryOperation(t *testing.T) {
	clean := faultfs.New(newFS(t))
	if _, err := script(clean, &history{}); err != nil {
		t.Fatal(err)
	}
	for nth := int64(1); nth <= clean.Ops(); nth++ {
		for variant := range 4 {
			m := newFS(t)
			m.SetSyncFailure(memfs.SyncFailure(variant & 1))
			faulty := faultfs.New(m)
			rule := faulty.Add(faultfs.Rule{Nth: nth, Err: syscall.EIO, Done: variant&2 != 0})
			var h history
			l, err := script(faulty, &h)
			if rule.Fired() != 1 {
				t.Fatalf("operation %d: the rule fired %d times", nth, rule.Fired())
			}
			if l != nil {
				if again := l.Append(&Edit{}); again == nil || again.Error() != err.Error() {
					t.Fatalf("operation %d: Append after %v: %v", nth, err, again)
				}
			} else if err != nil && !errors.Is(err, syscall.EIO) {
				t.Fatalf("operation %d: %v", nth, err)
			}
			for seed := range uint64(6) {
				o := memfs.CrashOptions{Seed: seed, Keep: memfs.KeepRandom}
				if seed < 2 {
					o.Keep = memfs.Policy(seed)
				}
				if err := recoverFrom(m.Crash(o), &h); err != nil {
					t.Fatalf("operation %d variant %d, crash %d: %v", nth, variant, seed, err)
				}
			}
			if err := recoverFrom(m, &h); err != nil {
				t.Fatalf("operation %d variant %d, reopened: %v", nth, variant, err)
			}
			if err := recoverMore(m); err != nil {
				t.Fatalf("operation %d variant %d, crash after reopening: %v", nth, variant, err)
			}
		}
	}
	t.Logf("%d operations", clean.Ops())
}

// recoverMore crashes after recoverFrom and expects its edit to be there.
func recoverMore(m *memfs.FS) error {
	for seed := range uint64(4) {
		state, err := load(m.Crash(memfs.CrashOptions{Seed: seed, Keep: memfs.KeepRandom}))
		if err != nil {
			return err
		}
		if indexLog(state.Logs, 9000) < 0 {
			return errors.New("an acknowledged edit is gone")
		}
	}
	return nil
}

// Without each of the syncs the crash tests must fail; this proves that they
// would notice.
func TestLyingSyncsAreNoticed(t *testing.T) {
	clean := faultfs.New(newFS(t))
	if _, err := script(clean, &history{}); err != nil {
		t.Fatal(err)
	}
	syncs := clean.Count(vfs.OpAnySync)
	unnoticed := 0
	for nth := int64(1); nth <= syncs; nth++ {
		m := newFS(t)
		faulty := faultfs.New(m)
		var h history
		noticed := false
		faulty.Add(faultfs.Rule{Kinds: vfs.OpAnySync, Nth: nth, Ignore: true})
		faulty.Add(faultfs.Rule{Kinds: vfs.OpMutations, Sticky: true, Before: func(vfs.Op) {
			if noticed {
				return
			}
			for crashed := range m.SampleCrashes(24, 6) {
				noticed = noticed || recoverFrom(crashed, &h) != nil
			}
		}})
		if _, err := script(faulty, &h); err != nil {
			t.Fatal(err)
		}
		if !noticed {
			unnoticed++
			t.Logf("skipping sync %d goes unnoticed", nth)
		}
	}
	// The syncs on Close only protect a proof, not a state.
	if unnoticed > 2 {
		t.Errorf("%d of %d skipped syncs went unnoticed", unnoticed, syncs)
	}
}

// TestNewManifestShowsOldContent cuts the power while a new manifest has its
// length but not its content. What was on that part of the disk before was a
// manifest in force, of the same database. The next Open once took it for a
// newer one than CURRENT knows, and refused the database.
func TestNewManifestShowsOldContent(t *testing.T) {
	fsys := newFS(t)
	l, _, err := Create(fsys, testDir, testID)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, &Edit{LastSeq: 7})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := readFile(fsys, testDir, FileName(1))
	if err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Create(filepath.Join(testDir, FileName(2)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(old, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l, state, err := reopen(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if state.LastSeq != 7 {
		t.Errorf("the state ends at %d, not 7", state.LastSeq)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
