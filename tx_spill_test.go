package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// These tests are about transactions that take too much memory: their writes go
// to files, and their commits past the log.

// spilling makes open return databases whose transactions keep nothing in
// memory: each write goes to a file of its own before the next.
var spilling bool

// Whether writes are in memory or in files is nothing that a user can tell.
func TestSpilledTransactions(t *testing.T) {
	spilling = true
	defer func() { spilling = false }()
	for name, test := range map[string]func(t *testing.T){
		"own writes":     TestTxSeesOneMomentAndItsOwnWrites,
		"conflict":       TestTxConflictNamesTheKey,
		"ends":           TestTxEnds,
		"misuse":         TestTxMisuse,
		"savepoints":     TestTxSavepoints,
		"iterators":      TestTxIterators,
		"keyspaces":      TestTxAcrossKeyspaces,
		"retries":        TestUpdateRetriesConflicts,
		"context":        TestTxContext,
		"for update":     TestGetForUpdateMovesOnToTheNewest,
		"open iterators": TestOpenIteratorsCount,
		"phantoms":       TestPhantoms,
		"hermitage":      TestHermitage,
		"came and went":  TestWhatCameAndWentIsNoConflictAfterCompaction,
		"whole tree":     TestConflictsAreFoundInTheWholeTree,
	} {
		t.Run(name, test)
	}
	t.Run("bank", func(t *testing.T) {
		for _, isolation := range []lightning.Isolation{lightning.StrictSerializable, lightning.SnapshotIsolation} {
			bank(t, isolation, 20)
		}
	})
}

// tables returns the names of the table files.
func tables(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("db")
	must(t, err)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".sst") })
}

// noOrphans checks that a closed database has no file that it does not name.
func noOrphans(t testing.TB, fs vfs.FS) {
	t.Helper()
	o := small(nil)
	o.FS, o.ReadOnly = fs, true
	db, err := lightning.Open("db", o)
	must(t, err)
	files := 0
	for _, l := range db.Metrics().Levels {
		files += l.Files
	}
	must(t, db.Close())
	if names := tables(t, fs); len(names) != files {
		t.Errorf("%d tables, and the files %v", files, names)
	}
}

// contents returns all rows of the default keyspace.
func contents(t testing.TB, from viewer) map[string]string {
	t.Helper()
	rows := map[string]string{}
	it, err := from.Iterator(lightning.IterOptions{})
	must(t, err)
	for it.Next() {
		rows[string(it.Key())] = string(it.Value())
	}
	must(t, it.Close())
	for key, value := range rows {
		if got, err := from.Get([]byte(key)); err != nil || string(got) != value {
			t.Errorf("get %s = %q, %v; the iterator shows %q", key, got, err, value)
		}
	}
	return rows
}

func expectContents(t testing.TB, what string, from viewer, want map[string]string) {
	t.Helper()
	if got := contents(t, from); !maps.Equal(got, want) {
		t.Errorf("%s: %d rows instead of %d: %.300v, not %.300v", what, len(got), len(want), got, want)
	}
}

