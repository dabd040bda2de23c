package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// scribble writes into slices that are lent.
func scribble(slices ...[]byte) {
	for _, s := range slices {
		for i := range s {
			s[i] ^= 0x55
		}
	}
}

// vandals write into everything that a verb lends, and return its error.
func vandals() map[string]func(db *lightning.DB) error {
	value := func(value []byte) error { scribble(value); return nil }
	values := func(_ int, value []byte, err error) error { scribble(value); return err }
	rows := func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			scribble(k, v)
		}
		return nil
	}
	keys := [][]byte{lentKey(1), lentKey(2)}
	return map[string]func(db *lightning.DB) error{
		"GetFunc":  func(db *lightning.DB) error { return db.GetFunc(lentKey(1), value) },
		"MultiGet": func(db *lightning.DB) error { return db.MultiGet(keys, values) },
		"Scan":     func(db *lightning.DB) error { return db.Scan(lightning.ScanOptions{}, rows) },
		"Scan backwards": func(db *lightning.DB) error {
			return db.Scan(lightning.ScanOptions{Reverse: true}, rows)
		},
		"Snapshot.GetFunc": func(db *lightning.DB) error {
			return inSnapshot(db, func(s *lightning.Snapshot) error { return s.GetFunc(lentKey(1), value) })
		},
		"Snapshot.MultiGet": func(db *lightning.DB) error {
			return inSnapshot(db, func(s *lightning.Snapshot) error { return s.MultiGet(keys, values) })
		},
		"Snapshot.Scan": func(db *lightning.DB) error {
			return inSnapshot(db, func(s *lightning.Snapshot) error { return s.Scan(lightning.ScanOptions{}, rows) })
		},
		"Iterator": func(db *lightning.DB) error {
			it, err := db.Iterator(lightning.IterOptions{})
			if err != nil {
				return err
			}
			for ok := it.First(); ok; ok = it.Next() {
				scribble(it.Key(), it.Value())
			}
			return it.Close()
		},
		"Iterator, the last row": func(db *lightning.DB) error {
			it, err := db.Iterator(lightning.IterOptions{})
			if err != nil {
				return err
			}
			it.First()
			scribble(it.Key(), it.Value())
			return it.Close()
		},
		"Iterator, back and forth": func(db *lightning.DB) error {
			it, err := db.Iterator(lightning.IterOptions{})
			if err != nil {
				return err
			}
			it.Last()
			for range lentRows {
				for _, move := range []func() bool{it.Prev, it.Next, it.Prev, it.Prev} {
					move()
					scribble(it.Key(), it.Value())
				}
			}
			return it.Close()
		},
		"Tx.Range": func(db *lightning.DB) error {
			return db.View(func(tx *lightning.Tx) error {
				for k, v := range tx.Range(nil, nil) {
					scribble(k, v)
				}
				return nil
			})
		},
		"Tx.Scan": func(db *lightning.DB) error {
			return db.View(func(tx *lightning.Tx) error { return tx.Scan(lightning.ScanOptions{}, rows) })
		},
	}
}

func inSnapshot(db *lightning.DB, fn func(s *lightning.Snapshot) error) error {
	s, err := db.Snapshot()
	if err != nil {
		return err
	}
	return errors.Join(fn(s), s.Close())
}

const lentRows = 300

func lentKey(i int) []byte { return fmt.Appendf(nil, "key-%06d", i) }

func lentValue(i int) []byte { return fmt.Appendf(nil, "value-%d-%s", i, strings.Repeat("v", 20)) }

func fillRows(t testing.TB, db *lightning.DB) {
	t.Helper()
	for i := range lentRows {
		must(t, db.Put(lentKey(i), lentValue(i)))
	}
}

