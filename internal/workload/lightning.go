package workload

import (
	"context"
	"errors"
	"iter"

	"github.com/lightningdb/lightning"
)

// On returns Lightning DB as a Store.
func On(db *lightning.DB) Store { return lightningStore{db} }

type lightningStore struct{ db *lightning.DB }

func (s lightningStore) Session() (Session, error) {
	return &lightningSession{db: s.db, batch: s.db.NewBatch()}, nil
}

func (s lightningStore) Settle(ctx context.Context) error { return s.db.Compact(ctx, nil, nil) }

type lightningSession struct {
	db    *lightning.DB
	batch *lightning.Batch
	kept  *lightning.Iterator // nil until first needed
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

func (s *lightningSession) DeleteRange(lo, hi []byte) error { return s.db.DeleteRange(lo, hi) }

func (s *lightningSession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	return found(s.db.AppendGet(dst, key))
}

// found tells a key that is not there from a failure.
func found(value []byte, err error) ([]byte, bool, error) {
	if errors.Is(err, lightning.ErrNotFound) {
		return value, false, nil
	}
	return value, err == nil, err
}

func (s *lightningSession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	return scanned(s.db.Scan, lo, limit, fn)
}

// scanned passes rows from lo on to fn, from a Scan of a database or transaction.
func scanned(
	scan func(lightning.ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error,
	lo []byte, limit int, fn func(key, value []byte) error,
) error {
	from := lightning.ScanOptions{IterOptions: lightning.IterOptions{Lower: lo}}
	return scan(from, func(rows iter.Seq2[[]byte, []byte]) error {
		if limit <= 0 {
			return nil
		}
		for key, value := range rows {
			if err := fn(key, value); err != nil {
				return err
			}
			if limit--; limit == 0 {
				break
			}
		}
		return nil
	})
}

// passRows passes on rows from lo on, and returns the failure of fn; that of the
// iterator remains with it.
func passRows(it *lightning.Iterator, lo []byte, limit int, fn func(key, value []byte) error) error {
	for ok := it.SeekGE(lo); ok && limit > 0; ok = it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
		limit--
	}
	return nil
}

// iterator returns the one that the session keeps.
func (s *lightningSession) iterator() (it *lightning.Iterator, err error) {
	if s.kept == nil {
		s.kept, err = s.db.Iterator(lightning.IterOptions{})
	}
	return s.kept, err
}

func (s *lightningSession) ScanKept(lo []byte, limit int, fn func(key, value []byte) error) error {
	it, err := s.iterator()
	if err != nil {
		return err
	}
	return errors.Join(passRows(it, lo, limit, fn), it.Err())
}

func (s *lightningSession) ScanBack(hi []byte, limit int, fn func(key, value []byte) error) error {
	it, err := s.iterator()
	if err != nil {
		return err
	}
	for ok := it.SeekLT(hi); ok && limit > 0; ok = it.Prev() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
		limit--
	}
	return it.Err()
}

func (s *lightningSession) Update(fn func(Tx) error) error {
	return s.db.Update(func(tx *lightning.Tx) error { return fn(lightningTx{tx}) })
}

func (s *lightningSession) View(fn func(Tx) error) error {
	return s.db.View(func(tx *lightning.Tx) error { return fn(lightningTx{tx}) })
}

func (s *lightningSession) Close() error {
	if s.kept == nil {
		return nil
	}
	return s.kept.Close()
}

type lightningTx struct{ *lightning.Tx }

func (tx lightningTx) AppendGet(dst, key []byte) ([]byte, bool, error) {
	return found(tx.Tx.AppendGet(dst, key))
}

func (tx lightningTx) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	return scanned(tx.Tx.Scan, lo, limit, fn)
}
