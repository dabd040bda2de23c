package epoch

import (
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/lightningdb/lightning/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func TestPassedWithoutReaders(t *testing.T) {
	var d Domain
	for range 10 {
		if ticket := d.Now(); !d.Passed(ticket) {
			t.Fatal("not passed although nobody is inside")
		}
	}
}

func TestGuardHoldsTicket(t *testing.T) {
	var d Domain
	for range 8 { // either parity, several times
		g := d.Enter()
		ticket := d.Now()
		for range 5 {
			if d.Passed(ticket) {
				t.Fatal("passed while a reader from before the ticket is inside")
			}
		}
		g.Exit()
		if !d.Passed(ticket) {
			t.Fatal("not passed after the reader left")
		}
	}
}

// Readers that come after the ticket must not hold it back for ever, even if
// there is always one of them inside.
func TestOverlappingReadersDoNotStall(t *testing.T) {
	var d Domain
	inside := d.Enter()
	ticket := d.Now()
	for range 10 {
		next := d.Enter()
		inside.Exit()
		inside = next
		if d.Passed(ticket) {
			inside.Exit()
			return
		}
	}
	t.Fatal("a relay of readers stalled the epoch")
}

// A reader that loaded the epoch long ago counts itself under a stale parity.
// It must hold back whatever is unlinked from then on, also when a scan has
// already looked at its stripe and is about to move the epoch.
func TestLateIncrement(t *testing.T) {
	for lag := range 6 {
		for moved := range 6 {
			var d Domain
			d.global.Store(uint64(10 + moved))
			// The scan of a mover sees every stripe at zero ...
			g := d.global.Load()
			if !d.idle((g + 1) & 1) {
				t.Fatal("readers in an unused domain")
			}
			// ... the late reader counts itself ...
			guard := Guard{&d.stripes[3].counters[(g-uint64(lag))&1]}
			guard.counter.readers.Add(1)
			// ... the object is unlinked, and only now does the epoch move.
			ticket := d.Now()
			d.global.CompareAndSwap(g, g+1)
			for range 5 {
				if d.Passed(ticket) {
					t.Fatalf("lag %d at epoch %d: passed over a late reader", lag, g)
				}
			}
			guard.Exit()
			if !d.Passed(ticket) {
				t.Fatalf("lag %d at epoch %d: not passed after exit", lag, g)
			}
		}
	}
}

func TestSynchronize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Domain
		g := d.Enter()
		var done atomic.Bool
		go func() {
			d.Synchronize()
			done.Store(true)
		}()
		time.Sleep(time.Second) // fake time: the waiter has polled many times
		if done.Load() {
			t.Fatal("returned while a reader from before the call is inside")
		}
		g.Exit()
		time.Sleep(time.Second)
		synctest.Wait()
		if !done.Load() {
			t.Fatal("did not return after the reader left")
		}
	})
}

func TestLayout(t *testing.T) {
	if size := unsafe.Sizeof(stripe{}); size != paddedBytes {
		t.Fatalf("stripe has %d bytes", size)
	}
	if n := testing.AllocsPerRun(100, func() {
		var d Domain
		d.Enter().Exit()
	}); n > 1 { // the domain itself
		t.Fatalf("%v allocations", n)
	}
	var d Domain
	if n := testing.AllocsPerRun(100, func() { d.Enter().Exit() }); n != 0 {
		t.Fatalf("Enter and Exit allocate %v times", n)
	}
}

// object is poisoned with plain writes when it is reclaimed, so that the race
// detector sees a reclaim that is too early, and the value check does without.
type object struct {
	value  uint64
	check  uint64
	ticket Ticket
}

func (o *object) fill(v uint64) { o.value, o.check = v, ^v }

