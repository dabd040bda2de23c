package view

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
)

// AppendGet appends the newest value of key to dst. It allocates only what dst
// lacks.
func (r *Reader) AppendGet(dst, key []byte) ([]byte, error) {
	g := r.Epochs.Enter()
	if r.closed.Load() { // looked at inside the guard, which Close waits for
		g.Exit()
		return dst, base.ErrClosed
	}
	dst, err := r.appendNewest(dst, key)
	g.Exit()
	return dst, err
}

// appendNewest is AppendGet inside a guard: from the hot-record cache if it has
// the key, or else from the tree, in which case the cache may take it.
func (r *Reader) appendNewest(dst, key []byte) ([]byte, error) {
	hash := base.Hash(key)
	var ticket hotcache.Ticket
	if r.hot != nil {
		ticket = r.hot.Ticket(hash) // before the view is chosen
		found, ok := r.hot.Get(dst, key, hash)
		if ok {
			if invariant.Enabled && invariant.TrustUsers {
				r.checkHit(ticket, key, found[len(dst):], hash)
			}
			return found, nil
		}
	}
	s, seq := r.now()
	invariant.Yield()
	value, expiry, err := s.Get(key, hash, seq, 0)
	if expiry != 0 {
		return r.appendExpiring(dst, key, value, expiry)
	}
	if err != nil {
		return dst, err
	}
	if r.hot != nil {
		invariant.Yield()
		r.hot.Fill(ticket, key, value, hash)
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

// checkHit compares what the hot-record cache answered with the tree. The
// comparison counts only if no write to the slot began meanwhile.
func (r *Reader) checkHit(ticket hotcache.Ticket, key, value []byte, hash uint64) {
	s, seq := r.now()
	want, _, err := s.Get(key, hash, seq, 0)
	if r.hot.Ticket(hash) != ticket || err != nil && err != base.ErrNotFound {
		return
	}
	invariant.Check(err == nil && bytes.Equal(want, value),
		"hot-record cache says %q for %q, the tree %q, %v", value, key, want, err)
}

// GetFunc calls fn with the newest value of key, in place: the value is valid
// only during the call. What fn reads stays alive meanwhile, so fn must not
// wait for anything that waits for memory to be freed.
func (r *Reader) GetFunc(key []byte, fn func(value []byte) error) error {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return base.ErrClosed
	}
	value, _, err := r.getNow(key)
	if err != nil {
		return err
	}
	return fn(value)
}

// Expiry returns when key expires, 0 if never; or base.ErrNotFound.
func (r *Reader) Expiry(key []byte) (base.Instant, error) {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return 0, base.ErrClosed
	}
	_, expiry, err := r.getNow(key)
	return expiry, err
}
