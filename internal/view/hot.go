package view

import (
	"bytes"
	"errors"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
)

// This is how reads use the hot-record cache: those of the newest state ask it before
// they choose a view, and fill it; those of snapshots, and of many keys at one moment,
// ask it as of their number.

// hotBuffers are for values of the cache that go to no memory of the caller.
var hotBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}

// ticket returns a ticket to fill the cache with a key. It is taken before the view is
// chosen.
func (r *Reader) ticket(hash uint64) (t hotcache.Ticket) {
	if r.hot != nil {
		t = r.hot.Ticket(hash)
	}
	return t
}

// fill lets the cache take what was read of a key, which does not expire, as of a number;
// err is that of the read.
func (r *Reader) fill(t hotcache.Ticket, key, value []byte, hash uint64, seq base.SeqNum, err error) {
	if r.hot == nil {
		return
	}
	invariant.Yield()
	switch {
	case err == nil:
		r.hot.Fill(t, key, value, hash, seq)
	case err == base.ErrNotFound:
		r.hot.FillAbsent(t, key, hash, seq)
	}
}

// appendHot appends to dst what the cache knows of a key as of a number.
func (r *Reader) appendHot(dst, key []byte, hash uint64, seq base.SeqNum) ([]byte, hotcache.Answer) {
	if r.hot == nil {
		return dst, hotcache.Unknown
	}
	ticket := r.hot.Ticket(hash)
	found, answer := r.hot.GetAt(dst, key, hash, seq)
	if invariant.Enabled && invariant.TrustUsers && answer != hotcache.Unknown {
		r.checkHit(ticket, key, found[len(dst):], answer, hash)
	}
	return found, answer
}

// callHot calls fn with what the cache knows of a key as of a number. It reports whether
// that is anything.
func (r *Reader) callHot(key []byte, hash uint64, seq base.SeqNum, fn func(value []byte) error) (known bool, err error) {
	if r.hot == nil {
		return false, nil
	}
	buf := hotBuffers.Get().(*[]byte)
	defer hotBuffers.Put(buf)
	value, answer := r.appendHot((*buf)[:0], key, hash, seq)
	*buf = value
	switch answer {
	case hotcache.Found:
		return true, fn(value)
	case hotcache.Absent:
		return true, base.ErrNotFound
	}
	return false, nil
}

// checkHit compares what the cache answered with the tree. The comparison counts only if
// no write to the bucket began meanwhile.
func (r *Reader) checkHit(ticket hotcache.Ticket, key, value []byte, answer hotcache.Answer, hash uint64) {
	s, seq := r.now()
	want, _, err := s.Get(key, hash, seq, 0)
	if r.hot.Ticket(hash) != ticket || err != nil && !errors.Is(err, base.ErrNotFound) {
		return
	}
	invariant.Check((err == nil) == (answer == hotcache.Found) && bytes.Equal(want, value),
		"hot-record cache says %q for %q, answer %d, the tree %q, %v", value, key, answer, want, err)
}
