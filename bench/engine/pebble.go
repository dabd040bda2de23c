package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lightningdb/lightning/internal/workload"
)

func init() {
	register(Engine{
		Name:    "pebble",
		Package: "github.com/cockroachdb/pebble/v2",
		Tuning: "as CockroachDB: 64 MiB memtables, Bloom filters above the last level, " +
			"L0 thresholds 2 and 1000; newest format, no compression",
		Memory: "all of it: the memtables have their room in the block cache, " +
			"which holds filters and indexes too; with cgo it lies outside the Go heap",
		Go:           true,
		RangeDeletes: true,
		Tables:       true,
		Compresses:   true,
		Open:         openPebble,
	})
}

type pebbleDB struct {
	db    *pebble.DB
	opts  *pebble.Options
	dir   string
	write *pebble.WriteOptions
}

func openPebble(c Config) (DB, error) {
	opts := &pebble.Options{
		// Pebble reserves the room of memtables in the cache, so that this is
		// the bound of both together.
		CacheSize: c.MemoryBytes,
		// What CockroachDB sets, as long as the four memtables that may exist
		// take no more than a quarter of the memory.
		MemTableSize:                uint64(min(64<<20, max(c.MemoryBytes/16, 1<<20))),
		MemTableStopWritesThreshold: 4,
		// CockroachDB's, and those of Pebble's own benchmark: to compact L0
		// early, never to stop writes for it, and a first level as large as a
		// memtable.
		L0CompactionThreshold: 2,
		L0StopWritesThreshold: 1000,
		LBaseMaxBytes:         64 << 20,
		// Enough that no table is closed and opened again; of the same
		// benchmark.
		MaxOpenFiles: 16384,
		// The newest stands for columnar blocks, which search faster.
		FormatMajorVersion: pebble.FormatNewest,
		// One is the default, all cores what it may grow to when behind.
		CompactionConcurrencyRange: func() (lower, upper int) {
			return 1, runtime.GOMAXPROCS(0)
		},
		Logger: quietLogger{},
	}
	// The records do not compress; for all engines it is off. Where they do, this is zstd, of
	// level 3 on the last level.
	opts.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		if c.Small {
			return pebble.DBCompressionGood
		}
		return pebble.DBCompressionNone
	})
	// Filters as CockroachDB has them: none on the last level, where Get does
	// not look at them, because they would crowd out the data in the cache.
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	opts.Levels[len(opts.Levels)-1].FilterPolicy = pebble.NoFilterPolicy
	db, err := pebble.Open(c.Dir, opts)
	if err != nil {
		return nil, err
	}
	write := pebble.Sync
	if c.Durability == Async {
		write = pebble.NoSync
	}
	return &pebbleDB{db: db, opts: opts, dir: c.Dir, write: write}, nil
}

// quietLogger drops what Pebble has to tell. Fatalf must not return.
type quietLogger struct{}

func (quietLogger) Infof(string, ...any)  {}
func (quietLogger) Errorf(string, ...any) {}
func (quietLogger) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("pebble: "+format, args...))
}

func (p *pebbleDB) Session() (Session, error) {
	return &pebbleSession{db: p.db, write: p.write, batch: p.db.NewBatch()}, nil
}

func (p *pebbleDB) Settle(ctx context.Context) error {
	if err := p.db.Flush(); err != nil {
		return err
	}
	it, err := p.db.NewIterWithContext(ctx, nil)
	if err != nil {
		return err
	}
	if !it.First() {
		return errors.Join(it.Error(), it.Close())
	}
	first := append([]byte(nil), it.Key()...)
	var end []byte // after the last key
	if it.Last() {
		end = append(append(end, it.Key()...), 0)
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	return p.db.Compact(ctx, first, end, true)
}

func (p *pebbleDB) Close() error { return p.db.Close() }

// BulkLoad writes tables for Ingest, which links them into the database. For what is not
// sorted there is nothing.
func (p *pebbleDB) BulkLoad(how Bulk) (Load, error) {
	if how == workload.BulkUnsorted {
		return nil, nil
	}
	dir := p.dir + ".tables"
	return &pebbleTables{db: p, dir: dir}, os.Mkdir(dir, 0o755)
}

// pebbleTables writes tables of the size that files of the last level have in CockroachDB.
type pebbleTables struct {
	db    *pebbleDB
	dir   string
	paths []string
	w     *sstable.Writer // nil between tables
	bytes int
}

const pebbleTableBytes = 128 << 20

func (t *pebbleTables) Add(records []Record) error {
	for _, r := range records {
		if err := t.add(r); err != nil {
			return err
		}
	}
	return nil
}

func (t *pebbleTables) add(r Record) error {
	if t.w == nil {
		path := filepath.Join(t.dir, fmt.Sprintf("%06d.sst", len(t.paths)))
		f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		o := t.db.opts.MakeWriterOptions(len(t.db.opts.Levels)-1, t.db.db.TableFormat())
		t.w = sstable.NewWriter(objstorageprovider.NewFileWritable(f), o)
		t.paths, t.bytes = append(t.paths, path), 0
	}
	if err := t.w.Set(r.Key, r.Value); err != nil {
		return err
	}
	if t.bytes += len(r.Key) + len(r.Value); t.bytes >= pebbleTableBytes {
		return t.end()
	}
	return nil
}

// end finishes the table, which syncs it.
func (t *pebbleTables) end() error {
	if t.w == nil {
		return nil
	}
	err := t.w.Close()
	t.w = nil
	return err
}

func (t *pebbleTables) Commit() error {
	if err := t.end(); err != nil {
		return err
	}
	return t.db.db.Ingest(context.Background(), t.paths)
}

func (t *pebbleTables) Close() error { return errors.Join(t.end(), os.RemoveAll(t.dir)) }

type pebbleSession struct {
	db    *pebble.DB
	write *pebble.WriteOptions
	batch *pebble.Batch
}

func (s *pebbleSession) Put(key, value []byte) error { return s.db.Set(key, value, s.write) }

func (s *pebbleSession) PutBatch(records []Record) error {
	s.batch.Reset()
	for _, r := range records {
		if err := s.batch.Set(r.Key, r.Value, nil); err != nil {
			return err
		}
	}
	return s.batch.Commit(s.write)
}

func (s *pebbleSession) Delete(key []byte) error { return s.db.Delete(key, s.write) }

func (s *pebbleSession) DeleteRange(lo, hi []byte) error { return s.db.DeleteRange(lo, hi, s.write) }

func (s *pebbleSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, err
	}
	dst = append(dst, value...)
	return dst, true, closer.Close()
}

func (s *pebbleSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	if len(lo) == 0 {
		lo = nil // Pebble wants it so where there is no bound
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && limit > 0; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			err = fn(it.Key(), value)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
		limit--
	}
	return errors.Join(it.Error(), it.Close())
}

func (s *pebbleSession) Close() error { return s.batch.Close() }
