package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// archiving archives the log of a database until stop is called, which waits until everything that was
// durable by then is at the target.
func archiving(t testing.TB, db *lightning.DB, target backup.Target) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	archived, over := make(chan uint64, 1000), make(chan error, 1)
	go func() {
		over <- db.Archive(ctx, target, backup.ArchiveOptions{MaxLag: time.Millisecond, Progress: func(s backup.ArchiveStatus) {
			select {
			case archived <- s.ArchivedSeq:
			case <-ctx.Done():
			}
		}})
	}()
	return func() {
		t.Helper()
		newest := db.Metrics().VisibleSeq
		for {
			select {
			case seq := <-archived:
				if seq < newest {
					continue
				}
			case err := <-over:
				t.Fatalf("archiving has ended: %v", err)
			}
			break
		}
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Fatalf("archiving: %v", err)
		}
	}
}

// step is an operation of a small history.
type step func(db *lightning.DB) error

// smallHistory is a bit of everything that can be in a log: single writes, batches, merges, range deletes, rows that
// expire, keyspaces that come and go and come again, large values, transactions and loads past the
// log, flushes and compactions in between.
func smallHistory() []step {
	ctx := context.Background()
	put := func(key, value string) step {
		return func(db *lightning.DB) error { return db.Put([]byte(key), []byte(value)) }
	}
	in := func(name string, do func(k *lightning.Keyspace) error) step {
		return func(db *lightning.DB) error {
			k, err := db.Keyspace(ctx, name, &lightning.KeyspaceOptions{Merge: lightning.MergeAppend})
			if err != nil {
				return err
			}
			return do(k)
		}
	}
	make := in("lists", func(*lightning.Keyspace) error { return nil })
	merge := func(name, key, operand string) step {
		return in(name, func(k *lightning.Keyspace) error { return k.Merge([]byte(key), []byte(operand)) })
	}
	load := func(n int) step {
		return func(db *lightning.DB) error { return loadRows(db, n) }
	}
	flush := func(db *lightning.DB) error { return db.Flush(ctx) }
	compact := func(db *lightning.DB) error { return db.Compact(ctx, nil, nil) }
	return []step{
		put("a", "1"), put("b", "2"),
		func(db *lightning.DB) error {
			b := db.NewBatch()
			return errors.Join(b.Put([]byte("c"), []byte("3")), b.Delete([]byte("a")), b.Put([]byte("d"), []byte("4")), b.Commit())
		},
		make, merge("lists", "l", "x,"), merge("lists", "l", "y,"), flush, merge("lists", "l", "z,"),
		func(db *lightning.DB) error { return db.PutWithTTL([]byte("gone"), []byte("soon"), time.Nanosecond) },
		func(db *lightning.DB) error { return db.PutWithTTL([]byte("stays"), []byte("long"), time.Hour) },
		load(20), put("load0003", "newer than the load"),
		func(db *lightning.DB) error { return db.DeleteRange([]byte("load0005"), []byte("load0015")) },
		load(30), compact,
		merge("lists", "m", "1,"),
		func(db *lightning.DB) error { return db.DropKeyspace(ctx, "lists") },
		make, merge("lists", "m", "2,"),
		put("large", string(bytes.Repeat([]byte("v"), 5000))),
		func(db *lightning.DB) error {
			return db.Update(func(tx *lightning.Tx) error {
				for i := range 400 {
					if err := tx.Put(fmt.Appendf(nil, "tx%04d", i), bytes.Repeat([]byte("t"), 1500)); err != nil {
						return err
					}
				}
				return tx.DeleteRange([]byte("b"), []byte("d"))
			})
		},
		func(db *lightning.DB) error { return db.DeleteRange([]byte("tx0100"), []byte("tx0390")) },
		flush, put("z", "last"), load(5),
	}
}

