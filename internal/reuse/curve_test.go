package reuse_test

import (
	"container/list"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/lightningdb/lightning/internal/reuse"
)

// hashOf is a hash of an item.
func hashOf(item int) uint64 {
	h := (uint64(item) + 1) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return (h ^ h>>32) * 0xd6e8feb86659fd93
}

// lru is a cache of a size that drops what was used longest ago.
type lru struct {
	room  int64
	order list.List
	items map[int]*list.Element
	hits  int
}

func (l *lru) use(item int, bytes int64, sizeOf func(int) int64) {
	if e := l.items[item]; e != nil {
		l.hits++
		l.order.MoveToFront(e)
		return
	}
	l.items[item] = l.order.PushFront(item)
	for l.room -= bytes; l.room < 0; {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.items, last.Value.(int))
		l.room += sizeOf(last.Value.(int))
	}
}

// TestAgainstCaches compares a curve with caches of several sizes.
func TestAgainstCaches(t *testing.T) {
	const items = 25_000
	sizeOf := func(item int) int64 { return 50 + int64(item%7)*30 }
	for name, pick := range map[string]func(rng *rand.Rand) func() int{
		"uniform": func(rng *rand.Rand) func() int { return func() int { return rng.IntN(items) } },
		"zipf": func(rng *rand.Rand) func() int {
			z := rand.NewZipf(rng, 1.1, 20, items-1)
			return func() int { return int(z.Uint64()) }
		},
		"in a circle": func(*rand.Rand) func() int {
			i := 0
			return func() int { i++; return i % (items / 2) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			tolerance := 0.08
			if name == "zipf" {
				tolerance = 0.16 // what is asked for most may not be in the sample
			}
			next := pick(rand.New(rand.NewPCG(1, 2)))
			c := reuse.New(reuse.Config{MinBytes: 256 << 10, MaxBytes: 4 << 20, ItemBytes: 128, Due: func() {}})
			var caches []*lru
			for _, size := range []int64{256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20} {
				caches = append(caches, &lru{room: size, items: map[int]*list.Element{}})
			}
			const uses = 250_000
			for range uses {
				item := next()
				c.Use(hashOf(item), int(sizeOf(item)), item%2 == 0)
				for _, l := range caches {
					l.use(item, sizeOf(item), sizeOf)
				}
			}
			e := c.Take()
			if e.Uses < uses*0.7 || e.Uses > uses*1.3 || e.Missed > e.Uses {
				t.Errorf("%.0f uses, %.0f missed, of %d", e.Uses, e.Missed, uses)
			}
			for i, size := range e.Sizes()[:len(caches)] {
				want := float64(caches[i].hits) / uses
				if got := e.Hits(size); math.Abs(got-want) > tolerance {
					t.Errorf("a cache of %d KiB hits %.3f, the curve says %.3f", size>>10, want, got)
				}
			}
			if between, most := e.Hits(700<<10), e.Hits(math.MaxInt64); between > most || between < e.Hits(512<<10) {
				t.Errorf("%.3f at 700 KiB, %.3f at most", between, most)
			}
			if again := c.Take(); math.Abs(again.Uses-e.Uses/2) > 100 || math.Abs(again.Hits(4<<20)-e.Hits(4<<20)) > 0.01 {
				t.Errorf("half of %.0f is %.0f", e.Uses, again.Uses)
			}
		})
	}
}

// What the present cache did not answer is counted, and what it was asked in vain and told.
func TestCounts(t *testing.T) {
	due := 0
	c := reuse.New(reuse.Config{MinBytes: 1 << 20, MaxBytes: 4 << 20, ItemBytes: 128, Due: func() { due++ }})
	for i := range 100_000 {
		c.Use(hashOf(i%1000), 100, i < 75_000)
		c.Pass(hashOf(i))
		c.Write(hashOf(i))
		c.Write(hashOf(-i))
	}
	e := c.Take()
	about := func(n, want float64) bool { return n > want*0.8 && n < want*1.2 }
	if e.Uses == 0 || !about(e.Missed, e.Uses/4) || !about(e.Passes, 100_000) || !about(e.Writes, 200_000) || due == 0 {
		t.Errorf("%.0f uses, %.0f missed, %.0f passes, %.0f writes, told %d times", e.Uses, e.Missed, e.Passes, e.Writes, due)
	}
}

// Whoever looks is told after each window.
func TestDue(t *testing.T) {
	due := 0
	c := reuse.New(reuse.Config{
		MinBytes: 1 << 20, MaxBytes: 4 << 20, ItemBytes: 128, Due: func() { due++ }, WindowUses: 100_000,
	})
	for i := range 1_000_000 {
		c.Use(hashOf(i), 100, false)
	}
	if due < 8 || due > 12 {
		t.Errorf("told %d times in a million uses", due)
	}
}

func TestManyAtOnce(t *testing.T) {
	c := reuse.New(reuse.Config{MinBytes: 1 << 10, MaxBytes: 1 << 20, ItemBytes: 128, Due: func() {}})
	var users sync.WaitGroup
	for g := range 4 {
		users.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for range 200_000 {
				c.Use(hashOf(rng.IntN(20_000)), 100, true)
			}
		})
	}
	users.Go(func() {
		for range 100 {
			c.Take()
		}
	})
	users.Wait()
	if share := c.Take(); share.Hits(math.MaxInt64) > 1 {
		t.Errorf("%.3f of the uses are hits", share.Hits(math.MaxInt64))
	}
}

func BenchmarkUse(b *testing.B) {
	c := reuse.New(reuse.Config{MinBytes: 4 << 20, MaxBytes: 1 << 30, ItemBytes: 128, Due: func() {}})
	b.Run("all", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			c.Use(hashOf(i%5_000_000), 180, true)
		}
	})
	b.Run("sampled", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(1, 1))
		for b.Loop() {
			c.Use(rng.Uint64()%c.Below(), 180, true)
		}
	})
}
