//go:build invariants && !race

package ranked

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// reported runs fn and returns what it panicked with.
func reported(fn func()) (report string) {
	defer func() {
		if r := recover(); r != nil {
			report = fmt.Sprint(r)
		}
	}()
	fn()
	return ""
}

// expect wants a report with all of the words; none wants no report.
func expect(t *testing.T, fn func(), words ...string) {
	t.Helper()
	report := reported(fn)
	if len(words) == 0 && report != "" {
		t.Errorf("unexpected report: %s", report)
	}
	for _, word := range words {
		if !strings.Contains(report, word) {
			t.Errorf("no %q in the report %q", word, report)
		}
	}
}

func elsewhere(fn func()) {
	var wg sync.WaitGroup
	wg.Go(fn)
	wg.Wait()
}

func TestOrderIsChecked(t *testing.T) {
	var outer Mutex[ManifestEdit]
	var inner Mutex[State]
	expect(t, func() { outer.Lock(); inner.Lock(); inner.Unlock(); outer.Unlock() })
	inner.Lock()
	expect(t, outer.Lock, "the lock of the manifest edits is wanted under that of the state, taken at",
		"ranked.TestOrderIsChecked", "on_test.go:")
	elsewhere(func() { // where nothing is held
		expect(t, func() { outer.Lock(); outer.Unlock() })
	})
	inner.Unlock()
	expect(t, func() { outer.Lock(); outer.Unlock() })
}

func TestOneOfARank(t *testing.T) {
	var a, b Mutex[TableOpen]
	a.Lock()
	expect(t, a.Lock, "opening of a table is wanted under that of the opening of a table")
	expect(t, b.Lock, "opening of a table is wanted under that of the opening of a table")
	a.Unlock()
}

func TestTryLockMayComeOutOfOrder(t *testing.T) {
	var outer Mutex[Joins]
	var inner, last Mutex[Handles]
	inner.Lock()
	if !outer.TryLock() {
		t.Fatal("not taken")
	}
	if outer.TryLock() {
		t.Fatal("taken twice")
	}
	inner.Unlock()
	expect(t, func() { last.Lock(); last.Unlock() })
	var wanted Mutex[Queue]
	expect(t, wanted.Lock, "the lock of the queue of the pipeline is wanted under that of the joins")
	outer.Unlock()
	expect(t, func() { wanted.Lock(); wanted.Unlock() })
}

func TestUnlockElsewhere(t *testing.T) {
	var mu Mutex[State]
	mu.Lock()
	elsewhere(func() {
		expect(t, mu.Unlock, "the lock of the state is given back by a goroutine that does not have it", "another one took it at", "TestUnlockElsewhere")
	})
	expect(t, mu.Unlock)
	expect(t, mu.Unlock, "given back by a goroutine that does not have it")
}

func TestTokens(t *testing.T) {
	var leads, other Token[Leader]
	var folding Mutex[Statistics]
	leads.Enter()
	expect(t, folding.Lock, "statistics of a table is wanted under that of the leadership")
	expect(t, other.Enter, "leadership of the pipeline is wanted under that of the leadership")
	elsewhere(func() {
		expect(t, leads.Enter, "a goroutine enters the leadership of the pipeline, and another one has it")
		expect(t, leads.Leave, "the lock of the leadership of the pipeline is given back by a goroutine that does not have it")
	})
	leads.Leave()
	elsewhere(func() { expect(t, func() { leads.Enter(); leads.Leave() }) })
}

func TestFilesUnderLocks(t *testing.T) {
	var edit Mutex[ManifestEdit]
	var cache Mutex[Cache]
	touch := func() { AssertIO("write", "000001.wal") }
	edit.Lock()
	expect(t, touch)
	cache.Lock()
	expect(t, touch, "write of 000001.wal under the lock of the block cache, taken at", "TestFilesUnderLocks")
	elsewhere(func() { expect(t, touch) })
	cache.Unlock()
	edit.Unlock()
}

func TestWaitsUnderLocks(t *testing.T) {
	var edit Mutex[ManifestEdit]
	var joins Mutex[Joins]
	wait := func() { AssertWait("readers") }
	edit.Lock()
	expect(t, wait)
	joins.Lock()
	expect(t, wait, "wait for readers under the lock of the joins, taken at", "TestWaitsUnderLocks")
	joins.Unlock()
	edit.Unlock()
}

func TestOutside(t *testing.T) {
	var mu, other Mutex[State]
	mu.Lock()
	expect(t, func() {
		Outside(func() { AssertIO("write", "a file"); other.Lock(); other.Unlock() })
	})
	expect(t, func() { Outside(func() { invariantBroken() }) }, "broken")
	expect(t, other.Lock, "wanted under that of the state")
	mu.Unlock()
}

func invariantBroken() { panic("broken") }

// TestGoroutinesAreToldApart looks at many that live at one time, each with a
// stack that grows and moves.
func TestGoroutinesAreToldApart(t *testing.T) {
	var mu sync.Mutex
	seen := map[uintptr]bool{}
	var all, wg sync.WaitGroup
	all.Add(1000)
	for range 1000 {
		wg.Go(func() {
			g := goroutine()
			mu.Lock()
			if g == 0 || seen[g] {
				t.Errorf("goroutine %x is there twice", g)
			}
			seen[g] = true
			mu.Unlock()
			all.Done()
			all.Wait()
			if deep(100) != g || goroutine() != g {
				t.Error("a goroutine has changed")
			}
		})
	}
	wg.Wait()
}

func deep(n int) uintptr {
	var room [1 << 10]byte
	if room[n] = 1; n > 0 {
		return deep(n - 1)
	}
	return goroutine()
}

// TestNothingIsLeftBehind looks that what was held is forgotten.
func TestNothingIsLeftBehind(t *testing.T) {
	var mu Mutex[State]
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 100 {
				mu.Lock()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := range shards {
		if n := len(shards[i].held); n != 0 {
			t.Errorf("shard %d knows %d goroutines", i, n)
		}
	}
}

func BenchmarkGoroutine(b *testing.B) {
	for b.Loop() {
		goroutine()
	}
}
