package view

import (
	"bytes"
	"errors"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
)

// hotReads is the hot-record cache as reads use it: those of the newest state ask it
// before they choose a view, and fill it; others ask it as of their number. Of these,
// transactions fill it as long as nothing newer is visible. Users' snapshots never do,
// since who holds one may walk over much that nobody else reads; nor do reads of many keys,
// which it would slow down by a fifth where the keys are not hot. Its methods are safe for concurrent use, in an epoch
// guard.
type hotReads struct {
	cache  *hotcache.Cache // nil: none
	reader *Reader
}

// hotBuffers are for values of the cache that go to no memory of the caller.
var hotBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}

// ticket returns a ticket to fill the cache with a key. It is taken before the view is
// chosen.
func (h *hotReads) ticket(hash uint64) (t hotcache.Ticket) {
	if h.cache != nil {
		t = h.cache.Ticket(hash)
	}
	return t
}

// ticketAt is ticket for one who has chosen his view already. It can be used if the view
// is still what one would see who chose it now: what he reads is then the newest.
func (h *hotReads) ticketAt(hash uint64, at ReadPoint) (t hotcache.Ticket) {
	if h.cache == nil || at.Time != 0 { // what is absent at a time may be there for others
		return t
	}
	ticket := h.cache.Ticket(hash)
	invariant.Yield()
	if h.reader.VisibleSeq() == at.Seq {
		return ticket
	}
	return t
}

// fill lets the cache take what was read of a key, which does not expire, as of a number;
// err is that of the read.
func (h *hotReads) fill(t hotcache.Ticket, key, value []byte, hash uint64, seq base.SeqNum, err error) {
	if h.cache == nil {
		return
	}
	invariant.Yield()
	switch {
	case err == nil:
		h.cache.Fill(t, key, value, hash, seq)
	case err == base.ErrNotFound:
		h.cache.FillAbsent(t, key, hash, seq)
	}
}

// append appends to dst what the cache knows of a key as of a number.
func (h *hotReads) append(dst, key []byte, hash uint64, seq base.SeqNum) ([]byte, hotcache.Answer) {
	if h.cache == nil {
		return dst, hotcache.Unknown
	}
	if !invariant.Enabled || !invariant.TrustUsers {
		return h.cache.GetAt(dst, key, hash, seq)
	}
	ticket := h.cache.Ticket(hash)
	found, answer := h.cache.GetAt(dst, key, hash, seq)
	if answer != hotcache.Unknown {
		h.check(ticket, key, found[len(dst):], answer, hash)
	}
	return found, answer
}

// call calls fn with what the cache knows of a key as of a number. It reports whether
// that is anything.
func (h *hotReads) call(key []byte, hash uint64, seq base.SeqNum, fn func(value []byte) error) (known bool, err error) {
	if h.cache == nil {
		return false, nil
	}
	buf := hotBuffers.Get().(*[]byte)
	defer hotBuffers.Put(buf)
	value, answer := h.append((*buf)[:0], key, hash, seq)
	*buf = value
	switch answer {
	case hotcache.Found:
		return true, fn(value)
	case hotcache.Absent:
		return true, base.ErrNotFound
	}
	return false, nil
}

// check compares what the cache answered with the tree. The comparison counts only if
// no write to the bucket began meanwhile.
func (h *hotReads) check(ticket hotcache.Ticket, key, value []byte, answer hotcache.Answer, hash uint64) {
	s, seq := h.reader.now()
	want, _, err := s.Get(key, hash, seq, 0)
	if h.cache.Ticket(hash) != ticket || err != nil && !errors.Is(err, base.ErrNotFound) {
		return
	}
	invariant.Check((err == nil) == (answer == hotcache.Found) && bytes.Equal(want, value),
		"hot-record cache says %q for %q, answer %d, the tree %q, %v", value, key, answer, want, err)
}

// keptRows are some rows of an iterator, whose places in the hot-record cache are asked for
// before the first of them is put there.
type keptRows struct {
	bytes   []byte
	rows    [16]keptRow
	carried []byte // memory for what the cache has already
}

type keptRow struct {
	hash           uint64
	begin, at, end int // of key and value in bytes
}

// KeepHot lets the hot-record cache take the rows of an iterator over what is newest, from where it
// stands, until it has no more or wanted returns false: it is asked now and then. It returns false where
// something was written since, and the iterator then stands on a row that was not taken.
func KeepHot(it *Iterator, wanted func() bool) (newest bool) {
	var kept keptRows
	for it.Valid() {
		if !wanted() {
			return true
		}
		if !kept.keep(it) {
			return false
		}
	}
	return true
}

// keep takes some rows.
func (k *keptRows) keep(it *Iterator) bool {
	r, at := it.reader, it.handle.at
	if at.Time != 0 {
		return false
	}
	g := r.Epochs.Enter()
	defer g.Exit()
	n := 0
	k.bytes = k.bytes[:0]
	for ; n < len(k.rows) && it.Valid() && it.Expiry() == 0; n++ {
		row := &k.rows[n]
		row.hash, row.begin = base.Hash(it.Key()), len(k.bytes)
		k.bytes = append(k.bytes, it.Key()...)
		row.at = len(k.bytes)
		k.bytes = append(k.bytes, it.Value()...)
		row.end = len(k.bytes)
		r.hot.cache.Expect(row.hash)
		it.Next()
	}
	for i := range k.rows[:n] {
		row := &k.rows[i]
		ticket := r.hot.ticket(row.hash)
		invariant.Yield()
		if r.VisibleSeq() != at.Seq {
			return false
		}
		key, has := k.bytes[row.begin:row.at], false
		if k.carried, has = r.hot.cache.Carry(k.carried, key, row.hash, at.Seq); !has {
			r.hot.fill(ticket, key, k.bytes[row.at:row.end], row.hash, at.Seq, nil)
		}
	}
	return n > 0
}

// Warm gets a key for the hot-record cache, and is not counted as a get. It returns buf, with what
// it may have become.
func Warm(r *Reader, buf, key []byte) []byte {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return buf
	}
	buf, _ = r.appendNewest(epoch.Guard{}, buf[:0], key) // what it may say, others are told by their reads
	return buf
}
