package hotcache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/offheap"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func newCache(t testing.TB, slots int) *Cache {
	t.Helper()
	var acct offheap.Accountant
	c, err := New(&acct, int64(slots)*slotBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Free)
	return c
}

// fill puts a record in, past the admission.
func fill(c *Cache, key, value []byte) {
	hash := base.Hash(key)
	for range 1000 {
		c.Fill(c.Ticket(hash), key, value, hash)
		if got, ok := c.Get(nil, key, hash); ok && bytes.Equal(got, value) {
			return
		}
	}
}

func TestRecordsOfAllSizes(t *testing.T) {
	c := newCache(t, 64)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		key, value := make([]byte, 1+rng.IntN(240)), make([]byte, rng.IntN(240))
		for _, b := range [][]byte{key, value} {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		}
		hash := base.Hash(key)
		fill(c, key, value)
		got, ok := c.Get([]byte("dst"), key, hash)
		if fits := (len(key)+7)/8*8+len(value) <= RecordMaxBytes; ok != fits {
			t.Fatalf("key of %d and value of %d bytes: found %v", len(key), len(value), ok)
		}
		if want := append([]byte("dst"), value...); ok && !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		if !ok && string(got) != "dst" {
			t.Fatalf("a miss changed dst to %q", got)
		}
		other := bytes.Clone(key)
		other[rng.IntN(len(other))] ^= 1
		if _, ok := c.Get(nil, other, hash); ok { // as if the hashes were equal
			t.Fatalf("found %x as %x", key, other)
		}
	}
}

// A record is not read while its successor is stored over it.
func TestSlotBeingFilledIsAMiss(t *testing.T) {
	c := newCache(t, 1)
	key := []byte("key")
	hash := base.Hash(key)
	fill(c, key, []byte("old value"))
	s := c.slot(hash)
	state := s[wordState].Load()

	// As Fill does it, up to the middle of storing the record.
	s[wordState].Store(state | stateFilling)
	s[wordSizes].Store(3<<32 | 9)
	s[wordRecord+1].Store(binary.LittleEndian.Uint64([]byte("new valu")))
	if got, ok := c.Get(nil, key, hash); ok {
		t.Fatalf("got %q from a slot that is being filled", got)
	}
}

func TestWhatInvalidates(t *testing.T) {
	c := newCache(t, 1)
	key, value := []byte("key"), []byte("value")
	hash := base.Hash(key)
	cached := func() bool { _, ok := c.Get(nil, key, hash); return ok }
	for name, write := range map[string][2]func(){
		"write":        {func() { c.BeginWrite(hash) }, func() { c.EndWrite(hash) }},
		"double write": {func() { c.BeginWrite(hash); c.BeginWrite(hash) }, func() { c.EndWrite(hash); c.EndWrite(hash) }},
		"all":          {c.BeginAll, c.EndAll},
		"all twice":    {func() { c.BeginAll(); c.BeginAll() }, c.EndAll},
	} {
		fill(c, key, value)
		if !cached() {
			t.Fatalf("%s: not filled", name)
		}
		before := c.Ticket(hash)
		write[0]()
		if cached() {
			t.Errorf("%s: found while it is under way", name)
		}
		during := c.Ticket(hash)
		for range 100 { // past the admission
			c.Fill(during, key, value, hash)
		}
		if cached() {
			t.Errorf("%s: filled while it is under way", name)
		}
		write[1]()
		if cached() {
			t.Errorf("%s: found after it", name)
		}
		for range 100 { // past the admission
			c.Fill(before, key, value, hash)
			c.Fill(during, key, value, hash)
		}
		if cached() {
			t.Errorf("%s: filled with a ticket from before its end", name)
		}
		fill(c, key, value)
		if !cached() {
			t.Errorf("%s: not to be filled any more", name)
		}
	}
	c.EndAll() // without a begin
	if !cached() {
		t.Error("an end without a begin invalidates")
	}
}

// TestFillOvertakenByWrite stops a fill in the middle, lets a write pass, and
// sees that neither the old record nor a mixture becomes valid.
func TestFillOvertakenByWrite(t *testing.T) {
	c := newCache(t, 1)
	key := []byte("key")
	hash := base.Hash(key)
	s := c.slot(hash)
	ticket := c.Ticket(hash)
	if !s[wordState].CompareAndSwap(ticket.state, ticket.state|stateFilling) {
		t.Fatal("the slot is busy")
	}
	s[wordStamp].Store(ticket.state + stateCount)
	c.BeginWrite(hash)
	if c.Ticket(hash).valid {
		t.Error("a ticket for a slot that is being written")
	}
	c.EndWrite(hash)
	if c.Ticket(hash).valid {
		t.Error("a ticket for a slot that is being filled")
	}
	giveUp(s)
	if _, ok := c.Get(nil, key, hash); ok {
		t.Error("an overtaken fill became valid")
	}
	fill(c, key, []byte("value"))
	if _, ok := c.Get(nil, key, hash); !ok {
		t.Error("the slot is lost")
	}
}

