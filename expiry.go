package lightning

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/engine"
)

// Forever is the time to live of a key that never expires, also in a keyspace
// whose keys do where the write does not say.
const Forever = time.Duration(math.MaxInt64)

// ErrTTL says that a time to live is not positive.
var ErrTTL = errors.New("time to live must be positive")

// ErrNoExpiry says that keys in a keyspace with a merge operator cannot expire:
// what an operand is applied to would depend on when it is looked at.
var ErrNoExpiry = errors.New("keys of a keyspace with a merge operator do not expire")

// defaultExpiry returns the instant at which a value of the space expires that
// is written now without a word about it; 0 if never.
func (s *space) defaultExpiry() base.Instant {
	if s.info == nil || s.info.TTL == 0 {
		return 0
	}
	return s.expiry(s.info.TTL)
}

// expiry returns the instant at which a value expires that is written now; 0 if
// never.
func (s *space) expiry(ttl time.Duration) base.Instant {
	now := s.engine.Now()
	if ttl == Forever || base.Instant(ttl) > base.InstantMax-now {
		return 0
	}
	return now + base.Instant(ttl)
}

// checkTTL says why a value of the space cannot have a time to live.
func (s *space) checkTTL(ttl time.Duration) error {
	switch {
	case ttl <= 0:
		return fmt.Errorf("%w: %v", ErrTTL, ttl)
	case s.info != nil && s.info.Merge != "" && ttl != Forever:
		return fmt.Errorf("%w: %q", ErrNoExpiry, s.info.Name)
	}
	return nil
}

// putFor is put with a time to live.
func (s *space) putFor(key, value []byte, ttl time.Duration, d engine.Durability) error {
	if err := s.check(key); err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return err
	}
	if err := s.checkTTL(ttl); err != nil {
		return err
	}
	return s.set(key, value, s.expiry(ttl), d)
}

func (s *space) expiresAt(key []byte) (time.Time, error) {
	if err := s.check(key); err != nil {
		return time.Time{}, err
	}
	var stack [keyStackBytes]byte
	expiry, err := s.engine.Expiry(s.key(stack[:0], key))
	return asTime(expiry), err
}

// asTime returns an instant as the API has it: the zero time means never.
func asTime(expiry base.Instant) time.Time {
	if expiry == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(expiry))
}

// PutWithTTL sets the value of key for some time: after it the key counts as
// absent, to the nanosecond, for all who look from then on. Those who hold a
// snapshot, an iterator or a transaction that began earlier go on seeing it. The
// space is given back in the background, some time later.
//
// The time is that of the wall clock, but it never goes back: what has expired
// stays so when the clock is set back, also while the database is closed. With
// Forever the key does not expire.
func (db *DB) PutWithTTL(key, value []byte, ttl time.Duration) error {
	return db.space.putFor(key, value, ttl, db.space.durability)
}

// ExpiresAt returns when key expires, the zero time if never; or ErrNotFound.
func (db *DB) ExpiresAt(key []byte) (time.Time, error) { return db.space.expiresAt(key) }

// PutWithTTL is DB.PutWithTTL in this keyspace.
func (k *Keyspace) PutWithTTL(key, value []byte, ttl time.Duration) error {
	return k.space.putFor(key, value, ttl, k.space.durability)
}

// ExpiresAt is DB.ExpiresAt in this keyspace.
func (k *Keyspace) ExpiresAt(key []byte) (time.Time, error) { return k.space.expiresAt(key) }

// PutWithTTL adds a write of value to key, as DB.PutWithTTL does. The time runs
// from this call.
func (b *Batch) PutWithTTL(key, value []byte, ttl time.Duration) error {
	if err := b.space.check(key); err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return err
	}
	if err := b.space.checkTTL(ttl); err != nil {
		return err
	}
	return b.put(key, value, b.space.expiry(ttl))
}

// put adds a write that expires, unless expiry is 0.
func (b *Batch) put(key, value []byte, expiry base.Instant) (err error) {
	if expiry == 0 {
		err = b.inner.Set(b.space.prefix, key, value)
	} else {
		err = b.inner.SetExpiring(b.space.prefix, key, value, expiry)
	}
	if err == nil {
		b.inner.Touch(b.space.info)
	}
	return err
}