// A transaction several times larger than the memory budget takes little of the
// Go heap, and what it does is right.
func TestTransactionLargerThanMemory(t *testing.T) {
	const rows, valueBytes, heapBytesMax = 24_000, 2 << 10, 24 << 20
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var peak atomic.Uint64
	sample := func(vfs.Op) { // at each write to a file
		for now := heap(); ; {
			if old := peak.Load(); now <= old || peak.CompareAndSwap(old, now) {
				return
			}
		}
	}
	fs := faultfs.New(vfs.OS)
	fs.Add(faultfs.Rule{Kinds: vfs.OpWrite, Sticky: true, Before: sample})
	db, err := lightning.Open(t.TempDir(), &lightning.Options{MemoryBudget: 8 << 20, FS: fs})
	must(t, err)
	defer db.Close()
	must(t, db.Put([]byte("key00000005"), []byte("old")))
	must(t, db.Put([]byte("key3"), []byte("old")))
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	runtime.GC()
	before := heap()
	peak.Store(before)
	key := func(row int) []byte { return fmt.Appendf(nil, "key%08d", row) }
	versions := map[int]int{}
	buf := make([]byte, valueBytes)
	value := func(row int) []byte {
		r := rand.New(rand.NewPCG(uint64(row), uint64(versions[row])))
		for i := range buf {
			buf[i] = byte(r.Uint32())
		}
		return buf
	}
	check := func(from interface{ Get([]byte) ([]byte, error) }) {
		t.Helper()
		for row := 0; row < rows; row += 97 {
			got, err := from.Get(key(row))
			if deleted := row >= 10_000 && row < 11_000; deleted {
				wantErr(t, err, lightning.ErrNotFound)
			} else if err != nil || !bytes.Equal(got, value(row)) {
				t.Errorf("%s has %d bytes, version %d, %v", key(row), len(got), versions[row], err)
			}
		}
	}
	must(t, db.Update(func(tx *lightning.Tx) error {
		for n := range rows {
			row := n * 7919 % rows
			must(t, tx.Put(key(row), value(row)))
			if n%1000 == 0 {
				again := n / 1000 * 97 // written already, or later once more
				versions[again]++
				must(t, tx.Put(key(again), value(again)))
			}
		}
		must(t, tx.DeleteRange([]byte("key00010000"), []byte("key00011000")))
		must(t, tx.Put([]byte("key00010500"), []byte("again")))
		check(tx)
		return nil
	}))
	took := peak.Load() - before
	t.Logf("%d MiB of writes took %d MiB of the heap", rows*valueBytes>>20, took>>20)
	if took > heapBytesMax {
		t.Errorf("more than %d MiB", heapBytesMax>>20)
	}
	count := 0
	must(t, db.Scan(lightning.ScanOptions{}, func(all iter.Seq2[[]byte, []byte]) error {
		for range all {
			count++
		}
		return nil
	}))
	if want := rows - 1000 + 2; count != want {
		t.Errorf("%d rows, want %d", count, want)
	}
	check(db)
	if m := db.Metrics(); m.Log.WrittenBytes > 1<<20 {
		t.Errorf("%d bytes in the log", m.Log.WrittenBytes)
	}
}

// What is spilled goes when the transaction ends, however it ends, and when the
// database is closed before that.
func TestSpilledFilesGo(t *testing.T) {
	fs := memfs.New()
	for name, end := range map[string]func(db *lightning.DB, tx *lightning.Tx){
		"rollback": func(_ *lightning.DB, tx *lightning.Tx) { tx.Rollback() },
		"commit":   func(_ *lightning.DB, tx *lightning.Tx) { must(t, tx.Commit()) },
		"conflict": func(db *lightning.DB, tx *lightning.Tx) {
			must(t, db.Put([]byte("read"), nil))
			wantErr(t, tx.Commit(), lightning.ErrConflict)
		},
		"rolled back": func(_ *lightning.DB, tx *lightning.Tx) {
			must(t, tx.Commit())
		},
		"close": func(db *lightning.DB, tx *lightning.Tx) {
			it, err := tx.Iterator(lightning.IterOptions{})
			must(t, err)
			if !it.First() || !it.Next() {
				t.Fatal(it.Err())
			}
			wantErr(t, db.Close(), lightning.ErrLeaked)
			_, err = tx.Get([]byte("x1"))
			wantErr(t, err, lightning.ErrClosed)
			_, err = tx.Iterator(lightning.IterOptions{})
			wantErr(t, err, lightning.ErrClosed)
			wantErr(t, tx.Put([]byte("x9"), nil), lightning.ErrClosed)
			wantErr(t, it.Close(), nil)
			noOrphans(t, fs) // although the transaction goes on
			wantErr(t, tx.Commit(), lightning.ErrClosed)
		},
	} {
		db, err := lightning.Open("db", small(fs))
		must(t, err)
		lightning.SpillAt(db, 0)
		tx := begin(t, db, lightning.TxOptions{})
		txView{tx: tx}.get("read")
		sp := tx.Savepoint()
		before := len(tables(t, fs))
		for n := range 30 { // more than are left as they are
			must(t, tx.Put(fmt.Appendf(nil, "x%d", n), []byte(name)))
		}
		if n := len(tables(t, fs)) - before; n < 2 || n > 16 {
			t.Errorf("%s: 30 spills left %d files", name, n)
		}
		if name == "rolled back" {
			must(t, tx.RollbackTo(sp))
			if n := len(tables(t, fs)); n != before {
				t.Errorf("after going back there are %d files, not %d", n, before)
			}
		}
		end(db, tx)
		if n := len(tables(t, fs)); name == "rollback" && n != before {
			t.Errorf("after a rollback there are %d files, not %d", n, before)
		}
		if err := db.Close(); err != nil && !errors.Is(err, lightning.ErrClosed) {
			t.Errorf("%s: close: %v", name, err)
		}
		noOrphans(t, fs)
	}
	db := open(t, small(fs))
	if rows := contents(t, db); len(rows) != 31 || rows["x7"] != "commit" {
		t.Errorf("%d rows: %v", len(rows), rows)
	}
}

