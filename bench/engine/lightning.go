package engine

import (
	"context"
	"errors"
	"os"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/workload"
)

func init() {
	register(Engine{
		Name:         "lightning",
		Package:      "github.com/lightningdb/lightning",
		Tuning:       "defaults, no compression",
		Memory:       "all of it: memtables, caches, filters and indexes",
		Go:           true,
		Transactions: true,
		RangeDeletes: true,
		Tables:       true,
		Compresses:   true,
		Open:         openLightning,
	})
}

// lightningDB is worked on as 'lightning bench' does.
type lightningDB struct {
	workload.Store
	*lightning.DB
	dir string
}

func (d lightningDB) Close() error { return d.DB.Close() }

func openLightning(c Config) (DB, error) {
	opts := lightning.Options{
		MemoryBudget: c.MemoryBytes,
		// The records do not compress; for all engines it is off.
		Compression: lightning.CompressionNone,
		Durability:  lightning.DurabilitySync,
	}
	if c.Small {
		// Zstandard on the bottom level.
		opts.Compression = lightning.CompressionSmall
	}
	if c.Durability == Async {
		opts.Durability = lightning.DurabilityAsync
	}
	db, err := lightning.Open(c.Dir, &opts)
	if err != nil {
		return nil, err
	}
	return lightningDB{workload.On(db), db, c.Dir}, nil
}

// BulkLoad has a BulkLoader, which takes records in any order, or writes a table beside the
// database for it.
func (d lightningDB) BulkLoad(how Bulk) (Load, error) {
	if how == workload.BulkTables {
		path := d.dir + ".table"
		w, err := lightning.CreateTable(path, nil)
		if err != nil {
			return nil, err
		}
		return &lightningTable{w, d.DB, path}, nil
	}
	load, err := d.DB.BulkLoader()
	if err != nil {
		return nil, err
	}
	return lightningLoad{load}, nil
}

type lightningLoad struct{ *lightning.BulkLoader }

func (l lightningLoad) Add(records []Record) error { return putAll(l, records) }

// putAll puts records where they go one by one.
func putAll(to interface{ Put(key, value []byte) error }, records []Record) error {
	for _, r := range records {
		if err := to.Put(r.Key, r.Value); err != nil {
			return err
		}
	}
	return nil
}

type lightningTable struct {
	*lightning.TableWriter
	db   *lightning.DB
	path string
}

func (t *lightningTable) Add(records []Record) error { return putAll(t, records) }

func (t *lightningTable) Commit() (err error) {
	if err := t.Finish(); err != nil {
		return err
	}
	load, err := t.db.BulkLoader()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.Close()) }()
	if err := load.AddTable(context.Background(), t.path); err != nil {
		return err
	}
	return load.Commit()
}

func (t *lightningTable) Close() error {
	err := t.TableWriter.Close()
	if gone := os.Remove(t.path); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
