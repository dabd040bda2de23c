package view

import (
	"bytes"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
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
	return r.multiGet(s, keys, at, nil, fn)
}

// MultiGet is Reader.MultiGet as of the snapshot.
func (s *Snapshot) MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error {
	return s.MultiGetExpiry(keys, nil, fn)
}

// MultiGetExpiry is MultiGet that also says, where expiry points to unless it is nil, when
// the key expires that fn is called for, 0 if never.
func (s *Snapshot) MultiGetExpiry(keys [][]byte, expiry *base.Instant, fn func(i int, value []byte, err error) error) error {
	g := s.reader.Epochs.Enter()
	defer g.Exit()
	state, err := s.state()
	if err != nil {
		return err
	}
	return s.reader.multiGet(state, keys, s.at, expiry, fn)
}

// prefetchKeys is for how many keys ahead blocks are read at once. All of them stay
// in the cache's limbo at worst until the end of the guard.
const prefetchKeys = 64

// multiGet visits the keys in their order, so that neighbours find what they
// share in the processor's caches, and asks for the memory that some of them need before
// it looks up the first. Once a key was not in the cache, the blocks of those that follow
// are read side by side.
func (r *Reader) multiGet(s *State, keys [][]byte, at ReadPoint, expiry *base.Instant,
	fn func(i int, value []byte, err error) error) error {
	start := r.cfg.Clock.Now()
	defer func() { r.measures.endMulti(start, len(keys)) }()
	m := multiGets.Get().(*multiGet)
	defer m.free()
	for i := range keys {
		m.order = append(m.order, i)
	}
	order := m.order
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	fetched := 0 // the keys before it were looked up, or their blocks fetched
	for n, i := range order {
		if n%store.ApproachMax == 0 {
			m.near.approach(r, s, keys, order[n:min(n+store.ApproachMax, len(order))], at.Seq)
		}
		hash := m.near.hashes[n%store.ApproachMax]
		hot, answer := r.hot.append(m.value[:0], keys[i], hash, at.Seq)
		if m.value = hot; answer != hotcache.Unknown {
			var err error
			if answer == hotcache.Absent {
				hot, err = nil, base.ErrNotFound
			}
			note(expiry, 0)
			if err := fn(i, hot, err); err != nil {
				return err
			}
			continue
		}
		misses := s.Tree.CacheMisses()
		value, until, err := s.get(&store.Lookup{
			Key: keys[i], Hash: hash, Seq: at.Seq, Way: m.near.way(n % store.ApproachMax),
		}, at.Time)
		if n >= fetched && s.Tree.CacheMisses() != misses {
			fetched = min(n+prefetchKeys, len(order))
			s.prefetch(&m.ahead, keys, order[n+1:fetched], at.Seq)
		}
		note(expiry, until)
		if err := fn(i, value, err); err != nil {
			return err
		}
	}
	return nil
}

// note says when something expires to one who has asked.
func note(expiry *base.Instant, until base.Instant) {
	if expiry != nil {
		*expiry = until
	}
}

// multiGet is what a MultiGet works with. It is pooled.
type multiGet struct {
	order []int // of the keys
	value []byte
	near  approached
	ahead sstable.Prefetch
}

var multiGets = sync.Pool{New: func() any { return new(multiGet) }}

// multiGetMaxKeys is the number of keys above which the memory is not used again.
const multiGetMaxKeys = 10_000

func (m *multiGet) free() {
	if cap(m.order) > multiGetMaxKeys {
		return
	}
	m.order = m.order[:0]
	clear(m.near.others[:])
	clear(m.near.ways[:])
	multiGets.Put(m)
}

// approached is some keys whose memory was asked for.
type approached struct {
	hashes [store.ApproachMax]uint64
	// The keys that the hot-record cache seems not to have.
	others      [store.ApproachMax][]byte
	otherHashes [store.ApproachMax]uint64
	ways        [store.ApproachMax]store.Way
	wayOf       [store.ApproachMax]int // of each key the place of its way; -1: it has none
}

// way returns how far the get of a key has come, nil if nobody knows.
func (a *approached) way(n int) *store.Way {
	if at := a.wayOf[n]; at >= 0 {
		return &a.ways[at]
	}
	return nil
}

// approach asks for the memory that the gets of some keys need.
func (a *approached) approach(r *Reader, s *State, keys [][]byte, order []int, seq base.SeqNum) {
	for n, i := range order {
		a.hashes[n], a.wayOf[n] = base.Hash(keys[i]), -1
		if r.hot.cache != nil {
			r.hot.cache.Expect(a.hashes[n])
		}
	}
	if len(order) == 1 {
		return // there is nothing to do meanwhile
	}
	others := 0
	for n, i := range order {
		if r.hot.cache == nil || !r.hot.cache.Seems(a.hashes[n]) {
			a.others[others], a.otherHashes[others], a.wayOf[n] = keys[i], a.hashes[n], others
			others++
		}
	}
	s.flushables(func(m *Flushable) bool {
		if m.Table != nil {
			memtable.ExpectGets(m.Table, a.others[:others])
		}
		return true
	})
	s.Tree.Approach(&a.ways, a.others[:others], a.otherHashes[:others], seq)
}

// prefetch brings the blocks of some keys into the cache. What fails shows when
// they are looked up.
func (s *State) prefetch(list *sstable.Prefetch, keys [][]byte, order []int, seq base.SeqNum) {
	for range 2 { // the second time only if the index was not there the first time
		for _, i := range order {
			hash := base.Hash(keys[i])
			if !s.inMemory(keys[i], seq) && s.Tree.Prefetch(list, keys[i], hash, seq) != nil {
				break
			}
		}
		if !list.Run() {
			return
		}
	}
}

// inMemory reports whether a version of key that seq sees is in a memtable.
func (s *State) inMemory(key []byte, seq base.SeqNum) (found bool) {
	s.flushables(func(m *Flushable) bool {
		_, _, found = m.Get(key, seq)
		return !found
	})
	return found
}