// spilledTx begins a transaction of which all but the last write is in files.
func spilledTx(t testing.TB, db *lightning.DB, o lightning.TxOptions, write func(v txView)) *lightning.Tx {
	t.Helper()
	lightning.SpillAt(db, 0)
	tx := begin(t, db, o)
	write(txView{tx: tx})
	must(t, tx.Put([]byte("zz"), nil))
	must(t, tx.Put([]byte("zz"), nil))
	return tx
}

// What a spilled transaction has written is a conflict for those who have read
// it or, where that counts, written it; and nothing else is.
func TestConflictsWithSpilledCommits(t *testing.T) {
	strict := lightning.TxOptions{}
	snapshot := lightning.TxOptions{Isolation: lightning.SnapshotIsolation}
	for name, c := range map[string]struct {
		o        lightning.TxOptions
		other    func(v txView)
		write    func(v txView)
		conflict bool
	}{
		"read and put":          {strict, func(v txView) { v.get("k") }, func(v txView) { v.put("k", "2") }, true},
		"read and delete":       {strict, func(v txView) { v.get("k") }, func(v txView) { v.del("k") }, true},
		"read and range delete": {strict, func(v txView) { v.get("k") }, func(v txView) { v.delRange("a", "l") }, true},
		"absent and put":        {strict, func(v txView) { v.get("j") }, func(v txView) { v.put("j", "2") }, true},
		"scan and put":          {strict, func(v txView) { v.scan("i", "m", false, 9) }, func(v txView) { v.put("j", "2") }, true},
		"scan and range delete": {strict, func(v txView) { v.scan("i", "m", false, 9) }, func(v txView) { v.delRange("j", "jj") }, true},
		"beside":                {strict, func(v txView) { v.get("k") }, func(v txView) { v.put("j", "2") }, false},
		"scan beside":           {strict, func(v txView) { v.scan("i", "m", false, 9) }, func(v txView) { v.put("n", "2") }, false},
		"rolled back": {strict, func(v txView) { v.get("k") }, func(v txView) {
			sp := v.tx.Savepoint()
			v.put("k", "2")
			v.put("l", "2")
			must(t, v.tx.RollbackTo(sp))
		}, false},
		"both put":            {snapshot, func(v txView) { v.put("k", "3") }, func(v txView) { v.put("k", "2") }, true},
		"put and range":       {snapshot, func(v txView) { v.put("k", "3") }, func(v txView) { v.delRange("a", "l") }, true},
		"range and put":       {snapshot, func(v txView) { v.delRange("a", "l") }, func(v txView) { v.put("k", "2") }, true},
		"write skew":          {snapshot, func(v txView) { v.get("k"); v.put("j", "3") }, func(v txView) { v.get("j"); v.put("k", "2") }, false},
		"put beside":          {snapshot, func(v txView) { v.put("j", "3") }, func(v txView) { v.put("k", "2") }, false},
		"read only and a put": {lightning.TxOptions{ReadOnly: true}, func(v txView) { v.get("k") }, func(v txView) { v.put("k", "2") }, false},
	} {
		for _, first := range []string{"spilled", "other"} {
			for _, both := range []bool{false, true} {
				db := openTx(t)
				must(t, db.Put([]byte("k"), []byte("1")))
				lightning.SpillAt(db, 1<<20)
				var other *lightning.Tx
				o := c.o
				if o.ReadOnly && first == "other" {
					continue
				}
				if first == "other" {
					// The same history the other way round: the spilled one reads.
					spilled := spilledTx(t, db, o, c.other)
					writer := begin(t, db, lightning.TxOptions{Isolation: o.Isolation})
					if !both {
						lightning.SpillAt(db, 1<<20)
					}
					c.write(txView{tx: writer})
					must(t, writer.Commit())
					checkConflict(t, name+", the other first", spilled.Commit(), c.conflict)
				} else {
					if both {
						lightning.SpillAt(db, 0)
					}
					other = begin(t, db, o)
					c.other(txView{tx: other})
					if !o.ReadOnly {
						must(t, other.Put([]byte("own"), nil))
					}
					must(t, spilledTx(t, db, lightning.TxOptions{Isolation: o.Isolation}, c.write).Commit())
					checkConflict(t, name, other.Commit(), c.conflict)
				}
				must(t, db.Close())
			}
		}
	}
}

