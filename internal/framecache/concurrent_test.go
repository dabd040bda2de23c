package framecache

import (
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// stress is many readers that check every byte range they are shown, on a
// cache that is far too small, while tables are dropped and the capacity
// changes. Freed blocks are poisoned or reused at once, so that a block freed
// too early shows as wrong content, and under the race detector as a race.
type stress struct {
	*fixture
	tables [4]atomic.Pointer[Table]
	stop   atomic.Bool
	hits   atomic.Int64
}

const stressSlots = 300

func (s *stress) sizeOf(slot int) int {
	if slot == 0 {
		return 100 << 10 // as a filter block
	}
	return 1<<10 + slot%7*1500
}

// read looks a block up as a table reader does, and returns a pin on it, or
// nothing when the cache refused it.
func (s *stress) read(t *testing.T, table *Table, slot int, wantPin bool) Handle {
	g := s.epochs.Enter()
	defer g.Exit()
	check := func(b []byte) {
		if err := verify(b, table.id, uint64(slot)); err != nil {
			t.Error(err)
			s.stop.Store(true)
		}
	}
	if wantPin {
		if h, ok := table.Pin(slot); ok {
			check(h.Bytes())
			s.hits.Add(1)
			return h
		}
	} else if b := table.Get(slot); b != nil {
		if slot%3 == 0 {
			runtime.Gosched()
		}
		check(b)
		s.hits.Add(1)
		return Handle{}
	}
	h, ok := s.Alloc(s.sizeOf(slot))
	if !ok {
		return Handle{}
	}
	fill(h.Bytes(), table.id, uint64(slot))
	h = table.Publish(slot, h)
	check(h.Bytes())
	return h
}

func (s *stress) reader(t *testing.T, rng *rand.Rand, rounds int) {
	type pin struct {
		h     Handle
		table uint64
		slot  int
	}
	var pins []pin
	for round := 0; round < rounds && !s.stop.Load(); round++ {
		table := s.tables[rng.IntN(len(s.tables))].Load()
		slot := rng.IntN(1 + rng.IntN(stressSlots))
		h := s.read(t, table, slot, rng.IntN(3) == 0)
		if h.frame != nil {
			pins = append(pins, pin{h, table.id, slot})
		} else {
			runtime.Gosched() // when refused, let those inside leave
		}
		if len(pins) > rng.IntN(4) {
			p := pins[0]
			if err := verify(p.h.Bytes(), p.table, uint64(p.slot)); err != nil {
				t.Error(err)
				s.stop.Store(true)
			}
			p.h.Release()
			pins = pins[1:]
		}
	}
	for _, p := range pins {
		p.h.Release()
	}
}

func TestConcurrent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rounds := 20_000
	if testing.Short() || invariant.Enabled {
		rounds = 5_000
	}
	s := &stress{fixture: newFixture(t, 2<<20)}
	for i := range s.tables {
		s.tables[i].Store(s.NewTable(stressSlots))
	}
	var readers, others sync.WaitGroup
	for r := range 6 {
		readers.Go(func() { s.reader(t, rand.New(rand.NewPCG(seed, uint64(r))), rounds) })
	}
	others.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 100))
		for !s.stop.Load() {
			s.SetCapacity(1<<20 + rng.Int64N(2<<20))
			runtime.Gosched()
			if rng.IntN(20) == 0 {
				s.tables[rng.IntN(len(s.tables))].Swap(s.NewTable(stressSlots)).Drop()
			}
			s.Metrics()
			for range rng.IntN(200) {
				runtime.Gosched()
			}
		}
	})
	readers.Wait()
	s.stop.Store(true)
	others.Wait()
	m := s.Metrics()
	t.Logf("%d hits, %+v", s.hits.Load(), m)
	if s.hits.Load() == 0 || m.Evictions == 0 {
		t.Errorf("nothing was stressed: %d hits, %+v", s.hits.Load(), m)
	}
	checkQueues(t, s.Cache)
}

// Several loaders of the same block end up with one frame.
func TestPublishRace(t *testing.T) {
	f := newFixture(t, 8<<20)
	table := f.NewTable(100)
	for slot := range 100 {
		var wg sync.WaitGroup
		var got [4]Handle
		for i := range got {
			wg.Go(func() {
				h, _ := f.Alloc(4096)
				fill(h.Bytes(), table.id, uint64(slot))
				got[i] = table.Publish(slot, h)
			})
		}
		wg.Wait()
		for _, h := range got {
			if h != got[0] {
				t.Fatal("different frames for one slot")
			}
			h.Release()
		}
	}
	if m := f.Metrics(); m.Frames != 100 || m.UsedBytes != 100*4096 {
		t.Fatalf("%+v", m)
	}
}

// A handle taken inside a guard outlives guard, eviction and table.
func TestPinOutlivesEviction(t *testing.T) {
	f := newFixture(t, 256<<10)
	table, other := f.NewTable(1), f.NewTable(1000)
	f.load(table, 0, 8<<10)
	g := f.epochs.Enter()
	b := table.Get(0)
	table.Drop()
	err := verify(b, table.id, 0) // the guard alone keeps it
	g.Exit()
	if err != nil {
		t.Fatal(err)
	}

	kept := f.NewTable(1)
	f.load(kept, 0, 8<<10)
	g = f.epochs.Enter()
	h, ok := kept.Pin(0)
	kept.Drop()
	g.Exit()
	for slot := range 1000 {
		f.load(other, slot, 8<<10)
	}
	if err := verify(h.Bytes(), kept.id, 0); !ok || err != nil {
		t.Fatal(ok, err)
	}
	h.Release()
}
