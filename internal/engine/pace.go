package engine

import (
	"math"
	"sync/atomic"
	"time"
)

// pacer slows commits down when compaction falls behind: a delay per byte that
// starts at nothing and grows with the square of the backlog, so that the rate
// of writes approaches what compaction can take instead of running into a
// wall. Delays are gathered until they are long enough to sleep.
type pacer struct {
	nsPerByte atomic.Uint64 // float64 bits
	owedNS    float64       // of the commit leader
}

const (
	// The backlog is counted in level-0 files, in units of what makes a
	// compaction due: delays start at three of them and reach slowestNSPerByte
	// at nine.
	paceStart        = 3
	paceEnd          = 9
	slowestNSPerByte = 1000.0 // one megabyte a second
	sleepMin         = time.Millisecond
	sleepMax         = 10 * time.Millisecond
)

// update sets the delay for a new read state.
func (p *pacer) update(rs *readState, opts *Options) {
	units := float64(len(rs.tree.levels[0])) / float64(opts.L0Files)
	x := min(max((units-paceStart)/(paceEnd-paceStart), 0), 1)
	p.nsPerByte.Store(math.Float64bits(slowestNSPerByte * x * x))
}

// pause makes the commit leader wait for what its group owes.
func (db *DB) pause(bytes int64) {
	p := &db.pace
	rate := math.Float64frombits(p.nsPerByte.Load())
	if rate == 0 {
		p.owedNS = 0
		return
	}
	p.owedNS += rate * float64(bytes)
	if owed := time.Duration(p.owedNS); owed >= sleepMin {
		p.owedNS = 0
		owed = min(owed, sleepMax)
		db.sleep(db.stopped, owed)
		db.counters.stallNS.Add(int64(owed))
	}
}
