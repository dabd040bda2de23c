package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
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
	keys := [][]byte{rowKey(1), rowKey(2)}
	return map[string]func(db *lightning.DB) error{
		"GetFunc":  func(db *lightning.DB) error { return db.GetFunc(rowKey(1), value) },
		"MultiGet": func(db *lightning.DB) error { return db.MultiGet(keys, values) },
		"Scan":     func(db *lightning.DB) error { return db.Scan(lightning.ScanOptions{}, rows) },
		"Scan backwards": func(db *lightning.DB) error {
			return db.Scan(lightning.ScanOptions{Reverse: true}, rows)
		},
		"Snapshot.GetFunc": func(db *lightning.DB) error {
			return inSnapshot(db, func(s *lightning.Snapshot) error { return s.GetFunc(rowKey(1), value) })
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

func rowKey(i int) []byte { return fmt.Appendf(nil, "key-%06d", i) }

func rowValue(i int) []byte { return fmt.Appendf(nil, "value-%d-%s", i, strings.Repeat("v", 20)) }

func fillRows(t testing.TB, db *lightning.DB) {
	t.Helper()
	for i := range lentRows {
		must(t, db.Put(rowKey(i), rowValue(i)))
	}
}

// expectRows looks whether the database holds what fillRows has written.
func expectRows(t testing.TB, db *lightning.DB) {
	t.Helper()
	i := 0
	must(t, db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			if !bytes.Equal(k, rowKey(i)) || !bytes.Equal(v, rowValue(i)) {
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
		v, err := db.Get(rowKey(i))
		if must(t, err); !bytes.Equal(v, rowValue(i)) {
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
	if !it.Last() || !bytes.Equal(it.Key(), rowKey(lentRows-1)) || &it.Key()[0] != &it.Key()[0] {
		t.Errorf("the last row is %q", it.Key())
	}
	if !it.Prev() || !it.SeekGE(rowKey(5)) || !it.SeekLT(rowKey(5)) || !bytes.Equal(it.Value(), rowValue(4)) {
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
	must(t, db.GetFunc(rowKey(1), func(value []byte) error { kept = value; return nil }))
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
	must(t, b.Put(rowKey(0), rowValue(0)))
	for op := range b.All() {
		scribble(op.Key, op.Value)
	}
	must(t, b.Commit())
	if v, err := db.Get(rowKey(0)); err != nil || !bytes.Equal(v, rowValue(0)) {
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
	k, err := db.Keyspace("sums", &lightning.KeyspaceOptions{Merge: "vandal"})
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

// TestOverwrittenMemoryIsRestored does the same to two databases and writes into what
// one of them lends: several memtables, batches larger than one, deletes of ranges,
// operands that the memtable joins, keyspaces that come and go, and a snapshot in the
// midst. Both hold the same in the end.
func TestOverwrittenMemoryIsRestored(t *testing.T) {
	restored := 0
	for seed := range uint64(20) {
		var log bytes.Buffer
		opts := small(memfs.New())
		opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		victim, plain := newPair(t, opts), newPair(t, small(memfs.New()))
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 60 {
			act := randomAct(rng)
			victim.do(t, act)
			plain.do(t, act)
			if rng.IntN(3) == 0 {
				vandaliseAll(t, victim.db)
			}
		}
		restored += strings.Count(log.String(), "was overwritten")
		must(t, victim.db.Flush(t.Context()))
		must(t, victim.db.Compact(t.Context(), nil, nil)) // out of the blocks that are cached
		want := plain.rows(t)
		for name, rows := range victim.rows(t) {
			if !maps.Equal(rows, want[name]) {
				t.Fatalf("seed %d: %s differs:\n%v\nwant\n%v", seed, name, rows, want[name])
			}
		}
		for _, p := range []*pair{victim, plain} {
			if p.snapshot != nil {
				must(t, p.snapshot.Close())
				p.snapshot = nil
			}
		}
		must(t, victim.db.Close())
		victim.db = open(t, opts)
		want = plain.rows(t)
		for name, rows := range victim.rows(t) {
			if !maps.Equal(rows, want[name]) {
				t.Fatalf("seed %d, reopened: %s differs:\n%v\nwant\n%v", seed, name, rows, want[name])
			}
		}
	}
	if restored < 5 {
		t.Errorf("memory was restored only %d times", restored)
	}
}

// pair is one of two databases to which the same is done.
type pair struct {
	db       *lightning.DB
	snapshot *lightning.Snapshot
}

func newPair(t *testing.T, opts *lightning.Options) *pair {
	opts.Durability = lightning.DurabilityAsync
	opts.MergeOperators = []lightning.MergeOperator{vandalOperator()}
	return &pair{db: open(t, opts)}
}

func (p *pair) do(t *testing.T, act func(t *testing.T, p *pair)) { act(t, p) }

// spaces are the keyspaces that operands go to.
func (p *pair) spaces(t *testing.T) map[string]*lightning.Keyspace {
	spaces := map[string]*lightning.Keyspace{}
	for _, operator := range []string{lightning.MergeAddInt64, lightning.MergeAppend, "vandal"} {
		k, err := p.db.Keyspace(operator, &lightning.KeyspaceOptions{Merge: operator})
		must(t, err)
		spaces[operator] = k
	}
	return spaces
}

// randomAct returns something that can be done to both.
func randomAct(rng *rand.Rand) func(t *testing.T, p *pair) {
	key, other := rowKey(rng.IntN(40)), rowKey(rng.IntN(40))
	value := bytes.Repeat([]byte{byte(rng.IntN(256))}, 8)
	if rng.IntN(4) == 0 {
		value = bytes.Repeat(value, 500)
	}
	switch rng.IntN(9) {
	case 0:
		return func(t *testing.T, p *pair) { must(t, p.db.Delete(key)) }
	case 1:
		lo, hi := key, other
		if bytes.Compare(lo, hi) > 0 {
			lo, hi = hi, lo
		}
		return func(t *testing.T, p *pair) { must(t, p.db.DeleteRange(lo, hi)) }
	case 2:
		return func(t *testing.T, p *pair) { // larger than a memtable
			b := p.db.NewBatch()
			for i := range 40 {
				must(t, b.Put(rowKey(i), bytes.Repeat(value[:8], 400)))
			}
			must(t, b.Commit())
		}
	case 3:
		return func(t *testing.T, p *pair) {
			if p.snapshot == nil {
				var err error
				p.snapshot, err = p.db.Snapshot()
				must(t, err)
			}
		}
	case 4:
		return func(t *testing.T, p *pair) {
			_, err := p.db.Keyspace("passing", nil)
			must(t, err)
			must(t, p.db.DropKeyspace("passing"))
		}
	case 5, 6:
		return func(t *testing.T, p *pair) {
			for _, k := range p.spaces(t) {
				must(t, k.Merge(key, value[:8]))
			}
		}
	}
	return func(t *testing.T, p *pair) { must(t, p.db.Put(key, value)) }
}

// vandaliseAll writes into all rows of all keyspaces.
func vandaliseAll(t *testing.T, db *lightning.DB) {
	rows := func(rows iter.Seq2[[]byte, []byte]) error {
		for k, v := range rows {
			scribble(k, v)
		}
		return nil
	}
	_ = db.Scan(lightning.ScanOptions{}, rows)
	for _, name := range db.Keyspaces() {
		k, err := db.Keyspace(name, nil)
		must(t, err)
		_ = k.Scan(lightning.ScanOptions{}, rows)
	}
}

// rows are those of all keyspaces, now and in the snapshot.
func (p *pair) rows(t *testing.T) map[string]map[string]string {
	all := map[string]map[string]string{}
	note := func(name string, scan func(lightning.ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error) {
		all[name] = map[string]string{}
		must(t, scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			for k, v := range rows {
				all[name][string(k)] = string(v)
			}
			return nil
		}))
	}
	note("default", p.db.Scan)
	for name, k := range p.spaces(t) {
		note(name, k.Scan)
		if p.snapshot != nil {
			note(name+" in the snapshot", p.snapshot.In(k).Scan)
		}
	}
	if p.snapshot != nil {
		note("snapshot", p.snapshot.Scan)
	}
	return all
}
