package engine

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning"
)

func init() {
	register(Engine{
		Name:         "lightning",
		Package:      "github.com/lightningdb/lightning",
		Tuning:       "defaults, no compression",
		Memory:       "all of it: memtables, caches, filters and indexes",
		Go:           true,
		Transactions: true,
		Open:         openLightning,
	})
}

type lightningDB struct{ *lightning.DB }

func openLightning(c Config) (DB, error) {
	opts := lightning.Options{
		MemoryBudget: c.MemoryBytes,
		// The records do not compress; for all engines it is off.
		Compression: lightning.NoCompression,
		Durability:  lightning.Sync,
	}
	if c.Durability == Async {
		opts.Durability = lightning.Async
	}
	db, err := lightning.Open(c.Dir, &opts)
	if err != nil {
		return nil, err
	}
	return lightningDB{db}, nil
}

func (db lightningDB) Session() (Session, error) {
	return &lightningSession{db: db.DB, batch: db.NewBatch()}, nil
}

func (db lightningDB) Settle(ctx context.Context) error { return db.Compact(ctx, nil, nil) }

type lightningSession struct {
	db    *lightning.DB
	batch *lightning.Batch
}

func (s *lightningSession) Put(key, value []byte) error { return s.db.Put(key, value) }

func (s *lightningSession) PutBatch(records []Record) error {
	s.batch.Reset()
	for _, r := range records {
		if err := s.batch.Put(r.Key, r.Value); err != nil {
			return err
		}
	}
	return s.batch.Commit()
}

func (s *lightningSession) Delete(key []byte) error { return s.db.Delete(key) }

func (s *lightningSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	value, err := s.db.AppendGet(dst, key)
	if errors.Is(err, lightning.ErrNotFound) {
		return dst, false, nil
	}
	return value, err == nil, err
}

func (s *lightningSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	it, err := s.db.Iterator(lightning.IterOptions{})
	if err != nil {
		return err
	}
	return scanRows(it, lo, limit, fn)
}

func (s *lightningSession) Close() error { return nil }