// expectRows looks whether the database holds what fillRows has written.
func expectRows(t testing.TB, db *lightning.DB) {
	t.Helper()
	i := 0
	must(t, db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			if !bytes.Equal(k, lentKey(i)) || !bytes.Equal(v, lentValue(i)) {
				t.Fatalf("row %d is %q = %q", i, k, v)
			}
			i++
		}
		return nil
	}))
	if i != lentRows {
		t.Fatalf("%d rows, want %d", i, lentRows)
	}
	for i := range lentRows {
		v, err := db.Get(lentKey(i))
		if must(t, err); !bytes.Equal(v, lentValue(i)) {
			t.Fatalf("row %d is %q", i, v)
		}
	}
}

func checked(fs *memfs.FS) *lightning.Options {
	opts := small(fs)
	opts.Durability = lightning.DurabilityAsync
	opts.Debug.CheckSlices = true
	return opts
}

// TestCheckSlicesNamesTheCulprit writes into what every verb lends: the verb fails
// and says who got the slice, and the database is as it was.
func TestCheckSlicesNamesTheCulprit(t *testing.T) {
	for name, vandal := range vandals() {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			opts := checked(memfs.New())
			opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
			db := open(t, opts)
			fillRows(t, db)
			for _, flushed := range []bool{false, true} {
				err := vandal(db)
				var found *lightning.SliceError
				if !errors.As(err, &found) || !errors.Is(err, lightning.ErrSliceWritten) {
					t.Fatalf("flushed %t: %v", flushed, err)
				}
				if !strings.Contains(found.Stack, "lent_test.go") || found.Late || found.Offset != 0 {
					t.Errorf("flushed %t: %+v names nobody", flushed, found)
				}
				expectRows(t, db)
				must(t, db.Flush(t.Context()))
			}
			if !strings.Contains(log.String(), "slice was written to") {
				t.Errorf("the log has %q", log.String())
			}
			must(t, db.Close())
		})
	}
}

// TestCheckSlicesOnlyReads uses every verb as one may, under the option.
func TestCheckSlicesOnlyReads(t *testing.T) {
	db := open(t, checked(memfs.New()))
	fillRows(t, db)
	expectRows(t, db)
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	if it.Key() != nil || it.Value() != nil || it.Valid() {
		t.Error("a row before the first")
	}
	if !it.Last() || !bytes.Equal(it.Key(), lentKey(lentRows-1)) || &it.Key()[0] != &it.Key()[0] {
		t.Errorf("the last row is %q", it.Key())
	}
	if !it.Prev() || !it.SeekGE(lentKey(5)) || !it.SeekLT(lentKey(5)) || !bytes.Equal(it.Value(), lentValue(4)) {
		t.Errorf("row 4 is %q", it.Value())
	}
	must(t, it.Close())
	wantErr(t, it.Close(), lightning.ErrHandleClosed)
	wantErr(t, db.GetFunc([]byte("absent"), func([]byte) error { return nil }), lightning.ErrNotFound)
	must(t, db.Close())
}

// TestCheckSlicesFindsKeptSlices keeps a slice and writes into it later.
func TestCheckSlicesFindsKeptSlices(t *testing.T) {
	db := open(t, checked(memfs.New()))
	fillRows(t, db)
	var kept []byte
	must(t, db.GetFunc(lentKey(1), func(value []byte) error { kept = value; return nil }))
	if kept[0] != 0xdb {
		t.Errorf("%q can still be read", kept)
	}
	kept[3] = 'x'
	expectRows(t, db)
	var found *lightning.SliceError
	if err := db.Close(); !errors.As(err, &found) || !found.Late || found.Verb != "GetFunc" {
		t.Errorf("close: %v", err)
	}
}

