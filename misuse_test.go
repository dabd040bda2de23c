package lightning_test

import (
	"context"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// useAll calls everything that a keyspace can do, and returns what it answered.
func useAll(t *testing.T, k interface {
	Get(key []byte) ([]byte, error)
	AppendGet(dst, key []byte) ([]byte, error)
	GetFunc(key []byte, fn func(value []byte) error) error
	Has(key []byte) (bool, error)
	ExpiresAt(key []byte) (time.Time, error)
	MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error
	Put(key, value []byte) error
	PutWithTTL(key, value []byte, ttl time.Duration) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
	NewBatch() *lightning.Batch
	Snapshot() (*lightning.Snapshot, error)
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
	Scan(o lightning.ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error
	Compact(ctx context.Context, lo, hi []byte) error
	Flush(ctx context.Context) error
}) map[string]error {
	key := []byte("k")
	answers := map[string]error{}
	_, answers["Get"] = k.Get(key)
	_, answers["AppendGet"] = k.AppendGet(nil, key)
	answers["GetFunc"] = k.GetFunc(key, func([]byte) error { return nil })
	_, answers["Has"] = k.Has(key)
	_, answers["ExpiresAt"] = k.ExpiresAt(key)
	answers["MultiGet"] = k.MultiGet([][]byte{key}, func(int, []byte, error) error { return nil })
	answers["MultiGet of nothing"] = k.MultiGet(nil, func(int, []byte, error) error { return nil })
	answers["Put"] = k.Put(key, nil)
	answers["PutWithTTL"] = k.PutWithTTL(key, nil, time.Minute)
	answers["Delete"] = k.Delete(key)
	answers["DeleteRange"] = k.DeleteRange(nil, nil)
	answers["Batch.Put"] = k.NewBatch().Put(key, nil)
	answers["Batch.PutWithTTL"] = k.NewBatch().PutWithTTL(key, nil, time.Minute)
	answers["Batch.Merge"] = k.NewBatch().Merge(key, nil)
	answers["Batch.Delete"] = k.NewBatch().Delete(key)
	answers["Batch.DeleteRange"] = k.NewBatch().DeleteRange(nil, nil)
	answers["Batch.Commit"] = k.NewBatch().Commit()
	answers["Batch.CommitWith"] = k.NewBatch().CommitWith(lightning.DurabilityAsync)
	_, answers["Snapshot"] = k.Snapshot()
	_, answers["Iterator"] = k.Iterator(lightning.IterOptions{})
	answers["Scan"] = k.Scan(lightning.ScanOptions{}, func(iter.Seq2[[]byte, []byte]) error { return nil })
	answers["Compact"] = k.Compact(t.Context(), nil, nil)
	answers["Compact a range"] = k.Compact(t.Context(), nil, key)
	answers["Flush"] = k.Flush(t.Context())
	return answers
}

func wantAll(t *testing.T, answers map[string]error, want error) {
	t.Helper()
	for verb, err := range answers {
		if err == nil {
			t.Errorf("%s does it", verb)
			continue
		}
		wantErr(t, err, want)
	}
}

// A database that was never opened is as one that was closed.
func TestZeroDB(t *testing.T) {
	var db lightning.DB
	wantAll(t, useAll(t, &db), lightning.ErrClosed)
	answers := map[string]error{}
	_, answers["Begin"] = db.Begin(lightning.TxOptions{})
	answers["View"] = db.View(func(*lightning.Tx) error { return nil })
	answers["Update"] = db.Update(func(*lightning.Tx) error { return nil })
	answers["SyncLog"] = db.SyncLog(context.Background())
	_, answers["Keyspace"] = db.Keyspace(context.Background(), "k", nil)
	answers["DropKeyspace"] = db.DropKeyspace(context.Background(), "k")
	for _, err := range db.Changes(t.Context(), 0) {
		answers["Changes"] = err
	}
	answers["Close"] = db.Close()
	wantAll(t, answers, lightning.ErrClosed)
	if m := db.Metrics(); db.DurableSeq() != 0 || len(db.Keyspaces()) != 0 || m.VisibleSeq != 0 {
		t.Errorf("%d is durable, of %+v", db.DurableSeq(), m)
	}
	var k lightning.Keyspace
	wantAll(t, useAll(t, &k), lightning.ErrClosed)
	wantErr(t, k.Merge([]byte("k"), nil), lightning.ErrClosed)
	if k.Name() != "" {
		t.Errorf("it is called %q", k.Name())
	}
}

// What did not come from a database is as what belongs to a closed one.
func TestZeroHandles(t *testing.T) {
	key := []byte("k")
	var b lightning.Batch
	var tx lightning.Tx
	var snap lightning.Snapshot
	var it lightning.Iterator
	answers := map[string]error{
		"Batch.Put": b.Put(key, nil), "Batch.PutWithTTL": b.PutWithTTL(key, nil, time.Minute),
		"Batch.PutUntil": b.PutUntil(key, nil, time.Now()),
		"Batch.Merge":    b.Merge(key, nil), "Batch.Delete": b.Delete(key), "Batch.DeleteRange": b.DeleteRange(nil, nil),
		"Batch.Commit": b.Commit(), "Batch.CommitWith": b.CommitWith(lightning.DurabilityAsync),
		"Tx.Put": tx.Put(key, nil), "Tx.PutWithTTL": tx.PutWithTTL(key, nil, time.Minute),
		"Tx.Merge": tx.Merge(key, nil), "Tx.Delete": tx.Delete(key), "Tx.DeleteRange": tx.DeleteRange(nil, nil),
		"Tx.LockRange": tx.LockRange(nil, nil), "Tx.RollbackTo": tx.RollbackTo(tx.Savepoint()),
		"Tx.Release": tx.Release(tx.Savepoint()), "Tx.Commit": tx.Commit(),
		"Tx.CommitWith":    tx.CommitWith(lightning.DurabilityAsync),
		"Tx.Scan":          tx.Scan(lightning.ScanOptions{}, func(iter.Seq2[[]byte, []byte]) error { return nil }),
		"Snapshot.GetFunc": snap.GetFunc(key, nil), "Snapshot.MultiGet": snap.MultiGet(nil, nil),
		"Snapshot.Scan":  snap.Scan(lightning.ScanOptions{}, func(iter.Seq2[[]byte, []byte]) error { return nil }),
		"Snapshot.Close": snap.Close(), "Iterator.Err": it.Err(), "Iterator.Close": it.Close(),
		"Batch.In": b.In(nil).Put(key, nil), "Batch.In, commit": b.In(nil).Commit(),
	}
	_, answers["Tx.Get"] = tx.Get(key)
	_, answers["Tx.Has"] = tx.Has(key)
	_, answers["Tx.ExpiresAt"] = tx.ExpiresAt(key)
	_, answers["Snapshot.ExpiresAt"] = snap.ExpiresAt(key)
	answers["Tx.MultiGet"] = tx.MultiGet(nil, nil)
	_, answers["Tx.GetForUpdate"] = tx.GetForUpdate(key)
	_, answers["Tx.Iterator"] = tx.Iterator(lightning.IterOptions{})
	_, answers["Tx.In"] = tx.In(new(lightning.Keyspace)).Get(key)
	_, answers["Snapshot.Get"] = snap.Get(key)
	_, answers["Snapshot.Has"] = snap.Has(key)
	_, answers["Snapshot.In"] = snap.In(new(lightning.Keyspace)).Get(key)
	_, answers["Snapshot.Iterator"] = snap.Iterator(lightning.IterOptions{})
	wantAll(t, answers, lightning.ErrClosed)
	tx.Rollback()
	b.Reset()
	if it.First() || it.Last() || it.SeekGE(key) || it.SeekLT(key) || it.Next() || it.Prev() || it.Valid() ||
		it.Key() != nil || it.Value() != nil || !it.ExpiresAt().IsZero() {
		t.Error("an iterator of nothing stands on a row")
	}
	var changes lightning.ChangeBatch
	rows := b.Len() + b.SizeBytes() + changes.Len() + int(snap.Seq())
	for range b.All() {
		rows++
	}
	for range new(lightning.DB).NewBatch().All() {
		rows++
	}
	for range changes.All() {
		rows++
	}
	for range tx.Range(nil, nil) {
		rows++
	}
	if rows != 0 || tx.Options().ReadOnly {
		t.Errorf("%d rows of nothing", rows)
	}
}

// A write in a transaction that reads is not the fault of the database.
func TestWriteInView(t *testing.T) {
	db := open(t, small(memfs.New()))
	err := db.View(func(tx *lightning.Tx) error { return tx.Put([]byte("k"), nil) })
	wantErr(t, err, lightning.ErrTxReadOnly)
	wantErr(t, err, lightning.ErrReadOnly)
	if err.Error() != "transaction is read-only" {
		t.Errorf("it says %q", err)
	}
}

// What is nil is an error that says so, and the database goes on.
func TestNilArguments(t *testing.T) {
	db := open(t, small(memfs.New()))
	must(t, db.Put([]byte("k"), []byte("v")))
	snap, err := db.Snapshot()
	must(t, err)
	defer snap.Close()
	tx := begin(t, db, lightning.TxOptions{})
	k, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	var none context.Context
	var noKeyspace *lightning.Keyspace
	key := []byte("k")
	answers := map[string]error{
		"View": db.View(nil), "Update": db.Update(nil), "UpdateWith": db.UpdateWith(lightning.TxOptions{}, nil),
		"GetFunc": db.GetFunc(key, nil), "MultiGet": db.MultiGet([][]byte{key}, nil),
		"Scan":             db.Scan(lightning.ScanOptions{}, nil),
		"Snapshot.GetFunc": snap.GetFunc(key, nil), "Snapshot.MultiGet": snap.MultiGet([][]byte{key}, nil),
		"Snapshot.Scan": snap.Scan(lightning.ScanOptions{}, nil), "Tx.Scan": tx.Scan(lightning.ScanOptions{}, nil),
		"Flush": db.Flush(none), "Compact": db.Compact(none, nil, nil), "Compact a range": db.Compact(none, nil, key),
		"Keyspace.Flush": k.Flush(none), "Keyspace.Compact": k.Compact(none, nil, nil),
		"Batch.In":        db.NewBatch().In(noKeyspace).Put(key, nil),
		"Batch.In, range": db.NewBatch().In(noKeyspace).DeleteRange(nil, nil),
		"Tx.In":           tx.In(noKeyspace).Put(key, nil), "Tx.In, lock": tx.In(noKeyspace).LockRange(nil, nil),
	}
	_, answers["Snapshot.In"] = snap.In(noKeyspace).Get(key)
	_, answers["Snapshot.In, iterator"] = snap.In(noKeyspace).Iterator(lightning.IterOptions{})
	_, answers["Tx.In, get"] = tx.In(noKeyspace).Get(key)
	_, answers["Tx.In, iterator"] = tx.In(noKeyspace).Iterator(lightning.IterOptions{})
	for _, err := range db.Changes(none, 0) {
		answers["Changes"] = err
	}
	wantAll(t, answers, lightning.ErrNilArgument)
	wantErr(t, tx.In(new(lightning.Keyspace)).Put(key, nil), lightning.ErrForeignKeyspace)
	must(t, tx.Commit())
	if h := db.Metrics().Handles; h.Iterators != 0 || h.Snapshots != 1 {
		t.Errorf("left open: %+v", h)
	}
	wantValue(t, db, "k", "v")
}

// A transaction says at once that the database was closed, whatever it is asked, and
// Close calls it a transaction.
func TestTxAfterClose(t *testing.T) {
	db, err := lightning.Open("db", small(memfs.New()))
	must(t, err)
	tx, err := db.Begin(lightning.TxOptions{})
	must(t, err)
	reader, err := db.Begin(lightning.TxOptions{ReadOnly: true})
	must(t, err)
	must(t, tx.Put([]byte("own"), nil))
	if n := db.Metrics().Handles.Transactions; n != 2 {
		t.Errorf("%d transactions are open", n)
	}
	err = db.Close()
	wantErr(t, err, lightning.ErrLeaked)
	if !strings.Contains(err.Error(), "snapshots: 0, transactions: 2") {
		t.Errorf("Close says %q", err)
	}
	_, getErr := tx.Get([]byte("own"))
	_, iterErr := tx.Iterator(lightning.IterOptions{})
	saveErr := tx.RollbackTo(tx.Savepoint())
	wantAll(t, map[string]error{
		"put": tx.Put([]byte("k"), nil), "delete": tx.Delete([]byte("k")),
		"delete range": tx.DeleteRange(nil, nil), "get": getErr, "iterator": iterErr,
		"lock range": tx.LockRange(nil, nil), "savepoint": saveErr,
		"put in a reader": reader.Put([]byte("k"), nil), "commit": tx.Commit(),
	}, lightning.ErrClosed)
	wantErr(t, tx.Put([]byte("k"), nil), lightning.ErrTxEnded)
	reader.Rollback()
}

// A read-only database does not have the keyspaces that nobody has made.
func TestReadOnlyKeyspaceNotFound(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	_, err := db.Keyspace(context.Background(), "made", nil)
	must(t, err)
	must(t, db.Close())
	opts := small(disk)
	opts.ReadOnly = true
	db = open(t, opts)
	_, err = db.Keyspace(context.Background(), "made", nil)
	must(t, err)
	_, err = db.Keyspace(context.Background(), "nope", nil)
	wantErr(t, err, lightning.ErrKeyspaceNotFound)
	wantErr(t, err, lightning.ErrReadOnly)
	if !strings.Contains(err.Error(), `"nope"`) {
		t.Errorf("%v does not name it", err)
	}
}

// A merge operator could not read what Put had been given, so that the key could not
// be read once something was merged into it.
func TestPutOfWhatTheOperatorCannotRead(t *testing.T) {
	opts := small(memfs.New())
	opts.MergeOperators = []lightning.MergeOperator{{
		Name:  "open",
		Merge: func(dst, value []byte, _ [][]byte) ([]byte, error) { return append(dst, value...), nil },
	}}
	db := open(t, opts)
	key := []byte("k")
	for merge, values := range map[string][2]string{ // one that it cannot read and one that it can
		lightning.MergeAddInt64:  {"5", "12345678"},
		lightning.MergeSetUnion:  {"\x09a", "\x01a"},
		lightning.MergeJSONPatch: {"{", "{}"},
	} {
		k, err := db.Keyspace(context.Background(), merge, &lightning.KeyspaceOptions{Merge: merge})
		must(t, err)
		bad, good := []byte(values[0]), []byte(values[1])
		tx := begin(t, db, lightning.TxOptions{})
		b := k.NewBatch()
		wantAll(t, map[string]error{
			"Put": k.Put(key, bad), "PutWithTTL": k.PutWithTTL(key, bad, lightning.Forever),
			"Batch.Put": b.Put(key, bad), "Batch.PutUntil": b.PutUntil(key, bad, time.Time{}), "Batch.PutWithTTL": b.PutWithTTL(key, bad, lightning.Forever),
			"Tx.Put": tx.In(k).Put(key, bad), "Tx.PutWithTTL": tx.In(k).PutWithTTL(key, bad, lightning.Forever),
		}, lightning.ErrMergeRefused)
		err = k.Put(key, bad)
		if text := err.Error(); !strings.Contains(text, `"k"`) || !strings.Contains(text, merge) {
			t.Errorf("%q does not name the key and the keyspace", text)
		}
		must(t, tx.Commit())
		must(t, k.Put(key, good))
		must(t, k.Merge(key, good))
		_, err = k.Get(key)
		must(t, err)
	}
	for _, merge := range []string{lightning.MergeMax, lightning.MergeAppend, "open"} {
		k, err := db.Keyspace(context.Background(), merge, &lightning.KeyspaceOptions{Merge: merge})
		must(t, err)
		must(t, k.Put(key, []byte("anything")))
	}
}
