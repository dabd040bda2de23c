package view

import "github.com/lightningdb/lightning/internal/base"

// Current is what a key holds.
type Current struct {
	Value  []byte       // in place: valid while it is being looked at
	Expiry base.Instant // 0: never
	Found  bool         // whether the key is there at all
}

// Look calls fn with what is newest of key and visible, in place, and returns what fn
// returns. What GetFunc says of fn holds. It does not ask the hot-record cache, which
// knows no expiry.
func (r *Reader) Look(key []byte, fn func(now Current) error) error {
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return base.ErrClosed
	}
	value, expiry, err := r.getNow(key)
	switch {
	case err == base.ErrNotFound:
		return fn(Current{})
	case err != nil:
		return err
	}
	return fn(Current{Value: value, Expiry: expiry, Found: true})
}