func checkConflict(t testing.TB, what string, err error, want bool) {
	t.Helper()
	if got := errors.Is(err, lightning.ErrConflict); got != want || err != nil && !got {
		t.Errorf("%s: %v", what, err)
	}
}

// A commit past the log takes its place among the others: over what was there,
// in memory or in files, under what comes later, and for nobody who looked
// before.
func TestSpilledCommitTakesItsPlace(t *testing.T) {
	fs := memfs.New()
	db := open(t, small(fs))
	want := map[string]string{}
	put := func(key, value string) {
		must(t, db.Put([]byte(key), []byte(value)))
		want[key] = value
	}
	put("a", "flushed")
	put("b", "flushed")
	put("gone", "flushed")
	must(t, db.Flush(t.Context()))
	for range 20 { // hot
		_, err := db.Get([]byte("c"))
		wantErr(t, err, lightning.ErrNotFound)
		_, _ = db.Get([]byte("a"))
	}
	put("c", "memory")
	put("also gone", "memory")
	put("d", "memory")
	snap, err := db.Snapshot()
	must(t, err)
	before := maps.Clone(want)
	tx := spilledTx(t, db, lightning.TxOptions{}, func(v txView) {
		v.put("gone", "in vain")
		v.put("a", "in vain")
		v.delRange("aa", "b")
		v.delRange("gone", "h")
		v.put("a", "spilled")
		v.put("aa", "spilled")
		v.del("d")
		v.put("e", "spilled")
	})
	must(t, tx.Commit())
	for _, key := range []string{"gone", "also gone", "d"} {
		delete(want, key)
	}
	for _, key := range []string{"a", "aa", "e"} {
		want[key] = "spilled"
	}
	want["zz"] = ""
	expectContents(t, "after the commit", db, want)
	put("aa", "later")
	must(t, db.Delete([]byte("e")))
	delete(want, "e")
	expectContents(t, "under later writes", db, want)
	expectContents(t, "for a snapshot from before", snap, before)
	after, err := db.Snapshot()
	must(t, err)
	middle := maps.Clone(want)
	must(t, db.DeleteRange([]byte("a"), []byte("b")))
	delete(want, "a")
	delete(want, "aa")
	for _, settle := range []func() error{
		func() error { return db.Flush(t.Context()) },
		func() error { return db.Compact(t.Context(), nil, nil) },
	} {
		must(t, settle())
		expectContents(t, "later", db, want)
		expectContents(t, "for the earlier snapshot", snap, before)
		expectContents(t, "for the later snapshot", after, middle)
	}
	must(t, errors.Join(snap.Close(), after.Close(), db.Close()))
	db = open(t, small(fs))
	expectContents(t, "after a reopen", db, want)
}

func TestSpilledCommitIntoADroppedKeyspace(t *testing.T) {
	db := openTx(t)
	k, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	tx := spilledTx(t, db, lightning.TxOptions{}, func(v txView) { txView{tx: v.tx.In(k)}.put("a", "1") })
	must(t, db.DropKeyspace(context.Background(), "k"))
	wantErr(t, tx.Commit(), lightning.ErrKeyspaceDropped)
	if has, err := db.Has([]byte("zz")); has || err != nil {
		t.Errorf("a part of it was written: %v", err)
	}
}

