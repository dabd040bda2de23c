package lightning

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/view"
)

// conditional is a write to a key that depends on what the key holds. Each is one commit,
// which looks at the key when its turn has come: nothing comes between the look and the
// write, and there are no conflicts and no second attempts as in transactions. Where nothing
// is to be written there is no commit.
type conditional struct {
	space *space
	key   []byte
}

// decide commits a decision. Its Key is set here.
func (c conditional) decide(x *commit.Decision) error {
	s := c.space
	x.Key = s.key(make([]byte, 0, len(s.prefix)+len(c.key)), c.key)
	x.SizeBytes += len(x.Key)
	return s.engine.Commits().Decide(s.ctx, s.info, x, s.durability)
}

// made turns the error of a decision into the answer whether something was written.
func made(err error) (bool, error) {
	if err == commit.ErrDeclined {
		return false, nil
	}
	return err == nil, err
}

// unless declines where a condition holds.
func unless(condition bool) error {
	if condition {
		return commit.ErrDeclined
	}
	return nil
}

// set adds the write of a value that expires, unless expiry is 0, to a batch.
func (c conditional) set(b *batch.Batch, value []byte, expiry base.Instant) error {
	if expiry == 0 {
		return b.Set(c.space.prefix, c.key, value)
	}
	return b.SetExpiring(c.space.prefix, c.key, value, expiry)
}

// putIf puts a value if check has nothing against it.
func (c conditional) putIf(value []byte, check func(now view.Current) error) (bool, error) {
	s, key := c.space, c.key
	if err := s.check(key); err != nil {
		return false, err
	}
	if err := s.checkValue(key, value); err != nil {
		return false, err
	}
	expiry, err := s.defaultExpiry()
	if err != nil {
		return false, err
	}
	return made(c.decide(&commit.Decision{
		SizeBytes: len(value), Check: check,
		Write: func(_ view.Current, b *batch.Batch) error { return c.set(b, value, expiry) },
	}))
}

func (c conditional) putIfAbsent(value []byte) (bool, error) {
	return c.putIf(value, func(now view.Current) error { return unless(now.Found) })
}

func (c conditional) compareAndSwap(old, new []byte) (bool, error) {
	return c.putIf(new, isNow(old))
}

// isNow declines where a key does not hold a value.
func isNow(old []byte) func(now view.Current) error {
	return func(now view.Current) error { return unless(!now.Found || !bytes.Equal(now.Value, old)) }
}

func (c conditional) compareAndDelete(old []byte) (bool, error) {
	s, key := c.space, c.key
	if err := s.check(key); err != nil {
		return false, err
	}
	return made(c.decide(&commit.Decision{
		Check: isNow(old),
		Write: func(_ view.Current, b *batch.Batch) error { return b.Delete(s.prefix, key) },
	}))
}

// isThere says ErrNotFound where a key has no value.
func isThere(now view.Current) error {
	if !now.Found {
		return ErrNotFound
	}
	return nil
}

func (c conditional) getAndDelete() ([]byte, error) {
	s, key := c.space, c.key
	if err := s.check(key); err != nil {
		return nil, err
	}
	value := []byte{}
	err := c.decide(&commit.Decision{
		Check: isThere,
		Write: func(now view.Current, b *batch.Batch) error {
			value = append(value[:0], now.Value...)
			return b.Delete(s.prefix, key)
		},
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (c conditional) touch(ttl time.Duration) error {
	s, key := c.space, c.key
	if err := s.check(key); err != nil {
		return err
	}
	if err := s.checkTTL(ttl); err != nil {
		return err
	}
	expiry, err := s.expiry(ttl)
	if err != nil {
		return err
	}
	_, err = made(c.decide(&commit.Decision{
		Check: func(now view.Current) error {
			if err := isThere(now); err != nil {
				return err
			}
			return unless(now.Expiry == expiry)
		},
		Write: func(now view.Current, b *batch.Batch) error { return c.set(b, now.Value, expiry) },
	}))
	return err
}

const integerBytes = 8

func (c conditional) increment(delta int64) (int64, error) {
	s, key := c.space, c.key
	if err := s.check(key); err != nil {
		return 0, err
	}
	first, err := s.defaultExpiry()
	if err != nil {
		return 0, err
	}
	var sum uint64
	err = c.decide(&commit.Decision{
		SizeBytes: integerBytes,
		Check: func(now view.Current) error {
			if now.Found && len(now.Value) != integerBytes {
				return fmt.Errorf("increment: %w: key %q has %d bytes", ErrNotInteger, key, len(now.Value))
			}
			return nil
		},
		Write: func(now view.Current, b *batch.Batch) error {
			expiry := first
			sum = uint64(delta)
			if now.Found {
				expiry = now.Expiry
				sum += binary.LittleEndian.Uint64(now.Value)
			}
			value := binary.LittleEndian.AppendUint64(nil, sum)
			if err := s.checkValue(key, value); err != nil {
				return err
			}
			return c.set(b, value, expiry)
		},
	})
	if err != nil {
		return 0, err
	}
	return int64(sum), nil
}