// Point in time: a small history, archived as it grows, is restored at each of its sequence numbers, from a
// backup of its beginning and from one of its middle, and is what it was then.
func TestRestoreToEachWrite(t *testing.T) {
	ctx := context.Background()
	away := memfs.New()
	target := backup.DirOn(away, "target")
	db, err := lightning.Open("db", keeping(memfs.New()))
	must(t, err)
	defer db.Close()
	must(t, db.Put([]byte("first"), []byte("row")))
	first, err := db.Backup(ctx, target, backup.Options{})
	must(t, err)
	stop := archiving(t, db, target)
	states := map[uint64]replica{db.Metrics().VisibleSeq: everything(t, db)}
	var middle backup.Info
	for i, do := range smallHistory() {
		if err := do(db); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		states[db.Metrics().VisibleSeq] = everything(t, db)
		if i == len(smallHistory())/2 {
			middle, err = db.Backup(ctx, target, backup.Options{})
			must(t, err)
		}
	}
	stop()
	newest := db.Metrics().VisibleSeq
	if middle.Seq <= first.Seq || middle.Seq >= newest {
		t.Fatalf("backups at %d and %d of %d", first.Seq, middle.Seq, newest)
	}
	for _, from := range []backup.Info{first, middle} {
		at := from.Seq
		for seq := from.Seq; seq <= newest; seq++ {
			if states[seq] != nil {
				at = seq // else it is within a batch, of which nothing is there
			}
			fsys := memfs.New()
			r, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{ID: from.ID, Seq: seq, FS: fsys})
			if err != nil {
				t.Fatalf("restore %d from %d: %v", seq, from.Seq, err)
			}
			if r.ToSeq != at {
				t.Errorf("restored %d of %d", r.ToSeq, seq)
			}
			back := openAt(t, "again", keeping(fsys))
			if got := everything(t, back); !got.equal(states[at]) {
				t.Errorf("restore of %d from %d has %v, want %v", seq, from.Seq, got, states[at])
			}
			if got := back.Metrics().VisibleSeq; got != at {
				t.Errorf("restored to write %d, want %d", got, at)
			}
			must(t, back.Put([]byte("goes"), []byte("on")))
			must(t, back.Close())
		}
	}
	// All of the history is there as well.
	fsys := memfs.New()
	r, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys})
	must(t, err)
	if r.ToSeq != newest || r.ID != middle.ID {
		t.Errorf("restored %+v", r)
	}
	back := openAt(t, "again", keeping(fsys))
	if got, want := tale(t, back), tale(t, db); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("restored changes %q, want %q", got, want)
	}
	must(t, back.Close())
}

// pitSource is a database with a small history, closed, of which the beginning is in a backup.
type pitSource struct {
	disk   *memfs.FS
	away   *memfs.FS // with the backup
	states map[uint64]replica
	begins uint64 // the newest write in the backup
	newest uint64
}

func newPITSource(t testing.TB) *pitSource {
	t.Helper()
	s := &pitSource{disk: memfs.New(), away: memfs.New(), states: map[uint64]replica{}}
	db, err := lightning.Open("db", keeping(s.disk))
	must(t, err)
	must(t, db.Put([]byte("first"), []byte("row")))
	info, err := db.Backup(context.Background(), backup.DirOn(s.away, "target"), backup.Options{})
	must(t, err)
	s.begins = info.Seq
	s.states[info.Seq] = everything(t, db)
	for i, do := range smallHistory() {
		if err := do(db); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		s.states[db.Metrics().VisibleSeq] = everything(t, db)
	}
	s.newest = db.Metrics().VisibleSeq
	must(t, db.Close())
	return s
}

// archive archives all of the log that is not at a target, of the database as it was left. It gives up where the
// target fails.
func (s *pitSource) archive(t testing.TB, target backup.Target, o backup.ArchiveOptions) error {
	t.Helper()
	options := keeping(s.disk)
	options.ReadOnly = true
	db, err := lightning.Open("db", options)
	must(t, err)
	defer db.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	tell := o.Progress
	o.Progress = func(status backup.ArchiveStatus) {
		if tell != nil {
			tell(status)
		}
		if status.Err != nil {
			cancel(status.Err)
		}
	}
	return db.Archive(ctx, target, o)
}

