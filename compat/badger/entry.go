package badger

import (
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Entry is a key with its value, and what goes with it.
type Entry struct {
	Key, Value []byte
	UserMeta   byte
	ExpiresAt  uint64 // seconds since 1970; 0: never
}

// NewEntry returns an entry, which keeps the slices.
func NewEntry(key, value []byte) *Entry { return &Entry{Key: key, Value: value} }

// WithMeta sets the byte of user meta.
func (e *Entry) WithMeta(meta byte) *Entry {
	e.UserMeta = meta
	return e
}

// WithTTL has the entry expire some time from now, to the second.
func (e *Entry) WithTTL(ttl time.Duration) *Entry {
	e.ExpiresAt = uint64(clock.System.Now().Add(ttl).Unix())
	return e
}

// row returns the entry as it is stored.
func (e *Entry) row() []byte { return append([]byte{e.UserMeta}, e.Value...) }

// ttl returns for how long the entry lives from now on; expired if for no time, and forever if it
// does not expire.
func (e *Entry) ttl() (ttl time.Duration, forever, expired bool) {
	if e.ExpiresAt == 0 {
		return 0, true, false
	}
	ttl = time.Unix(int64(e.ExpiresAt), 0).Sub(clock.System.Now())
	return ttl, false, ttl <= 0
}

// splitRow takes a stored row apart. The value is a part of it.
func splitRow(row []byte) (value []byte, meta byte, err error) {
	if len(row) == 0 {
		return nil, 0, errRow
	}
	return row[1:], row[0], nil
}

// unixSeconds returns a time of expiry as Badger has it.
func unixSeconds(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix())
}