// Spilled transactions beside all else that goes on.
func TestSpilledCommitsBesideOthers(t *testing.T) {
	db := open(t, small(memfs.New()))
	lightning.SpillAt(db, 1000)
	var wg sync.WaitGroup
	counters := 4
	for g := range counters {
		wg.Go(func() {
			for n := range 25 {
				orPanic(db.Update(func(tx *lightning.Tx) error {
					v := txView{tx: tx}
					have := strings.Count(v.get("counter"), "x")
					for i := range 10 * g {
						v.put(fmt.Sprintf("g%d %d %d", g, n, i), "")
					}
					v.put("counter", strings.Repeat("x", have+1))
					return nil
				}))
				orPanic(db.Put(fmt.Appendf(nil, "beside%d %d", g, n), bytes.Repeat([]byte("b"), 500)))
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			orPanic(db.Compact(t.Context(), nil, nil))
			orPanic(db.View(func(tx *lightning.Tx) error {
				a := len(txView{tx: tx}.scan("g", "h", false, 1<<20))
				b := len(txView{tx: tx}.scan("g", "h", true, 1<<20))
				if a != b {
					t.Errorf("a view shows %d bytes, and then %d", a, b)
				}
				return nil
			}))
		}
	})
	wg.Wait()
	rows := contents(t, db)
	if n := len(rows["counter"]); n != 25*counters || len(rows) != 1+25*counters+25*(10+20+30) {
		t.Errorf("counted to %d; %d rows", n, len(rows))
	}
}

// The first expiring value of a database may come past the log.
func TestSpilledValuesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		db, err := lightning.Open("db", small(fs))
		must(t, err)
		tx := spilledTx(t, db, lightning.TxOptions{}, func(v txView) {
			must(t, v.tx.PutWithTTL([]byte("k"), []byte("v"), time.Minute))
		})
		must(t, tx.Commit())
		wantValue(t, db, "k", "v")
		time.Sleep(time.Minute)
		_, err = db.Get([]byte("k"))
		wantErr(t, err, lightning.ErrNotFound)
		must(t, db.Close())
		db, err = lightning.Open("db", small(fs))
		must(t, err)
		_, err = db.Get([]byte("k"))
		wantErr(t, err, lightning.ErrNotFound)
		must(t, db.Close())
	})
}

// The history that faults and crashes interrupt: a synced write, one that is
// not, a spilled transaction over both, and a synced write over that.
type spillHistory struct{ stage atomic.Int32 }

// The stages of the history: what is over.
const (
	nothing int32 = iota
	syncedPut
	committed
	putOver
)

