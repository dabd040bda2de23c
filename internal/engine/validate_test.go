package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Commits that wait become one group. A transaction in it is checked against
// those ahead of it, which are not in the memtable yet, and only against those
// that are really written.
func TestValidationLooksAtItsGroup(t *testing.T) {
	put := func(b *batch.Batch) { must(t, b.Set(nil, []byte("\x00k"), []byte("\x002"))) }
	for name, c := range map[string]struct {
		ahead    func(b *batch.Batch)
		conflict bool
	}{
		"put":                 {put, true},
		"range delete":        {func(b *batch.Batch) { must(t, b.DeleteRange([]byte("\x00a"), []byte("\x00z"))) }, true},
		"put beside":          {func(b *batch.Batch) { must(t, b.Set(nil, []byte("\x00l"), nil)) }, false},
		"range delete beside": {func(b *batch.Batch) { must(t, b.DeleteRange([]byte("\x00l"), []byte("\x00z"))) }, false},
	} {
		for _, span := range []bool{false, true} {
			db := openTest(t, testOptions(memfs.New()))
			must(t, db.Commits().Set(nil, nil, []byte("\x00k"), []byte("\x001"), commit.Async))
			snap, err := db.Reads().Snapshot()
			must(t, err)
			reads := &txn.Reads{}
			if span {
				reads.AddSpan([]byte("\x00j"), []byte("\x00k1"))
			} else {
				reads.AddPoint([]byte("\x00k"))
			}
			reads.Freeze()
			var ahead, behind batch.Batch
			c.ahead(&ahead)
			must(t, behind.Set(nil, []byte("\x00x"), nil))

			answers := make(chan error, 2)
			must(t, db.commits.Alone(context.Background(), func() error {
				for i, commit := range []func() error{
					func() error { return db.Commit(t.Context(), &ahead, commit.Async) },
					func() error {
						return db.CommitTx(context.Background(), &behind, commit.Async, &view.ReadSet{Since: snap.Seq(), Reads: reads})
					},
				} {
					go func() { answers <- commit() }()
					waitForQueue(db, i+1)
				}
				return nil
			}))
			err = errors.Join(<-answers, <-answers)
			if got := errors.Is(err, txn.ErrConflict); got != c.conflict || err != nil && !got {
				t.Errorf("%s, span %v: %v", name, span, err)
			}
			must(t, snap.Close())
			must(t, db.Close())
		}
	}
}

// While a commit waits for its sync, a transaction that has read what it writes is refused,
// once that is visible; one that has read something else is in the log behind it.
func TestValidationLooksAtFlights(t *testing.T) {
	files := faultfs.New(memfs.New())
	db := openTest(t, testOptions(files))
	defer db.Close()
	must(t, db.Commits().Set(nil, nil, []byte("\x00k"), []byte("1"), commit.Async))
	snap, err := db.Reads().Snapshot()
	must(t, err)
	defer snap.Close()
	reached, released := make(chan struct{}), make(chan struct{})
	files.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Before: func(vfs.Op) { close(reached); <-released }})

	first := make(chan error, 1)
	go func() { first <- db.Commits().Set(nil, nil, []byte("\x00k"), []byte("2"), commit.Sync) }()
	<-reached
	tx := func(writes, reads string) <-chan error {
		var b batch.Batch
		must(t, b.Set(nil, []byte(writes), nil))
		set := &view.ReadSet{Since: snap.Seq(), Reads: new(txn.Reads)}
		set.Reads.AddPoint([]byte(reads))
		set.Reads.Freeze()
		done := make(chan error, 1)
		go func() { done <- db.CommitTx(nil, &b, commit.Sync, set) }()
		return done
	}
	before := db.segments.Log().Appended()
	beside := tx("\x00b", "\x00a")
	for db.segments.Log().Appended() == before {
		runtime.Gosched()
	}
	across := tx("\x00x", "\x00k")
	flushed := make(chan error, 1)
	go func() { flushed <- db.Flush(t.Context()) }()
	if value, err := db.Reads().AppendGet(nil, []byte("\x00k")); string(value) != "1" || err != nil {
		t.Errorf("%q, %v is read before the sync", value, err)
	}
	close(released)
	must(t, <-first)
	must(t, <-beside)
	if err := <-across; !errors.Is(err, txn.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if value, err := db.Reads().AppendGet(nil, []byte("\x00k")); string(value) != "2" || err != nil {
		t.Errorf("%q, %v is read after the conflict", value, err)
	}
	must(t, <-flushed)
}

// What the check of a transaction that read ten keys costs the leader: the keys
// lie in tables, the memtable has a thousand newer writes of others.
func BenchmarkValidateTenKeys(b *testing.B) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes, opts.MemoryBudget = 4<<20, 64<<20
	db := openTest(b, opts)
	defer db.Close()
	fillFile(b, db, "k", 20_000)
	snap, err := db.Reads().Snapshot()
	must(b, err)
	defer snap.Close()
	fill(b, db, "m", 1000)
	reads := &txn.Reads{}
	for i := range 10 {
		reads.AddPoint(fmt.Appendf(nil, "\x00k%05d", i*1999))
	}
	reads.Freeze()
	check := &view.ReadSet{Since: snap.Seq(), Reads: reads}
	b.ReportAllocs()
	for b.Loop() {
		if err := db.Reads().Validate(check); err != nil {
			b.Fatal(err)
		}
	}
}
