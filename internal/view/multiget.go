package view

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/sstable"
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
	return r.multiGet(s, keys, at, fn)
}

// MultiGet is Reader.MultiGet as of the snapshot.
func (s *Snapshot) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	g := s.reader.Epochs.Enter()
	defer g.Exit()
	state, err := s.state()
	if err != nil {
		return err
	}
	return s.reader.multiGet(state, keys, s.at, fn)
}

// prefetchKeys is for how many keys ahead blocks are read at once. All of them stay
// in the cache's limbo at worst until the end of the guard.
const prefetchKeys = 64

// multiGet visits the keys in their order, so that neighbours find what they
// share in the processor's caches. Once a key was not in the cache, the blocks of
// those that follow are read side by side.
func (r *Reader) multiGet(s *State, keys [][]byte, at ReadPoint,
	fn func(i int, value []byte, err error) error) error {
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	var ahead sstable.Prefetch
	fetched := 0 // the keys before it were looked up, or their blocks fetched
	buf := hotBuffers.Get().(*[]byte)
	defer hotBuffers.Put(buf)
	for n, i := range order {
		hash := base.Hash(keys[i])
		hot, answer := r.hot.append((*buf)[:0], keys[i], hash, at.Seq)
		if *buf = hot; answer != hotcache.Unknown {
			var err error
			if answer == hotcache.Absent {
				hot, err = nil, base.ErrNotFound
			}
			if err := fn(i, hot, err); err != nil {
				return err
			}
			continue
		}
		misses := s.Tree.CacheMisses()
		value, _, err := s.Get(keys[i], hash, at.Seq, at.Time)
		if n >= fetched && s.Tree.CacheMisses() != misses {
			fetched = min(n+prefetchKeys, len(order))
			s.prefetch(&ahead, keys, order[n+1:fetched], at.Seq)
		}
		if err := fn(i, value, err); err != nil {
			return err
		}
	}
	return nil
}

// prefetch brings the blocks of some keys into the cache. What fails shows when
// they are looked up.
func (s *State) prefetch(list *sstable.Prefetch, keys [][]byte, order []int, seq base.SeqNum) {
	for _, i := range order {
		hash := base.Hash(keys[i])
		if !s.inMemory(keys[i], seq) && s.Tree.Prefetch(list, keys[i], hash, seq) != nil {
			break
		}
	}
	list.Run()
}

// inMemory reports whether a version of key that seq sees is in a memtable.
func (s *State) inMemory(key []byte, seq base.SeqNum) (found bool) {
	s.flushables(func(m *Flushable) bool {
		_, _, found = m.Get(key, seq)
		return !found
	})
	return found
}