func (h *spillHistory) run(db *lightning.DB) error {
	lightning.SpillAt(db, 0)
	if err := db.Put([]byte("a"), []byte("before")); err != nil {
		return err
	}
	b := db.NewBatch()
	_ = b.Put([]byte("b"), []byte("before"))
	if err := b.CommitWith(lightning.DurabilityAsync); err != nil {
		return err
	}
	h.stage.Store(syncedPut)
	tx, err := db.Begin(lightning.TxOptions{})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for n := range 10 {
		key := fmt.Appendf(nil, "x%d", n)
		if err := tx.Put(key, []byte("spilled")); err != nil {
			// The write that failed is not part of the transaction, the others are.
			if value, getErr := tx.Get(key); getErr == nil {
				return fmt.Errorf("a put failed with %w, and the key is %q", err, value)
			}
			return err
		}
	}
	for _, write := range []func() error{
		func() error { return tx.DeleteRange([]byte("a"), []byte("b")) },
		func() error { return tx.Put([]byte("b"), []byte("spilled")) },
		tx.Commit,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	h.stage.Store(committed)
	if err := db.Put([]byte("x0"), []byte("later")); err != nil {
		return err
	}
	h.stage.Store(putOver)
	return db.Flush(context.Background())
}

// checkSpillHistory checks what is there after the end, at a stage or later: the
// transaction as a whole or not at all.
func checkSpillHistory(t testing.TB, what string, db *lightning.DB, stage int32) {
	t.Helper()
	got := contents(t, db)
	before := map[string]string{"a": "before", "b": "before"}
	unsynced := map[string]string{"a": "before"}
	whole := map[string]string{"b": "spilled"}
	for n := range 10 {
		whole[fmt.Sprintf("x%d", n)] = "spilled"
	}
	later := maps.Clone(whole)
	later["x0"] = "later"
	allowed := []map[string]string{{}, unsynced, before, whole, later}
	allowed = allowed[map[int32]int{nothing: 0, syncedPut: 1, committed: 3, putOver: 4}[stage]:]
	if !slices.ContainsFunc(allowed, func(m map[string]string) bool { return maps.Equal(m, got) }) {
		t.Errorf("%s: at stage %d, and there is %v", what, stage, got)
	}
}

// A power cut at any operation leaves all of a spilled transaction or nothing,
// and no file of it.
func TestCrashesOfSpilledTransactions(t *testing.T) {
	fs := memfs.New()
	h := &spillHistory{}
	var mu sync.Mutex
	states, crashes := 8, 0
	if testing.Short() {
		states = 3
	}
	type cut struct {
		fs    *memfs.FS
		stage int32
		op    vfs.Op
	}
	var cuts []cut
	fs.SetHook(func(op vfs.Op) error {
		if !vfs.OpMutations.Has(op.Kind) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		stage := h.stage.Load() // before the crash: what is over by then must be there
		list, _ := fs.CrashStates(states)
		for state := range list {
			cuts = append(cuts, cut{state, stage, op})
		}
		return nil
	})
	db, err := lightning.Open("db", small(fs))
	must(t, err)
	must(t, h.run(db))
	must(t, db.Close())
	fs.SetHook(nil)
	for _, c := range cuts {
		db, err := lightning.Open("db", small(c.fs))
		must(t, err)
		crashes++
		checkSpillHistory(t, c.op.String(), db, c.stage)
		must(t, db.Put([]byte("y"), []byte("after")))
		must(t, db.Close())
		noOrphans(t, c.fs)
		if t.Failed() {
			t.Fatalf("crash %d, before %v", crashes, c.op)
		}
	}
	if crashes < 100 {
		t.Errorf("only %d crashes", crashes)
	}
}

// A file system that fails at any operation, once or from then on, makes a
// spilled transaction fail as a whole, if at all.
func TestFaultsInSpilledTransactions(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, sticky := range []bool{false, true} {
			for nth := int64(1); ; nth++ {
				disk := memfs.New()
				fs := faultfs.New(disk)
				o := small(nil)
				o.FS = fs
				db, err := lightning.Open("db", o)
				must(t, err)
				rule := fs.Add(faultfs.Rule{
					Kinds: vfs.OpAll &^ vfs.OpLock, Nth: nth, Sticky: sticky, Err: fault,
				})
				var h spillHistory
				err = h.run(db)
				fired := rule.Fired() > 0
				rule.Disarm()
				what := fmt.Sprintf("%v at operation %d, sticky %v: %v", fault, nth, sticky, err)
				if err != nil && !fired {
					t.Fatalf("without a fault: %v", err)
				}
				if n := db.Metrics().Handles; n.Iterators+n.Snapshots != 0 {
					t.Errorf("%s: %+v are open", what, n)
				}
				_ = db.Close() // the disk may have failed it
				db, err = lightning.Open("db", o)
				must(t, err)
				checkSpillHistory(t, what, db, h.stage.Load())
				must(t, db.Close())
				noOrphans(t, disk)
				if t.Failed() {
					t.Fatal(what)
				}
				if !fired {
					break
				}
			}
		}
	}
}

// When the disk is full the write that would have to spill fails, and the
// transaction goes on when there is space again.
func TestSpillOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		db := open(t, small(disk))
		synctest.Wait()
		tx := begin(t, db, lightning.TxOptions{})
		value := bytes.Repeat([]byte("v"), 1000)
		var err error
		disk.SetCapacity(disk.UsedBytes() + 200<<10)
		n := 0
		for ; err == nil; n++ {
			err = tx.Put(fmt.Appendf(nil, "k%05d", n), value)
		}
		wantErr(t, err, lightning.ErrNoSpace)
		n-- // the last one is not in
		wantErr(t, tx.Put([]byte("k99999"), value), lightning.ErrNoSpace)
		if rows := contents(t, tx); len(rows) != n {
			t.Errorf("%d rows of %d", len(rows), n)
		}
		disk.SetCapacity(0)
		time.Sleep(2 * time.Second) // the reserve is there again by then, if it was given up
		must(t, tx.Put([]byte("k99999"), value))
		second := tx.Savepoint()
		must(t, tx.DeleteRange(nil, nil))
		must(t, tx.RollbackTo(second))
		if rows := contents(t, tx); len(rows) != n+1 {
			t.Errorf("%d rows of %d", len(rows), n+1)
		}
		must(t, tx.Commit())
		if rows := contents(t, db); len(rows) != n+1 {
			t.Errorf("%d rows of %d are committed", len(rows), n+1)
		}
	})
}