// archived returns a target with a backup and all of the log.
func (s *pitSource) archived(t testing.TB) (*memfs.FS, backup.Target) {
	t.Helper()
	away := s.away.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	target := backup.DirOn(away, "target")
	must(t, s.archive(t, target, backup.ArchiveOptions{}))
	return away, target
}

// check restores to a write, 0 for the newest, and compares.
func (s *pitSource) check(t testing.TB, target backup.Target, seq uint64) uint64 {
	t.Helper()
	fsys := memfs.New()
	r, err := backup.Restore(context.Background(), target, "again", backup.RestoreOptions{Seq: seq, FS: fsys})
	must(t, err)
	back := openAt(t, "again", keeping(fsys))
	if got := everything(t, back); !got.equal(s.states[r.ToSeq]) {
		t.Errorf("restored to %d, which has %v, want %v", r.ToSeq, got, s.states[r.ToSeq])
	}
	must(t, back.Close())
	return r.ToSeq
}

// An archiving that ends at any operation, because the target fails, is full or the machine goes down, leaves a
// beginning of the log that can be restored, and the next one goes on there without a hole.
func TestArchiveFails(t *testing.T) {
	s := newPITSource(t)
	for n := int64(1); ; n++ {
		done := false
		for _, c := range []struct {
			what    string
			failure error
			keep    memfs.Policy // what the power cut leaves that comes then
		}{
			{"fails", errors.New("the network is down"), memfs.KeepNone}, {"is full", lightning.ErrNoSpace, memfs.KeepRandom},
		} {
			under := s.away.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
			away := faultfs.New(under)
			away.Add(faultfs.Rule{Kinds: vfs.OpMutations, Nth: n, Sticky: true, Err: c.failure})
			err := s.archive(t, backup.DirOn(away, "target"), backup.ArchiveOptions{})
			if done = err == nil; !done {
				wantErr(t, err, c.failure)
			}
			target := backup.DirOn(under.Crash(memfs.CrashOptions{Keep: c.keep, Seed: uint64(n)}), "target")
			if got := s.check(t, target, 0); done && got != s.newest {
				t.Errorf("restored to %d of %d, which were archived", got, s.newest)
			}
			must(t, s.archive(t, target, backup.ArchiveOptions{}))
			if got := s.check(t, target, 0); got != s.newest {
				t.Errorf("after a target that %s at operation %d the log goes to %d of %d", c.what, n, got, s.newest)
			}
		}
		if done {
			if n < 15 {
				t.Errorf("%d operations are too few", n)
			}
			return
		}
		if testing.Short() {
			n += 4
		}
	}
}

// A restore to a write that ends at any operation leaves nothing under its name or a whole database, and
// can be done again. So does the first open of that, which brings large transactions to their places.
func TestRestoreToWriteFails(t *testing.T) {
	s := newPITSource(t)
	_, target := s.archived(t)
	failure := errors.New("the disk is gone")
	restore := func(fsys vfs.FS) error {
		_, err := backup.Restore(context.Background(), target, "again", backup.RestoreOptions{Seq: s.newest, FS: fsys})
		return err
	}
	reopen := func(fsys vfs.FS) error {
		db, err := lightning.Open("again", keeping(fsys))
		if err == nil {
			err = db.Close()
		}
		return err
	}
	for _, c := range []struct {
		what   string
		before func(fsys vfs.FS) error
		do     func(fsys vfs.FS) error
	}{
		{"restore", func(vfs.FS) error { return nil }, restore},
		{"open", restore, reopen},
	} {
		for n := int64(1); ; n++ {
			under := memfs.New()
			must(t, c.before(under))
			fsys := faultfs.New(under)
			fsys.Add(faultfs.Rule{Kinds: vfs.OpMutations, Nth: n, Sticky: true, Err: failure})
			err := c.do(fsys)
			for _, keep := range []memfs.Policy{memfs.KeepNone, memfs.KeepAll, memfs.KeepRandom} {
				left := under.Crash(memfs.CrashOptions{Keep: keep, Seed: uint64(n)})
				if _, statErr := left.Stat("again"); errors.Is(statErr, fs.ErrNotExist) {
					if err == nil {
						t.Fatalf("%s: the database is gone", c.what)
					}
					must(t, restore(left))
				}
				back := openAt(t, "again", keeping(left))
				if got := everything(t, back); !got.equal(s.states[s.newest]) {
					t.Fatalf("%s: after a failure at operation %d rows are missing", c.what, n)
				}
				must(t, back.Close())
			}
			if err == nil && fsys.Count(vfs.OpMutations) < n {
				if n < 15 {
					t.Errorf("%s: %d operations are too few", c.what, n)
				}
				break
			}
			if testing.Short() {
				n += 4
			}
		}
	}
}