func TestCheckSlicesOfBatchesAndChanges(t *testing.T) {
	db := open(t, checked(memfs.New()))
	b := db.NewBatch()
	must(t, b.Put(lentKey(0), lentValue(0)))
	for op := range b.All() {
		scribble(op.Key, op.Value)
	}
	must(t, b.Commit())
	if v, err := db.Get(lentKey(0)); err != nil || !bytes.Equal(v, lentValue(0)) {
		t.Errorf("%q, %v", v, err)
	}
	for _, stop := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var last error
		turns := 0
		for batch, err := range db.Changes(ctx, 0) {
			if last = err; err != nil {
				break
			}
			turns++
			for c := range batch.All() {
				scribble(c.Value)
			}
			if stop {
				break
			}
		}
		cancel()
		if turns != 1 || !stop && !errors.Is(last, lightning.ErrSliceWritten) {
			t.Errorf("after %d turns: %v", turns, last)
		}
	}
	err := db.Close()
	for _, verb := range []string{"Batch.All", "ChangeBatch.All"} {
		if !errors.Is(err, lightning.ErrSliceWritten) || !strings.Contains(err.Error(), "from "+verb) {
			t.Errorf("close does not tell of %s: %v", verb, err)
		}
	}
}

// vandalOperator appends operands, and writes into all that it is given.
func vandalOperator() lightning.MergeOperator {
	return lightning.MergeOperator{
		Name: "vandal",
		Merge: func(dst, value []byte, operands [][]byte) ([]byte, error) {
			dst = append(dst, value...)
			for _, operand := range operands {
				dst = append(dst, operand...)
			}
			scribble(append(operands, value)...)
			return dst, nil
		},
	}
}

func TestCheckSlicesOfOperators(t *testing.T) {
	opts := checked(memfs.New())
	opts.MergeOperators = []lightning.MergeOperator{vandalOperator()}
	db := open(t, opts)
	k, err := db.Keyspace(context.Background(), "sums", &lightning.KeyspaceOptions{Merge: "vandal"})
	must(t, err)
	must(t, k.Merge([]byte("k"), []byte("a")))
	_, err = k.Get([]byte("k"))
	wantErr(t, err, lightning.ErrMerge)
	wantErr(t, err, lightning.ErrSliceWritten)
	must(t, db.Close())
}

// TestWritesIntoLentSlicesReachNoFile writes into what every verb lends, from the
// memtable and from the cache. What is flushed, compacted and read after the next
// open is what was put.
func TestWritesIntoLentSlicesReachNoFile(t *testing.T) {
	for name, vandal := range vandals() {
		t.Run(name, func(t *testing.T) {
			opts := small(memfs.New())
			opts.Durability = lightning.DurabilityAsync
			db := open(t, opts)
			fillRows(t, db)
			_ = vandal(db)
			must(t, db.Flush(t.Context()))
			expectRows(t, db)
			_ = vandal(db)
			must(t, db.Compact(t.Context(), nil, nil))
			must(t, db.Put([]byte("other"), nil))
			must(t, db.Delete([]byte("other")))
			must(t, db.Close())
			expectRows(t, open(t, opts))
		})
	}
}

// TestWritesIntoLentSlicesOfATransaction writes into the rows that a transaction
// shows, its own among them. It commits what was put, and still finds the conflict
// with what another one writes into what it has read.
func TestWritesIntoLentSlicesOfATransaction(t *testing.T) {
	opts := small(memfs.New())
	db := open(t, opts)
	must(t, db.Put([]byte("b"), []byte("old")))
	put := map[string]string{"a": "1", "b": "2", "c": "", "": "3"}
	for _, backwards := range []bool{false, true} {
		tx := begin(t, db, lightning.TxOptions{})
		for key, value := range put {
			must(t, tx.Put([]byte(key), []byte(value)))
		}
		seen := 0
		must(t, tx.Scan(lightning.ScanOptions{Reverse: backwards}, func(rows iter.Seq2[[]byte, []byte]) error {
			for k, v := range rows {
				if k == nil || v == nil || string(v) != put[string(k)] {
					t.Errorf("%q = %q", k, v)
				}
				scribble(k, v)
				seen++
			}
			return nil
		}))
		if seen != len(put) {
			t.Errorf("%d rows", seen)
		}
		must(t, tx.Commit())
		for key, value := range put {
			if got, err := db.Get([]byte(key)); err != nil || string(got) != value {
				t.Errorf("%q = %q, %v; want %q", key, got, err, value)
			}
		}
	}
	for i := range 2 {
		tx := begin(t, db, lightning.TxOptions{})
		it, err := tx.Iterator(lightning.IterOptions{})
		must(t, err)
		for it.Next() && string(it.Key()) != "b" {
		}
		scribble(it.Key())
		must(t, it.Close())
		must(t, tx.Put([]byte("z"), fmt.Append(nil, i)))
		must(t, db.Put([]byte("b"), fmt.Append(nil, i)))
		wantErr(t, tx.Commit(), lightning.ErrConflict)
	}
}

