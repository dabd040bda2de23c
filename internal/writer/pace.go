package writer

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/view"
)

// pacer slows commits down when background work falls behind, so that the rate
// of writes approaches what it can take instead of running into a wall. The
// delay is per byte and has two parts, both of which start at nothing:
//
//   - with the square of the backlog of level-0 files, against compaction debt;
//   - while as many memtables wait for their flush as may wait, with the fill
//     of the one that takes writes, up to twice what a byte takes to flush.
//
// Delays are gathered until they are long enough to sleep.
type pacer struct {
	backlogNS atomic.Uint64 // float64 bits, ns per byte
	full      atomic.Bool   // whether no more memtables may wait
	flushNS   atomic.Uint64 // float64 bits, ns per byte flushed, smoothed
	owedNS    float64       // of the commit leader
}

const (
	// The backlog is counted in runs of level 0, in units of what makes a
	// compaction due: delays start at three of them and reach slowestNSPerByte
	// at nine.
	paceStart        = 3
	paceEnd          = 9
	slowestNSPerByte = 1000.0 // one megabyte a second
	sleepMin         = time.Millisecond
	// A group waits for sleepMax at most, or where it is large for as long as its bytes
	// beyond largeFromBytes take at five megabytes a second.
	sleepMax       = 10 * time.Millisecond
	largeFromBytes = 256 << 10
	largeNSPerByte = 200
)

// update sets the delay for a new read state.
func (p *pacer) update(s *view.State, l0Files int) {
	units := float64(s.Tree.Runs) / float64(l0Files)
	x := min(max((units-paceStart)/(paceEnd-paceStart), 0), 1)
	p.backlogNS.Store(math.Float64bits(slowestNSPerByte * x * x))
	p.full.Store(len(s.Immutables) >= maxImmutables)
}

// flushed notes how long a flush took.
func (p *pacer) flushed(bytes int64, took time.Duration) {
	if bytes == 0 {
		return
	}
	now := float64(took) / float64(bytes)
	if before := math.Float64frombits(p.flushNS.Load()); before > 0 {
		now = (now + 3*before) / 4
	}
	p.flushNS.Store(math.Float64bits(now))
}

// reason says what those who wait wait for.
func (p *pacer) reason() string {
	if p.full.Load() {
		return stallMemtables
	}
	return stallLevel0
}

// nsPerByte returns the delay for a memtable that is full to the given
// fraction.
func (p *pacer) nsPerByte(fill float64) float64 {
	delay := math.Float64frombits(p.backlogNS.Load())
	if p.full.Load() {
		delay += 2 * fill * math.Float64frombits(p.flushNS.Load())
	}
	return delay
}

// slows reports whether there is a delay.
func (p *pacer) slows() bool { return p.backlogNS.Load() != 0 || p.full.Load() }

// owed returns how long the commit leader must wait before a group that adds
// bytes to the log and to a memtable; 0 where that is too short to sleep.
func (p *pacer) owed(bytes int64, mem *view.Flushable) time.Duration {
	if !p.slows() {
		p.owedNS = 0
		return 0
	}
	p.owedNS += p.nsPerByte(mem.Fill()) * float64(bytes)
	owed := time.Duration(p.owedNS)
	if owed < sleepMin {
		return 0
	}
	p.owedNS = 0
	return min(owed, max(sleepMax, time.Duration(largeNSPerByte*(bytes-largeFromBytes))))
}
