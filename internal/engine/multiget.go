package engine

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// MultiGet looks up keys at one moment and calls fn for each, in the order of
// the keys, with its index and its value or error. Values are valid during the
// call only. It stops at the first error that fn returns.
func (db *DB) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	g := db.epochs.Enter()
	defer g.Exit()
	if db.closed.Load() {
		return base.ErrClosed
	}
	rs, at := db.viewNow()
	return db.multiGetAt(rs, keys, at, fn)
}

// MultiGet is DB.MultiGet as of the snapshot.
func (s *Snapshot) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	g := s.db.epochs.Enter()
	defer g.Exit()
	rs, err := s.view()
	if err != nil {
		return err
	}
	return s.db.multiGetAt(rs, keys, snapshotAt{s.seq, s.moment}, fn)
}

// multiGetAt visits the keys in their order, so that neighbours find what they
// share in the processor's caches.
func (db *DB) multiGetAt(rs *readState, keys [][]byte, at snapshotAt,
	fn func(i int, value []byte, err error) error) error {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	for _, i := range order {
		value, _, err := db.getAt(rs, keys[i], base.Hash(keys[i]), at.seq, at.moment)
		if err := fn(i, value, err); err != nil {
			return err
		}
	}
	return nil
}
