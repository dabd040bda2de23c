package memtable

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// concurrentRun is one writer beside readers. Record i has sequence number
// i+1; its value begins with its key.
type concurrentRun struct {
	table     *Table
	keys      [][]byte
	published atomic.Int64 // records whose Add returned
	failed    atomic.Bool
}

func (c *concurrentRun) running(t *testing.T) bool {
	return !c.failed.Load() && int(c.published.Load()) < len(c.keys) && !t.Failed()
}

func (c *concurrentRun) fail(t *testing.T, format string, args ...any) {
	c.failed.Store(true)
	t.Errorf(format, args...)
}

// checkRecord looks for records that are torn or were never added.
func (c *concurrentRun) checkRecord(t *testing.T, r *base.Record) bool {
	i := int(r.Trailer.Seq()) - 1
	if i < 0 || i >= len(c.keys) || !bytes.Equal(r.Key, c.keys[i]) || !bytes.Equal(r.Value, c.keys[i]) {
		c.fail(t, "record %s is not what was added", describe(r))
		return false
	}
	return true
}

// walk goes through all records one way and checks that they are in order, and
// that all are there that were published before. It turns round now and then.
func (c *concurrentRun) walk(t *testing.T, it *Iter, forward bool, rng *rand.Rand) {
	published := c.published.Load()
	start, step, back := it.First, it.Next, it.Prev
	if !forward {
		start, step, back = it.Last, it.Prev, it.Next
	}
	var seen int64
	var lastKey []byte
	var lastTrailer base.Trailer
	for r := start(); r != nil; r = step() {
		if !c.checkRecord(t, r) {
			return
		}
		if lastKey != nil {
			if order := base.Compare(lastKey, lastTrailer, r.Key, r.Trailer); order == 0 || order < 0 != forward {
				c.fail(t, "forward=%v: %s follows %x at %v", forward, describe(r), lastKey, lastTrailer)
				return
			}
		}
		lastKey, lastTrailer = append(lastKey[:0], r.Key...), r.Trailer
		if int64(r.Trailer.Seq()) <= published {
			seen++
		}
		if rng.IntN(50) == 0 && !c.turnRound(t, back, step, lastKey, lastTrailer, forward) {
			return
		}
	}
	if seen != published {
		c.fail(t, "forward=%v: %d records seen of %d", forward, seen, published)
	}
}

// turnRound steps back and ahead again until the walk is where it was. New
// records may have appeared between, but none may be out of order.
func (c *concurrentRun) turnRound(
	t *testing.T, back, step func() *base.Record, key []byte, tr base.Trailer, forward bool,
) bool {
	r := back()
	if r == nil {
		r = step()
	}
	for r != nil {
		order := base.Compare(r.Key, r.Trailer, key, tr)
		if order == 0 {
			return true
		}
		if order < 0 != forward {
			break
		}
		r = step()
	}
	c.fail(t, "forward=%v: lost %x at %v after turning round; came to %s", forward, key, tr, describe(r))
	return false
}

// probe looks for single records that were published.
func (c *concurrentRun) probe(t *testing.T, it *Iter, rng *rand.Rand) {
	published := int(c.published.Load())
	if published == 0 {
		return
	}
	i := rng.IntN(published)
	key, seq := c.keys[i], base.SeqNum(i+1)
	tr, value, found := c.table.Get(key, seq)
	if !found || tr.Seq() != seq || !bytes.Equal(value, key) {
		c.fail(t, "Get(%x, %d) = %v %v", key, seq, tr, found)
	}
	r := it.SeekGE(key)
	for r != nil && r.Trailer.Seq() > seq && bytes.Equal(r.Key, key) {
		r = it.Next()
	}
	if r == nil || !bytes.Equal(r.Key, key) || r.Trailer.Seq() != seq {
		c.fail(t, "SeekGE(%x) does not lead to %d but to %s", key, seq, describe(r))
		return
	}
	r = it.SeekLT(base.Successor(nil, key))
	for r != nil && r.Trailer.Seq() < seq && bytes.Equal(r.Key, key) {
		r = it.Prev()
	}
	if r == nil || !bytes.Equal(r.Key, key) || r.Trailer.Seq() != seq {
		c.fail(t, "SeekLT after %x does not lead to %d but to %s", key, seq, describe(r))
	}
}

func TestOneWriterManyReaders(t *testing.T) {
	for _, name := range []string{
		"random 16 bytes", "two letters", "short", "decimal", "long shared prefixes", "same low bits",
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(2, 2))
			c := &concurrentRun{table: newTable(t, 32<<20)}
			for range 8_000 {
				c.keys = append(c.keys, shapes[name](rng))
			}
			if name == "decimal" {
				slices.SortFunc(c.keys, bytes.Compare)
			}
			var wg sync.WaitGroup
			for reader := range 4 {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(reader), 8))
					it := c.table.NewIter()
					defer it.Close()
					for round := 0; round == 0 || c.running(t); round++ {
						if reader%2 == 0 {
							c.walk(t, it, rng.IntN(2) == 0, rng)
						} else {
							c.probe(t, it, rng)
						}
						if p := int(c.published.Load()); c.table.Len() < p {
							c.fail(t, "%d records counted, %d published", c.table.Len(), p)
						}
					}
					c.walk(t, it, reader < 2, rng)
				})
			}
			for i, key := range c.keys {
				if err := c.table.Add(key, base.Hash(key), base.MakeTrailer(base.SeqNum(i+1), base.KindSet), key); err != nil {
					c.fail(t, "%v", err)
					break
				}
				c.published.Store(int64(i + 1))
			}
			wg.Wait()
		})
	}
}
