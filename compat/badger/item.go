package badger

import (
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
)

// Item is a key that was found. One of Txn.Get is valid until the transaction ends; one of an
// iterator until that moves.
type Item struct {
	txn       *Txn
	key       []byte
	value     []byte
	meta      byte
	expiresAt uint64
	loaded    bool // the value and what goes with it are there
}

// load brings the value in.
func (item *Item) load() error {
	row, err := item.txn.rows.Get(item.key)
	if errors.Is(err, lightning.ErrNotFound) {
		return ErrKeyNotFound
	}
	if err != nil {
		return err
	}
	var expiry time.Time
	if expiry, err = item.txn.rows.ExpiresAt(item.key); err != nil {
		return err
	}
	return item.set(row, expiry)
}

// set takes a stored row, which is the item's from then on.
func (item *Item) set(row []byte, expiry time.Time) (err error) {
	item.value, item.meta, err = splitRow(row)
	item.expiresAt, item.loaded = unixSeconds(expiry), err == nil
	return err
}

// ensure is load for one that may have been loaded.
func (item *Item) ensure() error {
	if item.loaded {
		return nil
	}
	return item.load()
}

// Key returns the key, which must not be changed.
func (item *Item) Key() []byte { return item.key }

// KeyCopy appends the key to dst[:0].
func (item *Item) KeyCopy(dst []byte) []byte { return append(dst[:0], item.key...) }

// KeySize returns the length of the key.
func (item *Item) KeySize() int64 { return int64(len(item.key)) }

// Value calls fn with the value, which is valid until it returns, and must not be changed.
func (item *Item) Value(fn func(value []byte) error) error {
	if err := item.ensure(); err != nil {
		return err
	}
	if fn == nil {
		return nil
	}
	return fn(item.value)
}

// ValueCopy appends the value to dst[:0].
func (item *Item) ValueCopy(dst []byte) ([]byte, error) {
	if err := item.ensure(); err != nil {
		return nil, err
	}
	return append(dst[:0], item.value...), nil
}

// ValueSize returns the length of the value, 0 where it cannot be read.
func (item *Item) ValueSize() int64 {
	if item.ensure() != nil {
		return 0
	}
	return int64(len(item.value))
}

// EstimatedSize returns the length of key and value.
func (item *Item) EstimatedSize() int64 { return item.KeySize() + item.ValueSize() }

// UserMeta returns the byte that was set with the entry; 0 where the item cannot be read.
func (item *Item) UserMeta() byte {
	if item.ensure() != nil {
		return 0
	}
	return item.meta
}

// ExpiresAt returns when the key expires, in seconds since 1970; 0: never.
func (item *Item) ExpiresAt() uint64 {
	if item.ensure() != nil {
		return 0
	}
	return item.expiresAt
}

// IsDeletedOrExpired reports whether the key has expired since it was found.
func (item *Item) IsDeletedOrExpired() bool {
	at := item.ExpiresAt()
	return at != 0 && at <= uint64(clock.System.Now().Unix())
}

func (item *Item) String() string { return fmt.Sprintf("key=%q", item.key) }