// flipLogs flips a bit in the middle of what every log segment holds.
func flipLogs(t *testing.T, fs *memfs.FS) {
	t.Helper()
	names, err := fs.List("db")
	must(t, err)
	for _, name := range names {
		if !strings.HasSuffix(name, ".wal") {
			continue
		}
		f, err := fs.OpenReadWrite("db/" + name)
		must(t, err)
		var b [1]byte
		const inFirstGroups = 400
		_, err = f.ReadAt(b[:], inFirstGroups)
		must(t, err)
		_, err = f.WriteAt([]byte{b[0] ^ 1}, inFirstGroups)
		must(t, err)
		must(t, f.Close())
	}
}

// TestOverwrittenMemoryWithoutLog damages the log as well: there is nothing to flush
// then. Writes are refused, nothing waits for ever, and the next open has it all.
func TestOverwrittenMemoryWithoutLog(t *testing.T) {
	fs := memfs.New()
	opts := small(fs)
	db := open(t, opts)
	fillRows(t, db)
	must(t, vandals()["Scan"](db))
	flipLogs(t, fs)
	err := db.Flush(t.Context())
	found := lightning.Corruptions(err)
	if len(found) == 0 || found[0].Kind != "memtable record" || len(found[0].Lo) == 0 {
		t.Fatalf("flush: %v", err)
	}
	wantErr(t, db.Put([]byte("more"), nil), lightning.ErrCorrupted)
	wantErr(t, db.Metrics().Health.WriteErr, lightning.ErrCorrupted)
	wantErr(t, db.Flush(t.Context()), lightning.ErrCorrupted)
	must(t, db.Scan(lightning.ScanOptions{}, func(iter.Seq2[[]byte, []byte]) error { return nil }))
	wantErr(t, db.Close(), lightning.ErrCorrupted)
	flipLogs(t, fs)
	expectRows(t, open(t, opts))
}

// TestOverwrittenForAWhile writes into a value, has an operand applied to it, and
// takes back what was written: no flush can see then that the sum is wrong.
func TestOverwrittenForAWhile(t *testing.T) {
	opts := small(memfs.New())
	db := open(t, opts)
	k, err := db.Keyspace(context.Background(), "text", &lightning.KeyspaceOptions{Merge: lightning.MergeMax})
	must(t, err)
	must(t, k.Put([]byte("k"), []byte{1}))
	it, err := k.Iterator(lightning.IterOptions{})
	must(t, err)
	it.First()
	scribble(it.Value())
	must(t, k.Merge([]byte("k"), []byte{2}))
	scribble(it.Value())
	must(t, it.Close())
	must(t, db.Flush(t.Context()))
	if got, err := k.Get([]byte("k")); err != nil || got[0] != 2 {
		t.Errorf("the value is %d, %v", got, err)
	}
}

// TestRestoredMemoryLeavesTheHotCache reads what was overwritten until the hot-record
// cache has it. The first commit after the flush empties that.
func TestRestoredMemoryLeavesTheHotCache(t *testing.T) {
	db := open(t, small(memfs.New()))
	must(t, db.Put([]byte("k"), []byte("value")))
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	it.First()
	scribble(it.Value())
	must(t, it.Close())
	for range 100 {
		if got, err := db.Get([]byte("k")); err != nil || string(got) == "value" {
			t.Fatalf("%q, %v: it was not overwritten", got, err)
		}
	}
	must(t, db.Flush(t.Context()))
	must(t, db.Put([]byte("other"), nil))
	if got, err := db.Get([]byte("k")); err != nil || string(got) != "value" {
		t.Errorf("%q, %v", got, err)
	}
}
