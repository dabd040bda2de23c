package cookbook

import (
	"context"
	"errors"
	"time"

	"github.com/lightningdb/lightning"
)

// Cache keeps what is dear to get for a minute, also over a restart.
type Cache struct {
	entries *lightning.Keyspace
	load    func(ctx context.Context, key string) ([]byte, error)
}

func OpenCache(ctx context.Context, db *lightning.DB, load func(ctx context.Context, key string) ([]byte, error)) (*Cache, error) {
	entries, err := db.Keyspace(ctx, "cache", &lightning.KeyspaceOptions{TTL: time.Minute})
	return &Cache{entries, load}, err
}

// Get returns what is in the cache, or loads it.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := c.entries.Get([]byte(key))
	if !errors.Is(err, lightning.ErrNotFound) {
		return value, err
	}
	if value, err = c.load(ctx, key); err != nil {
		return nil, err
	}
	b := c.entries.NewBatch()
	if err := b.Put([]byte(key), value); err != nil {
		return nil, err
	}
	return value, b.CommitWith(lightning.DurabilityAsync) // what is lost is loaded again
}

// Forget has the next Get load the value.
func (c *Cache) Forget(key string) error { return c.entries.Delete([]byte(key)) }
