package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/parity"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// newHealRoom returns a room whose tables have parity, the disk below it, and a table.
func newHealRoom(t testing.TB) (*room, *memfs.FS, *manifest.FileMeta) {
	t.Helper()
	disk := memfs.New()
	r := newRoomOn(t, disk, 0)
	must(t, disk.SyncDir("."))
	r.cfg.ParityPercent = 10
	var records []base.Record
	for i := range 500 {
		records = append(records, rec(fmt.Sprintf("key%04d", i), base.SeqNum(i+1), "a value of some length"))
	}
	return r, disk, r.table(records)
}

// lose zeroes some of the sectors of a table, durably.
func lose(t testing.TB, disk vfs.FS, meta *manifest.FileMeta, sectors ...int64) {
	t.Helper()
	f, err := disk.OpenReadWrite(filepath.Join("db", TableName(meta.Num)))
	must(t, err)
	for _, s := range sectors {
		_, err := f.WriteAt(make([]byte, parity.SectorBytes), s*parity.SectorBytes)
		must(t, err)
	}
	must(t, errors.Join(f.Sync(), f.Close()))
}

func bytesOf(t testing.TB, disk vfs.FS, meta *manifest.FileMeta) []byte {
	t.Helper()
	f, err := disk.Open(filepath.Join("db", TableName(meta.Num)))
	must(t, err)
	defer f.Close()
	b := make([]byte, meta.SizeBytes)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	return b
}

// verifyOn verifies the table as it is on another disk.
func (r *room) verifyOn(disk vfs.FS, meta *manifest.FileMeta) error {
	s := New(Config{FS: disk, Dir: "db", DBID: r.cfg.DBID, Events: r.cfg.Events})
	return s.Keep([]*manifest.FileMeta{meta})[0].Verify(context.Background())
}

// Whatever a crash leaves of a rewriting, the table can be read, and when it has ended the healed
// file is there after any crash.
func TestHealCrashes(t *testing.T) {
	r, disk, meta := newHealRoom(t)
	was := bytesOf(t, disk, meta)
	kept := r.Keep([]*manifest.FileMeta{meta})
	defer r.Unref(kept)
	ops := int64(0)
	for n := int64(1); n == 1 || n <= ops; n++ {
		lose(t, disk, meta, 0, 1)
		r.fs.Reset()
		before := r.fs.Ops()
		r.fs.Add(faultfs.Rule{Nth: n, Before: func(op vfs.Op) {
			for _, o := range []memfs.CrashOptions{{Keep: memfs.KeepNone}, {Keep: memfs.KeepAll}, {Keep: memfs.KeepRandom, Seed: uint64(n)}} {
				left := disk.Crash(o)
				if err := r.verifyOn(left, meta); err != nil {
					t.Errorf("crash before operation %d, %v: %v", n, op, err)
				}
			}
		}})
		done, err := Heal(context.Background(), r.Store, meta.Num)
		if must(t, err); !done {
			t.Fatal("nothing was done")
		}
		ops = r.fs.Ops() - before
		for _, o := range []memfs.CrashOptions{{Keep: memfs.KeepNone}, {Keep: memfs.KeepAll}} {
			left := disk.Crash(o)
			if !bytes.Equal(bytesOf(t, left, meta), was) {
				t.Fatal("the healed file is not there after a crash")
			}
		}
	}
	if ops < 8 {
		t.Errorf("%d operations", ops)
	}
}

// A rewriting that fails, at whichever operation, also for lack of space, leaves the table as it
// was, and nothing beside it; the next one works.
func TestHealFails(t *testing.T) {
	for _, failure := range []error{errInjected, vfs.ErrNoSpace} {
		r, disk, meta := newHealRoom(t)
		was := bytesOf(t, disk, meta)
		kept := r.Keep([]*manifest.FileMeta{meta})
		defer r.Unref(kept)
		for n := int64(1); ; n++ {
			lose(t, disk, meta, 0)
			r.fs.Reset()
			writes := vfs.OpCreate | vfs.OpWrite | vfs.OpSync | vfs.OpSyncData | vfs.OpRename | vfs.OpSyncDir
			rule := r.fs.Add(faultfs.Rule{Kinds: writes, Nth: n, Err: failure})
			_, err := Heal(context.Background(), r.Store, meta.Num)
			if rule.Fired() == 0 {
				must(t, err)
				break
			}
			if !errors.Is(err, failure) {
				t.Errorf("operation %d failed: %v", n, err)
			}
			must(t, r.verifyOn(disk, meta))
			r.expectFiles(meta)
		}
		if !bytes.Equal(bytesOf(t, disk, meta), was) {
			t.Error("the file is not what it was")
		}
	}
}

// What parity cannot make good is not replaced.
func TestHealBeyond(t *testing.T) {
	r, disk, meta := newHealRoom(t)
	kept := r.Keep([]*manifest.FileMeta{meta})
	defer r.Unref(kept)
	lose(t, disk, meta, 0, 1, 2)
	was := bytesOf(t, disk, meta)
	if _, err := Heal(context.Background(), r.Store, meta.Num); err == nil {
		t.Error("it was healed")
	}
	if !bytes.Equal(bytesOf(t, disk, meta), was) {
		t.Error("it was replaced")
	}
	r.expectFiles(meta)
}

// Nobody's table, and one without parity, are left alone.
func TestHealNothing(t *testing.T) {
	r := newRoom(t)
	if done, err := Heal(context.Background(), r.Store, 99); done || err != nil {
		t.Errorf("a table that is not there: %v, %v", done, err)
	}
	meta := r.table([]base.Record{rec("a", 1, "b")})
	kept := r.Keep([]*manifest.FileMeta{meta})
	defer r.Unref(kept)
	if done, err := Heal(context.Background(), r.Store, meta.Num); done || err == nil {
		t.Errorf("a table without parity: %v, %v", done, err)
	}
}
