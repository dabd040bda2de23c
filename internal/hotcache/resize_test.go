package hotcache

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
)

// found counts how many of the first n test records the cache has; a wrong one ends the test.
func found(t *testing.T, c *Cache, n int) (hits int) {
	t.Helper()
	for i := range n {
		key := fmt.Appendf(nil, "key %d", i)
		got, answer := c.Get(nil, key, base.Hash(key))
		if answer != Unknown && !bytes.Equal(got, bytes.Repeat(key, 10)) {
			t.Fatalf("%q is %q, answer %d", key, got, answer)
		}
		if answer != Unknown {
			hits++
		}
	}
	return hits
}

func fillMany(c *Cache, n int) {
	for i := range n {
		key := fmt.Appendf(nil, "key %d", i)
		c.Fill(c.Ticket(base.Hash(key)), key, bytes.Repeat(key, 10), base.Hash(key), 1)
	}
}

// growAll makes a cache as large as it is to become.
func growAll(c *Cache) {
	for c.rings.count.Load() < c.target {
		c.Grow()
	}
}

// A cache that grows keeps all it has, and has room for more; one that shrinks keeps what
// its rings have, and gives memory back.
func TestResizeKeepsRecords(t *testing.T) {
	const few, many = 1000, 4000
	c := newCache(t, 256<<10)
	fillMany(c, few)
	had := found(t, c, few)
	if had < few*9/10 {
		t.Fatalf("%d records of %d", had, few)
	}
	checkNoError(t, c.Resize(1<<20, false, alone))
	if n := found(t, c, few); n != had || !c.IsMoving() {
		t.Errorf("%d records of %d after it grew, moving: %v", n, had, c.IsMoving())
	}
	checkWhole(t, c)
	checkNoError(t, c.DropBefore(alone))
	if n := found(t, c, few); n < had*98/100 || c.IsMoving() {
		t.Errorf("%d records of %d were taken over, moving: %v", n, had, c.IsMoving())
	}
	growAll(c)
	if n := c.SizeBytes(); n < 800<<10 || n > 1<<20 {
		t.Errorf("%d bytes after it grew", n)
	}
	fillMany(c, many)
	had = found(t, c, many)
	if had < many*9/10 {
		t.Errorf("%d records of %d in the larger cache", had, many)
	}
	checkNoError(t, c.Resize(512<<10, false, alone))
	found(t, c, many)
	checkNoError(t, c.DropBefore(alone))
	checkWhole(t, c)
	if n := found(t, c, many); n < had*4/10 || n > had*8/10 {
		t.Errorf("%d records of %d in half of the cache", n, had)
	}
	if n, counted := c.SizeBytes(), c.cfg.Memory.Bytes(offheap.OwnerHotCache); n > 512<<10 || counted > n+64<<10 || n > counted {
		t.Errorf("%d bytes after it shrank, counted as %d", n, counted)
	}
}

// Where the writer cannot be kept out, nothing changes.
func TestResizeRefused(t *testing.T) {
	c := newCache(t, 64<<10)
	fillMany(c, 100)
	had, size, counted := found(t, c, 100), c.SizeBytes(), c.cfg.Memory.Total()
	refused := errors.New("refused")
	refuse := func(func()) error { return refused }
	if err := c.Resize(256<<10, false, refuse); err != refused {
		t.Fatalf("error %v", err)
	}
	if n := found(t, c, 100); n != had || c.SizeBytes() != size || c.cfg.Memory.Total() != counted || c.IsMoving() {
		t.Errorf("%d records of %d, %d bytes instead of %d", n, had, c.SizeBytes(), size)
	}
	checkNoError(t, c.DropBefore(refuse)) // there is none
	checkNoError(t, c.Resize(256<<10, false, alone))
	if err := c.DropBefore(refuse); err != refused || !c.IsMoving() {
		t.Errorf("error %v, moving: %v", err, c.IsMoving())
	}
}