func TestStress(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rounds := 60000
	if testing.Short() {
		rounds = 15000
	}
	var (
		d     Domain
		links [4]atomic.Pointer[object]
		stop  atomic.Bool
		wg    sync.WaitGroup
	)
	for i := range links {
		o := new(object)
		o.fill(uint64(i))
		links[i].Store(o)
	}
	for r := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(r)))
			for !stop.Load() {
				g := d.Enter()
				o := links[rng.IntN(len(links))].Load()
				if rng.IntN(4) == 0 {
					runtime.Gosched()
				}
				value, check := o.value, o.check
				g.Exit()
				if value != ^check {
					t.Errorf("read a reclaimed object: %x %x", value, check)
					return
				}
			}
		})
	}
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			churn(&d, links[2*w:2*w+2], rand.New(rand.NewPCG(seed, uint64(100+w))), rounds)
		})
	}
	writers.Wait()
	stop.Store(true)
	wg.Wait()
}

// churn replaces the objects behind links, and reuses reclaimed ones.
func churn(d *Domain, links []atomic.Pointer[object], rng *rand.Rand, rounds int) {
	var limbo, free []*object
	for range rounds {
		var fresh *object
		if n := len(free); n > 0 {
			fresh, free = free[n-1], free[:n-1]
		} else {
			fresh = new(object)
		}
		fresh.fill(rng.Uint64())
		old := links[rng.IntN(len(links))].Swap(fresh)
		old.ticket = d.Now()
		limbo = append(limbo, old)
		for len(limbo) > 0 && d.Passed(limbo[0].ticket) {
			limbo[0].value, limbo[0].check = 0xdead, 0xdead
			free = append(free, limbo[0])
			limbo = limbo[1:]
		}
		if len(limbo) > 64 {
			d.Synchronize()
		}
	}
}

func BenchmarkEnterExit(b *testing.B) {
	var d Domain
	b.ReportAllocs()
	for b.Loop() {
		d.Enter().Exit()
	}
}

func BenchmarkEnterExitParallel(b *testing.B) {
	var d Domain
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.Enter().Exit()
		}
	})
}

func BenchmarkPassed(b *testing.B) {
	var d Domain
	b.ReportAllocs()
	for b.Loop() {
		d.Passed(d.Now())
	}
}

// Stays are counted by how they end, whoever is inside meanwhile, and some of them are in the
// sample; what counts as inside is not changed by it.
func TestCounts(t *testing.T) {
	var d Domain
	const goroutines, rounds = 8, 40_000 // the fields of a counter would run over many times
	var sampled atomic.Uint64
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			for j := range rounds {
				g, s := d.EnterCounted()
				nested := d.Enter()
				if s {
					sampled.Add(1)
					g.Fold()
				}
				g.Note(NoteTree)
				nested.Exit()
				if (i+j)%4 == 0 {
					g.ExitMissed()
				} else {
					g.ExitFound()
				}
			}
		})
	}
	all.Wait()
	c := d.Counts()
	if total := uint64(goroutines * rounds); c.Found != total/4*3 || c.Missed != total/4 || c.Notes[NoteTree] != total {
		t.Errorf("counted %+v, want %d", c, total)
	}
	if n := sampled.Load(); n < goroutines*rounds/SampleEvery/20 || n > goroutines*rounds/SampleEvery*20 {
		t.Errorf("%d of %d are in the sample", n, goroutines*rounds)
	}
	ticket := d.Now()
	g, _ := d.EnterCounted()
	if d.Passed(ticket) {
		t.Error("passed over a reader who is counted")
	}
	g.ExitFound()
	if !d.Passed(d.Now()) {
		t.Error("not passed after it has left")
	}
}

// The fields of a counter are moved before they run over.
func TestFold(t *testing.T) {
	var d Domain
	const rounds = 3 << countBits
	for range rounds {
		g, sampled := d.EnterCounted()
		if sampled {
			g.Fold()
		}
		g.ExitMissed()
	}
	if c := d.Counts(); c.Missed != rounds || c.Found != 0 {
		t.Errorf("counted %+v, want %d", c, rounds)
	}
}

func BenchmarkEnterCounted(b *testing.B) {
	var d Domain
	for b.Loop() {
		g, sampled := d.EnterCounted()
		if sampled {
			g.Fold()
		}
		g.ExitFound()
	}
}
