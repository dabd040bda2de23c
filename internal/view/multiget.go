package view

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// MultiGet looks up keys at one moment and calls fn for each, in the order of
// the keys, with its index and its value or error. Values are valid during the
// call only. It stops at the first error that fn returns.
func (r *Reader) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return base.ErrClosed
	}
	s, at := r.nowTimed()
	return s.multiGet(keys, at, fn)
}

// MultiGet is Reader.MultiGet as of the snapshot.
func (s *Snapshot) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	g := s.reader.Epochs.Enter()
	defer g.Exit()
	state, err := s.state()
	if err != nil {
		return err
	}
	return state.multiGet(keys, s.at, fn)
}

// multiGet visits the keys in their order, so that neighbours find what they
// share in the processor's caches.
func (s *State) multiGet(keys [][]byte, at ReadPoint,
	fn func(i int, value []byte, err error) error) error {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	for _, i := range order {
		value, _, err := s.Get(keys[i], base.Hash(keys[i]), at.Seq, at.Time)
		if err := fn(i, value, err); err != nil {
			return err
		}
	}
	return nil
}