// A write takes the record out of both indexes, and spends the tickets of both.
func TestWriteBesideTwoIndexes(t *testing.T) {
	c := newCache(t, 64<<10)
	key, value := []byte("key"), []byte("value")
	hash := base.Hash(key)
	fill(c, key, value)
	early := c.Ticket(hash)
	checkNoError(t, c.Resize(128<<10, false, alone))
	ticket := c.Ticket(hash)
	c.BeginWrite(hash)
	if _, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Error("found beside a write")
	}
	c.EndWrite(hash)
	for range 100 { // past the admission
		c.Fill(early, key, value, hash, 1)
		c.Fill(ticket, key, value, hash, 1)
	}
	if _, answer := c.Get(nil, key, hash); answer != Unknown {
		t.Error("filled with a ticket from before the write")
	}
	fill(c, key, []byte("new"))
	if got, _ := c.Get(nil, key, hash); string(got) != "new" {
		t.Errorf("the value is %q", got)
	}
}

// What is added goes to rings that were added, while others are full.
func TestAddedRingsFill(t *testing.T) {
	c := newCache(t, 256<<10)
	fillMany(c, 3000) // more than there is room for
	checkNoError(t, c.Resize(1<<20, false, alone))
	checkNoError(t, c.DropBefore(alone))
	for range 10 {
		if c.WantsMore() > 0 {
			c.Grow()
		}
		fillMany(c, 3000) // which gets past the admission of full rings one time in eight
	}
	if n := found(t, c, 3000); n < 2900 || c.WantsMore() > 0 {
		t.Errorf("%d records of 3000, wants %d more", n, c.WantsMore())
	}
}

// The writer puts records back while somebody else changes the size, and is kept out only
// for moments: nothing that either of them looks at is freed meanwhile.
func TestPutBackBesideMoves(t *testing.T) {
	c := newCache(t, 256<<10)
	var writing sync.Mutex
	exclude := func(change func()) error {
		writing.Lock()
		defer writing.Unlock()
		change()
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 3000 {
			if c.Resize(int64(256+i%4*256)<<10, false, exclude) != nil || c.DropBefore(exclude) != nil {
				return
			}
			for c.WantsMore() > 0 {
				c.Grow()
			}
		}
	}()
	back := 0
	for n := 0; ; n++ {
		select {
		case <-done:
			if back < 1000 {
				t.Errorf("%d records were put back", back)
			}
			checkWhole(t, c)
			return
		default:
		}
		key := fmt.Appendf(nil, "key %d", n%3000)
		hash := base.Hash(key)
		stay := c.cfg.Epochs.Enter()
		c.Fill(c.Ticket(hash), key, key, hash, 1)
		c.Get(nil, key, hash)
		stay.Exit()
		writing.Lock()
		used, _ := c.BeginWrite(hash)
		c.EndWrite(hash)
		if used {
			back++
			stay := c.cfg.Epochs.Enter()
			c.PutBack(key, key, hash, 1)
			stay.Exit()
		}
		writing.Unlock()
	}
}

// What the index before has is taken over where it lies: no ring gets a second copy, and what nobody
// has is left to who asks.
func TestCarryCopiesNothing(t *testing.T) {
	const few = 1000
	c := newCache(t, 256<<10)
	fillMany(c, few)
	checkNoError(t, c.Resize(1<<20, true, alone))
	had := found(t, c, 0)
	var buf []byte
	for i := range 2 * few {
		key, has := fmt.Appendf(nil, "key %d", i), false
		if buf, has = c.Carry(buf, key, base.Hash(key), 1); has {
			had++
		}
		if has && !bytes.Equal(buf, bytes.Repeat(key, 10)) {
			t.Fatalf("%q is carried as %q", key, buf)
		}
	}
	if had < few*9/10 || had > few {
		t.Errorf("%d records were carried, of %d that are there at most", had, few)
	}
	checkNoError(t, c.DropBefore(alone))
	if n := found(t, c, few); n != had {
		t.Errorf("%d of %d records are there without the index before", n, had)
	}
	for i := range c.rings.count.Load() {
		if r := c.rings.all[i].Load(); i >= c.rings.fresh.Load() && r.hand != 0 {
			t.Errorf("ring %d, which is new, has %d words of copies", i, r.hand)
		}
	}
	key := []byte("key 1")
	if _, has := c.Carry(nil, key, base.Hash(key), 1); !has {
		t.Error("a record that was carried is no longer there")
	}
}