// Each object of the log, damaged, cut, replaced by another or gone: the restore is refused before anything is
// written, with an error that names it; a check says the same.
func TestArchivedLogDamage(t *testing.T) {
	ctx := context.Background()
	s := newPITSource(t)
	away, target := s.archived(t)
	changes := map[string]func(b []byte) []byte{
		"a flipped bit":    func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"the first bit":    func(b []byte) []byte { b[0] ^= 1; return b },
		"the last bit":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"a torn end":       func(b []byte) []byte { return b[:len(b)*2/3] },
		"nothing":          func(b []byte) []byte { return nil },
		"something longer": func(b []byte) []byte { return append(b, 7) },
		"its end missing":  nil,
	}
	names := objectsOf(t, target, "log/")
	if len(names) < 6 {
		t.Fatalf("%q are too few", names)
	}
	for i, name := range names {
		path := filepath.Join("target", filepath.FromSlash(name))
		before := readAllOf(t, away, path)
		other := readAllOf(t, away, filepath.Join("target", filepath.FromSlash(names[(i+1)%len(names)])))
		changes["another one"] = func([]byte) []byte { return other }
		for what, with := range changes {
			isSeen := strings.HasSuffix(name, "/seen")
			if with == nil {
				if isSeen {
					continue // nothing says that it was there
				}
				must(t, target.Delete(ctx, name))
			} else {
				must(t, target.Put(ctx, name, with(slices.Clone(before))))
			}
			fsys := faultfs.New(memfs.New())
			_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys, Seq: s.newest})
			if !errors.Is(err, lightning.ErrCorrupted) || !strings.Contains(err.Error(), filepath.Dir(name)) {
				t.Errorf("%s with %s: %v", name, what, err)
			}
			if n := fsys.Count(vfs.OpMutations); n > 0 {
				t.Errorf("%s with %s: %d writes before it was refused", name, what, n)
			}
			report, err := backup.Check(ctx, target, backup.CheckOptions{})
			if err != nil || len(report.LogDamage) == 0 || len(report.Damage) > 0 {
				t.Errorf("%s with %s: check says %+v, %v", name, what, report, err)
			}
			must(t, target.Put(ctx, name, before))
		}
	}
	report, err := backup.Check(ctx, target, backup.CheckOptions{})
	if err != nil || report.LogParts != len(names)-1 || len(report.LogDamage) > 0 {
		t.Errorf("check says %+v, %v", report, err)
	}
	// What is damaged and discarded is stored again.
	damaged := names[len(names)-2]
	must(t, target.Put(ctx, damaged, []byte("nonsense")))
	report, err = backup.Check(ctx, target, backup.CheckOptions{Discard: true})
	if err != nil || report.LogDamage[damaged] == nil {
		t.Errorf("check says %+v, %v", report, err)
	}
	must(t, s.archive(t, target, backup.ArchiveOptions{}))
	if got := s.check(t, target, 0); got != s.newest {
		t.Errorf("restored to %d", got)
	}
}