// TestNeverStale has one writer that raises the values of a few keys and
// readers that fill the cache from what is published: nobody may get a value
// older than one that was published before the get began.
func TestNeverStale(t *testing.T) {
	const keys = 24
	for _, slots := range []int{1, 4, 64} {
		c := newCache(t, slots)
		var tree, published [keys]atomic.Uint64
		names, hashes := make([][]byte, keys), make([]uint64, keys)
		for i := range names {
			names[i] = fmt.Appendf(nil, "key number %d", i)
			hashes[i] = base.Hash(names[i])
		}
		stop := make(chan bool)
		var readers sync.WaitGroup
		var hits atomic.Int64
		for r := range 3 {
			readers.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(r), 2))
				buf := make([]byte, 0, 64)
				for {
					select {
					case <-stop:
						return
					default:
					}
					i := rng.IntN(keys)
					atLeast := published[i].Load()
					ticket := c.Ticket(hashes[i])
					got, ok := c.Get(buf[:0], names[i], hashes[i])
					if ok {
						hits.Add(1)
						if v := binary.LittleEndian.Uint64(got); v < atLeast || len(got) != 40 ||
							!bytes.Equal(got[8:16], got[:8]) || !bytes.Equal(got[32:], got[:8]) {
							t.Errorf("%d slots: stale or torn: %x, want at least %d", slots, got, atLeast)
							return
						}
						continue
					}
					v := tree[i].Load()
					value := make([]byte, 40)
					for at := 0; at < 40; at += 8 {
						binary.LittleEndian.PutUint64(value[at:], v)
					}
					c.Fill(ticket, names[i], value, hashes[i])
				}
			})
		}
		rng := rand.New(rand.NewPCG(9, 9))
		for v := uint64(1); v < 30_000 || hits.Load() < 1000; v++ {
			if v%64 == 0 {
				c.BeginAll()
			}
			group := []int{rng.IntN(keys), rng.IntN(keys)}
			for _, i := range group {
				if v%64 != 0 {
					c.BeginWrite(hashes[i])
				}
				tree[i].Store(v)
			}
			for _, i := range group {
				published[i].Store(v)
				if v%64 != 0 {
					c.EndWrite(hashes[i])
				}
			}
			if v%64 == 0 {
				c.EndAll()
			}
		}
		close(stop)
		readers.Wait()
	}
}

// TestCopyIsWhole reads one slot while it is written and filled again and again:
// a copy that was overtaken half way is no answer.
func TestCopyIsWhole(t *testing.T) {
	c := newCache(t, 1)
	key := []byte("key")
	hash := base.Hash(key)
	var stop atomic.Bool
	var hits atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var buf []byte
			for !stop.Load() {
				got, ok := c.Get(buf[:0], key, hash)
				if ok && bytes.Count(got, got[:1]) != len(got) {
					t.Errorf("a copy of two records: %x", got)
					stop.Store(true)
				}
				if ok {
					hits.Add(1)
				}
				buf = got
			}
		})
	}
	value := make([]byte, RecordMaxBytes-8)
	for n := 0; !stop.Load() && (n < 50_000 || hits.Load() < 1000); n++ {
		for i := range value {
			value[i] = byte(n)
		}
		c.BeginWrite(hash)
		c.EndWrite(hash)
		c.Fill(c.Ticket(hash), key, value, hash)
	}
	stop.Store(true)
	readers.Wait()
}

func TestSize(t *testing.T) {
	var acct offheap.Accountant
	for _, size := range []int64{0, 1, 255, 256, 1000, 1 << 20, 1<<20 + 12345} {
		c, err := New(&acct, size)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.SizeBytes(); got > max(size, slotBytes) || got*2 <= size {
			t.Errorf("asked for %d bytes, got %d", size, got)
		}
		if acct.Bytes(offheap.OwnerHotCache) < c.SizeBytes() {
			t.Errorf("%d bytes are counted as %d", c.SizeBytes(), acct.Bytes(offheap.OwnerHotCache))
		}
		c.Free()
	}
	if n := acct.Total(); n != 0 {
		t.Errorf("%d bytes are left after Free", n)
	}
}

func BenchmarkGet(b *testing.B) {
	for _, records := range []int{1000, 10_000} {
		b.Run(fmt.Sprint("records=", records), func(b *testing.B) {
			c := newCache(b, 1<<16)
			keys := make([][]byte, records)
			for i := range keys {
				keys[i] = fmt.Appendf(nil, "key%013d", i)
				fill(c, keys[i], make([]byte, 100))
			}
			rng := rand.New(rand.NewPCG(1, 1))
			buf := make([]byte, 0, 100)
			b.ReportAllocs()
			for b.Loop() {
				key := keys[rng.IntN(records)]
				buf, _ = c.Get(buf[:0], key, base.Hash(key))
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	c := newCache(b, 1<<16)
	hash := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		hash = hash*0x9e3779b97f4a7c15 + 1
		c.BeginWrite(hash >> 20)
		c.EndWrite(hash >> 20)
	}
}
