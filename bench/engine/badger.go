package engine

import (
	"bytes"
	"context"
	"errors"
	"runtime"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/ristretto/v2/z"
	"github.com/lightningdb/lightning/internal/workload"
)

func init() {
	register(Engine{
		Name:    "badger",
		Package: "github.com/dgraph-io/badger/v4",
		Tuning: "values in the tree, no compression and therefore no block cache, " +
			"conflict detection for the transactions only, as its documentation advises; no prefetching",
		Memory: "the memtables only: without compression, blocks, filters and indexes are " +
			"read through a memory map, and the system's page cache serves, unbounded",
		Go:           true,
		Transactions: true,
		Compresses:   true,
		Open:         openBadger,
	})
}

const (
	badgerMemTables        = 5       // the default
	badgerMemTableMinBytes = 8 << 20 // 15 % must hold a value at the threshold, 1 MiB
)

type badgerDB struct{ db *badger.DB }

func openBadger(c Config) (DB, error) {
	// The default of 64 MiB, as long as all memtables together take no more
	// than half of the memory.
	memTableBytes := min(64<<20, max(c.MemoryBytes/(2*badgerMemTables), badgerMemTableMinBytes))
	// By default values below 1 MiB stay in the tree and the value log is empty.
	opts := badger.DefaultOptions(c.Dir).
		WithSyncWrites(c.Durability == Sync).
		WithNumMemtables(badgerMemTables).
		WithMemTableSize(memTableBytes).
		// The records do not compress; for all engines it is off.
		WithCompression(options.None).
		// "If compression and encryption both are disabled, adding a cache will
		// lead to unnecessary overhead which will affect the read performance."
		WithBlockCacheSize(0).
		// The default, and the fastest: all indexes are at hand.
		WithIndexCacheSize(0).
		// "Transactions can be processed at a higher rate when conflict
		// detection is disabled." Single puts write without reading, so there is
		// nothing that could conflict.
		WithDetectConflicts(c.Transactions).
		// Nobody reads the counters.
		WithMetricsEnabled(false).
		WithLogger(nil)
	if c.Small {
		// The default codec is Snappy. With one, the cache holds what is decompressed, so
		// that it has what the memtables leave.
		opts = opts.WithCompression(options.ZSTD).WithBlockCacheSize(c.MemoryBytes / 2)
	}
	db, err := badger.Open(opts)
	if err != nil {
		return nil, err
	}
	return badgerDB{db}, nil
}

func (b badgerDB) Session() (Session, error) { return badgerSession(b), nil }

// Settle leaves the newest memtable in memory: only Close can flush it. It need
// not collect the value log, which holds only values of 1 MiB and more.
func (b badgerDB) Settle(context.Context) error { return b.db.Flatten(runtime.GOMAXPROCS(0)) }

func (b badgerDB) Close() error { return b.db.Close() }

// BulkLoad is a StreamWriter, which is for sorted records and an empty database alone, or else a
// WriteBatch.
func (b badgerDB) BulkLoad(how Bulk) (Load, error) {
	if how == workload.BulkUnsorted {
		return badgerBatch{b.db, b.db.NewWriteBatch()}, nil
	}
	w := b.db.NewStreamWriter()
	return badgerStream{b.db, w}, w.Prepare()
}

type badgerBatch struct {
	db *badger.DB
	*badger.WriteBatch
}

// Add copies, because a WriteBatch uses the slices until it is flushed.
func (l badgerBatch) Add(records []Record) error {
	for _, r := range records {
		if err := l.Set(bytes.Clone(r.Key), bytes.Clone(r.Value)); err != nil {
			return err
		}
	}
	return nil
}

func (l badgerBatch) Commit() error {
	if err := l.Flush(); err != nil {
		return err
	}
	return l.db.Sync()
}

func (l badgerBatch) Close() error {
	l.Cancel()
	return nil
}

type badgerStream struct {
	db *badger.DB
	w  *badger.StreamWriter
}

func (l badgerStream) Add(records []Record) (err error) {
	buf := z.NewBuffer(1<<20, "load")
	defer func() { err = errors.Join(err, buf.Release()) }()
	for _, r := range records {
		badger.KVToBuffer(&pb.KV{Key: r.Key, Value: r.Value, Version: 1, StreamId: 1}, buf)
	}
	return l.w.Write(buf)
}

func (l badgerStream) Commit() error {
	if err := l.w.Flush(); err != nil {
		return err
	}
	return l.db.Sync()
}

func (l badgerStream) Close() error { return nil }

type badgerSession struct{ db *badger.DB }

// Put needs no copies: Badger uses the slices until the commit is done, and
// Update waits for that.
func (s badgerSession) Put(key, value []byte) error {
	return s.db.Update(func(txn *badger.Txn) error { return txn.Set(key, value) })
}

// PutBatch is one transaction. What is too large for one (15 % of a memtable)
// goes on in another, as the documentation says; it is not atomic then.
func (s badgerSession) PutBatch(records []Record) error {
	txn := s.db.NewTransaction(true)
	defer func() { txn.Discard() }()
	for _, r := range records {
		err := txn.Set(r.Key, r.Value)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err := txn.Commit(); err != nil {
				return err
			}
			txn = s.db.NewTransaction(true)
			err = txn.Set(r.Key, r.Value)
		}
		if err != nil {
			return err
		}
	}
	return txn.Commit()
}

func (s badgerSession) Delete(key []byte) error {
	return s.db.Update(func(txn *badger.Txn) error { return txn.Delete(key) })
}

// DeleteRange is a WriteBatch, "the fastest way to do a bunch of writes". What has no
// prefix in common cannot be dropped at once.
func (s badgerSession) DeleteRange(lo, hi []byte) error {
	batch := s.db.NewWriteBatch()
	defer batch.Cancel()
	err := s.db.View(func(txn *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.PrefetchValues = false
		it := txn.NewIterator(opts)
		defer it.Close()
		for it.Seek(lo); it.Valid() && bytes.Compare(it.Item().Key(), hi) < 0; it.Next() {
			if err := batch.Delete(it.Item().KeyCopy(nil)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return batch.Flush()
}

func (s badgerSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return badgerGet(txn, dst, key)
}

func badgerGet(txn *badger.Txn, dst, key []byte) ([]byte, bool, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, err
	}
	err = item.Value(func(value []byte) error {
		dst = append(dst, value...)
		return nil
	})
	return dst, err == nil, err
}

func (s badgerSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return badgerScan(txn, lo, limit, fn)
}

func badgerScan(txn *badger.Txn, lo []byte, limit int, fn func(key, value []byte) error) error {
	opts := badger.DefaultIteratorOptions
	// Prefetching starts a goroutine for each value, to wait for the value log
	// meanwhile. Ours lie beside their keys: a scan of 50 was four times slower
	// with it.
	opts.PrefetchValues = false
	it := txn.NewIterator(opts)
	defer it.Close()
	for it.Seek(lo); it.Valid() && limit > 0; it.Next() {
		item := it.Item()
		err := item.Value(func(value []byte) error { return fn(item.Key(), value) })
		if err != nil {
			return err
		}
		limit--
	}
	return nil
}

func (s badgerSession) Close() error { return nil }
