package engine

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/coocood/freecache"
	"github.com/maypok86/otter/v2"

	"github.com/lightningdb/lightning/internal/workload"
)

// This file has what programs keep hot data in that need no database: caches in the memory
// of the process, and a plain map. They have no order, no files and no batches, so they
// take part only in the rows that copy values out.

func init() {
	register(Engine{
		Name: "map", Package: standardLibrary,
		Tuning: "map[[16]byte][]byte under a sync.RWMutex, made for all records",
		Memory: "nothing is bounded",
		Go:     true, Cache: true, Open: openMap,
	})
	register(Engine{
		Name: "otter", Package: "github.com/maypok86/otter/v2",
		Tuning: "a maximum weight, which is keys and values",
		Memory: "keys and values; what the cache needs besides comes on top",
		Go:     true, Cache: true, Open: openOtter,
	})
	register(Engine{
		Name: "freecache", Package: "github.com/coocood/freecache",
		Tuning: "its only option, the size; gets into a buffer",
		Memory: "all of it",
		Go:     true, Cache: true, Open: openFreeCache,
	})
}

var errOnlyACache = errors.New("a cache has no order: it cannot scan or delete ranges")

// cache is what the adapters of caches have in common. Sessions have no state.
type cache struct {
	get func(dst, key []byte) (value []byte, found bool)
	put func(key, value []byte) error
	del func(key []byte)
}

func (c *cache) Session() (Session, error)    { return c, nil }
func (c *cache) Settle(context.Context) error { return nil }
func (c *cache) Close() error                 { return nil }

func (c *cache) Put(key, value []byte) error { return c.put(key, value) }

func (c *cache) PutBatch(records []Record) error {
	for _, r := range records {
		if err := c.put(r.Key, r.Value); err != nil {
			return err
		}
	}
	return nil
}

func (c *cache) Delete(key []byte) error {
	c.del(key)
	return nil
}

func (c *cache) AppendGet(dst, key []byte) ([]byte, bool, error) {
	value, found := c.get(dst, key)
	return value, found, nil
}

func (c *cache) DeleteRange(lo, hi []byte) error { return errOnlyACache }

func (c *cache) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	return errOnlyACache
}

// cacheKey is a key as a value, which is hashed without being copied to the heap. All keys
// of the suite have this length; shorter ones, of tests, end in zeroes.
type cacheKey [workload.KeyBytes]byte

func cacheKeyOf(key []byte) (k cacheKey) {
	copy(k[:], key)
	return k
}

func openMap(c Config) (DB, error) {
	var mu sync.RWMutex
	m := make(map[cacheKey][]byte, c.DataBytes/256)
	return &cache{
		get: func(dst, key []byte) ([]byte, bool) {
			mu.RLock()
			defer mu.RUnlock()
			value, found := m[cacheKeyOf(key)]
			return append(dst, value...), found
		},
		put: func(key, value []byte) error {
			value = bytes.Clone(value)
			mu.Lock()
			defer mu.Unlock()
			m[cacheKeyOf(key)] = value
			return nil
		},
		del: func(key []byte) {
			mu.Lock()
			defer mu.Unlock()
			delete(m, cacheKeyOf(key))
		},
	}, nil
}

func openOtter(c Config) (DB, error) {
	o, err := otter.New(&otter.Options[cacheKey, []byte]{
		MaximumWeight: uint64(c.MemoryBytes),
		Weigher:       func(k cacheKey, v []byte) uint32 { return uint32(len(k) + len(v)) },
	})
	if err != nil {
		return nil, err
	}
	return &cache{
		get: func(dst, key []byte) ([]byte, bool) {
			value, found := o.GetIfPresent(cacheKeyOf(key))
			return append(dst, value...), found
		},
		put: func(key, value []byte) error {
			o.Set(cacheKeyOf(key), bytes.Clone(value))
			return nil
		},
		del: func(key []byte) { o.Invalidate(cacheKeyOf(key)) },
	}, nil
}

func openFreeCache(c Config) (DB, error) {
	f := freecache.NewCache(int(c.MemoryBytes))
	return &cache{
		get: func(dst, key []byte) ([]byte, bool) {
			// The value comes where the buffer begins if that is large enough, and
			// else in memory of its own.
			start := len(dst)
			value, err := f.GetWithBuf(key, dst[start:cap(dst)])
			if err != nil {
				return dst, false
			}
			return append(dst[:start], value...), true
		},
		put: func(key, value []byte) error { return f.Set(key, value, 0) },
		del: func(key []byte) { f.Del(key) },
	}, nil
}
