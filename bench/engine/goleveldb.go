package engine

import (
	"context"
	"errors"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

func init() {
	register(Engine{
		Name:    "goleveldb",
		Package: "github.com/syndtr/goleveldb",
		Tuning: "as go-ethereum: large write buffers, Bloom filters, no compactions because " +
			"of seeks; no compression",
		Memory:     "all of it: two write buffers and the block cache, which holds indexes too",
		Go:         true,
		Compresses: true,
		Open:       openGoLevelDB,
	})
}

type goLevelDB struct {
	db    *leveldb.DB
	write *opt.WriteOptions
}

// openGoLevelDB sets what go-ethereum does, its largest user: the authors give
// no advice beyond the meaning of the options.
func openGoLevelDB(c Config) (DB, error) {
	// Two of them may exist. 64 MiB as with the other trees, as long as both
	// take no more than a quarter of the memory.
	writeBufferBytes := min(64<<20, max(c.MemoryBytes/8, 1<<20))
	cacheBytes := max(c.MemoryBytes-2*writeBufferBytes, 1<<20)
	// The records do not compress; for all engines it is off. There is nothing but Snappy.
	codec := opt.NoCompression
	if c.Small {
		codec = opt.SnappyCompression
	}
	db, err := leveldb.OpenFile(c.Dir, &opt.Options{
		WriteBuffer:        int(writeBufferBytes),
		BlockCacheCapacity: int(cacheBytes),
		// A get reads only the tables that may have the key.
		Filter: filter.NewBloomFilter(10),
		// Tables are small, 2 MiB; with the default of 500 files even a
		// database of 1 GiB would close and open them all the time.
		OpenFilesCacheCapacity: 8192,
		// "This might generate many small compaction which may not preferable."
		DisableSeeksCompaction: true,
		Compression:            codec,
	})
	if err != nil {
		return nil, err
	}
	return &goLevelDB{db: db, write: &opt.WriteOptions{Sync: c.Durability == Sync}}, nil
}

func (l *goLevelDB) Session() (Session, error) {
	return &goLevelDBSession{db: l.db, write: l.write, batch: new(leveldb.Batch)}, nil
}

func (l *goLevelDB) Settle(context.Context) error { return l.db.CompactRange(util.Range{}) }

func (l *goLevelDB) Close() error { return l.db.Close() }

type goLevelDBSession struct {
	db    *leveldb.DB
	write *opt.WriteOptions
	batch *leveldb.Batch
}

func (s *goLevelDBSession) Put(key, value []byte) error { return s.db.Put(key, value, s.write) }

func (s *goLevelDBSession) PutBatch(records []Record) error {
	s.batch.Reset()
	for _, r := range records {
		s.batch.Put(r.Key, r.Value)
	}
	return s.db.Write(s.batch, s.write)
}

func (s *goLevelDBSession) Delete(key []byte) error { return s.db.Delete(key, s.write) }

// DeleteRange is a batch of deletes.
func (s *goLevelDBSession) DeleteRange(lo, hi []byte) error {
	s.batch.Reset()
	it := s.db.NewIterator(&util.Range{Start: lo, Limit: hi}, nil)
	for it.Next() {
		s.batch.Delete(it.Key())
	}
	it.Release()
	if err := it.Error(); err != nil {
		return err
	}
	return s.db.Write(s.batch, s.write)
}

// AppendGet copies twice: there is no get without a copy of its own.
func (s *goLevelDBSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	value, err := s.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, err
	}
	return append(dst, value...), true, nil
}

func (s *goLevelDBSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	it := s.db.NewIterator(&util.Range{Start: lo}, nil)
	defer it.Release()
	for limit > 0 && it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
		limit--
	}
	return it.Error()
}

func (s *goLevelDBSession) Close() error { return nil }
