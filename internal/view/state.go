package view

import (
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
)

// State is everything a read needs: what is in memory, the tree of tables, and
// what records mean (merge operators, the time). It is immutable, but for the
// memtable that takes writes, which shows a reader nothing newer than the
// sequence number he reads at.
//
// Point reads use it inside an epoch guard without counting; longer readers
// take a reference. The current state's own reference is given back only after
// all guards that may have loaded it have ended.
type State struct {
	Mem *Flushable
	// Immutables are not yet flushed, newest first.
	Immutables []*Flushable
	Tree       *store.Tree

	operators *keyspace.Registry
	timeline  *timeline.Timeline
	refs      atomic.Int32
}

// flushables calls fn with what is in memory, newest first, until it returns
// false.
func (s *State) flushables(fn func(m *Flushable) bool) {
	if !fn(s.Mem) {
		return
	}
	for _, m := range s.Immutables {
		if !fn(m) {
			return
		}
	}
}

// ReservedBytes is what memory may take of the budget.
func (s *State) ReservedBytes() (n int64) {
	s.flushables(func(m *Flushable) bool { n += m.ReservedBytes(); return true })
	return n
}

// CommittedBytes is what memory has of the system outside of Go's heap.
func (s *State) CommittedBytes() (n int64) {
	s.flushables(func(m *Flushable) bool { n += m.committedBytes(); return true })
	return n
}

// UnflushedBytes is about what all that is in memory takes as tables.
func (s *State) UnflushedBytes() (n int64) {
	s.flushables(func(m *Flushable) bool { n += m.TableBytes(); return true })
	return n
}

// Get finds the value of key as of seq, at a time, and when it expires: 0 if
// never. The caller is in an epoch guard or holds a reference; in either
// case it must be in a guard while it uses the value. hash is base.Hash(key).
func (s *State) Get(key []byte, hash uint64, seq base.SeqNum, at base.Instant) (
	value []byte, expiry base.Instant, err error) {
	return s.get(&store.Lookup{Key: key, Hash: hash, Seq: seq}, at)
}

// get is Get of what l says.
func (s *State) get(l *store.Lookup, at base.Instant) (value []byte, expiry base.Instant, err error) {
	tr, value, found, err := s.newestVersion(l, l.Seq)
	if err != nil {
		return nil, 0, err
	}
	return s.shown(l, tr, value, found, at)
}

// shown returns what the newest version of a key, if there is one, shows.
func (s *State) shown(l *store.Lookup, tr base.Trailer, value []byte, found bool, at base.Instant) (
	_ []byte, expiry base.Instant, err error) {
	switch {
	case !found || hidden(tr, l.Covering):
		return nil, 0, base.ErrNotFound
	case tr.Kind() == base.KindSet:
		return value, 0, nil
	case tr.Kind() == base.KindSetExpiring:
		return s.unexpired(tr, value, at)
	}
	value, err = s.fold(l, tr, value, at)
	return value, 0, err
}

// newestVersion finds the newest version of a key that is not newer than seq, and notes
// the range tombstones over it. The sources above hold newer ones of both than those
// below, so the first hit is the answer.
func (s *State) newestVersion(l *store.Lookup, seq base.SeqNum) (
	tr base.Trailer, value []byte, found bool, err error) {
	l.Covering = max(l.Covering, s.Mem.Table.RangeDeletes().Covering(l.Key, l.Seq))
	if tr, value, found = s.Mem.Table.Get(l.Key, seq); found {
		return tr, value, true, nil
	}
	for _, m := range s.Immutables {
		l.Covering = max(l.Covering, m.Covering(l.Key, l.Seq))
		if tr, value, found = m.Get(l.Key, seq); found {
			return tr, value, true, nil
		}
	}
	return s.Tree.Get(l, seq)
}

// unexpired returns the value in an expiring record, and when it expires, unless
// it has at a time.
func (s *State) unexpired(tr base.Trailer, stored []byte, at base.Instant) ([]byte, base.Instant, error) {
	decoded, err := base.Decode(tr, stored)
	if err != nil {
		return nil, 0, err
	}
	if s.hasExpired(decoded.Expiry, at) {
		return nil, 0, base.ErrNotFound
	}
	return decoded.Value, decoded.Expiry, nil
}

// hasExpired reports whether the time of a record had come at a time, and notes it if it had.
func (s *State) hasExpired(expiry, at base.Instant) bool {
	if expiry > at {
		return false
	}
	s.timeline.Observe(expiry)
	s.timeline.SaveLater()
	return true
}

// fold returns what the operand, the newest version of a key, and the older ones
// make together.
func (s *State) fold(l *store.Lookup, tr base.Trailer, value []byte, at base.Instant) ([]byte, error) {
	var operands [][]byte
	var under []byte
	for found := true; found && !hidden(tr, l.Covering); {
		if tr.Kind() != base.KindMerge {
			under = value
			if tr.Kind() == base.KindSetExpiring {
				var err error
				if under, _, err = s.unexpired(tr, value, at); err != nil && err != base.ErrNotFound {
					return nil, err
				}
			}
			break
		}
		operand, err := base.Decode(tr, value)
		if err != nil {
			return nil, err
		}
		operands = append(operands, operand.Value)
		if operand.Oldest == 0 {
			break
		}
		if tr, value, found, err = s.newestVersion(l, operand.Oldest-1); err != nil {
			return nil, err
		}
	}
	return s.operators.MergeOperator(l.Key).Fold(nil, l.Key, under, operands)
}

// hidden reports whether a version stands for no value: it is a delete, or older
// than a range tombstone.
func hidden(tr base.Trailer, covering base.SeqNum) bool {
	return tr.Kind() == base.KindDelete || tr.Seq() < covering
}
