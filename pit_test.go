package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
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
