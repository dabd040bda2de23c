package view

import (
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
)

// AppendGet appends the newest value of key to dst. It allocates only what dst
// lacks.
func (r *Reader) AppendGet(dst, key []byte) ([]byte, error) {
	g, sampled := r.Epochs.EnterCounted()
	if r.closed.Load() { // looked at inside the guard, which Close waits for
		g.ExitMissed()
		return dst, base.ErrClosed
	}
	var began time.Time
	if sampled {
		began = r.measures.begin(g)
	}
	dst, err := r.appendNewest(g, dst, key)
	if sampled {
		r.measures.end(began)
	}
	leave(g, err == nil)
	return dst, err
}

// appendNewest is AppendGet inside a guard: from the hot-record cache if it has
// the key, or else from the tree, in which case the cache may take it.
func (r *Reader) appendNewest(g epoch.Guard, dst, key []byte) ([]byte, error) {
	hash := base.Hash(key)
	ticket := r.hot.ticket(hash)
	found, answer := r.hot.append(dst, key, hash, base.SeqNumMax)
	switch answer {
	case hotcache.Found:
		return found, nil
	case hotcache.Absent:
		return dst, base.ErrNotFound
	}
	g.Note(epoch.NoteTree)
	s, seq := r.now()
	invariant.Yield()
	value, expiry, err := s.Get(key, hash, seq, 0)
	if expiry != 0 {
		return r.appendExpiring(dst, key, value, expiry)
	}
	r.hot.fill(ticket, key, value, hash, seq, err)
	if err != nil {
		return dst, err
	}
	return append(dst, value...), nil
}

// appendExpiring goes on with a value that expires, which the hot-record cache
// never takes. If it had not expired after it was found, it had not when the
// view was chosen. If it has, it may have been replaced in time meanwhile: the
// view must be one that was chosen when the time was known.
func (r *Reader) appendExpiring(dst, key, value []byte, expiry base.Instant) ([]byte, error) {
	if expiry > r.cfg.Timeline.Now() {
		return append(dst, value...), nil
	}
	value, _, err := r.getNow(key)
	if err != nil {
		return dst, err
	}
	return append(dst, value...), nil
}

// getNow returns the newest value of key and when it expires, from the tree. The
// caller is in an epoch guard.
func (r *Reader) getNow(key []byte) (value []byte, expiry base.Instant, err error) {
	at := r.cfg.Timeline.ReadTime()
	s, seq := r.now()
	return s.Get(key, base.Hash(key), seq, at)
}

// GetFunc calls fn with the newest value of key, in place: the value is valid
// only during the call. What fn reads stays alive meanwhile, so fn must not
// wait for anything that waits for memory to be freed.
func (r *Reader) GetFunc(key []byte, fn func(value []byte) error) (err error) {
	g, sampled := r.Epochs.EnterCounted()
	defer func() { leave(g, err == nil) }()
	if r.closed.Load() {
		return base.ErrClosed
	}
	if sampled {
		began := r.measures.begin(g)
		defer func() { r.measures.end(began) }()
	}
	hash := base.Hash(key)
	ticket := r.hot.ticket(hash)
	if known, err := r.hot.call(key, hash, base.SeqNumMax, fn); known {
		return err
	}
	g.Note(epoch.NoteTree)
	at := r.cfg.Timeline.ReadTime()
	s, seq := r.now()
	value, _, err := s.Get(key, hash, seq, at)
	if at == 0 { // or it may be what is there at this time only
		r.hot.fill(ticket, key, value, hash, seq, err)
	}
	if err != nil {
		return err
	}
	return fn(value)
}
