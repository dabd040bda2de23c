package writer

import (
	"math"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
)

func TestPaceGrowsSmoothly(t *testing.T) {
	const l0Files = 4
	var p pacer
	last := 0.0
	for files := range 50 {
		rs := &view.State{Tree: &store.Tree{Runs: files}}
		p.update(rs, l0Files)
		delay := p.nsPerByte(1)
		if files <= paceStart*l0Files && delay != 0 {
			t.Errorf("%d files already delay by %v ns a byte", files, delay)
		}
		if delay < last || delay > slowestNSPerByte || delay-last > slowestNSPerByte/8 {
			t.Errorf("from %d to %d files the delay goes from %v to %v", files-1, files, last, delay)
		}
		last = delay
	}
	if last != slowestNSPerByte {
		t.Errorf("the delay ends at %v", last)
	}
}

func TestPaceFollowsTheFlush(t *testing.T) {
	var p pacer
	p.flushed(0, time.Second) // nothing to learn from
	p.flushed(1000, 10*time.Microsecond)
	rs := &view.State{Tree: &store.Tree{}, Immutables: make([]*view.Flushable, maxImmutables)}
	if d := p.nsPerByte(1); d != 0 {
		t.Errorf("a delay of %v while memtables may still wait", d)
	}
	p.update(rs, 4)
	if p.nsPerByte(0) != 0 || p.nsPerByte(0.5) != 10 || p.nsPerByte(1) != 20 {
		t.Errorf("delays %v, %v, %v for a flush of 10 ns a byte", p.nsPerByte(0), p.nsPerByte(0.5), p.nsPerByte(1))
	}
	p.flushed(1000, 50*time.Microsecond)
	if d := p.nsPerByte(1); math.Abs(d-40) > 1e-9 {
		t.Errorf("after a slower flush the delay is %v, want it smoothed to 40", d)
	}
}

// A large group waits for longer than a small one, as far as its bytes go, or the backlog
// would have no end.
func TestPaceOfLargeGroups(t *testing.T) {
	var p pacer
	p.update(&view.State{Tree: &store.Tree{Runs: 100}}, 4)
	mem, err := view.NewMemtable(new(offheap.Accountant), 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Free()
	for bytes, want := range map[int64]time.Duration{
		100: 0, 2000: 2 * time.Millisecond, 20_000: sleepMax, largeFromBytes: sleepMax, largeFromBytes + 5_000_000: time.Second,
	} {
		p.owedNS = 0
		if got := p.owed(bytes, mem); got != want {
			t.Errorf("%d bytes wait for %v, want %v", bytes, got, want)
		}
	}
}
