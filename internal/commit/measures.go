package commit

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/meter"
)

// SampleEvery is of how many commits that wait for no disk one is measured.
const SampleEvery = 64

// Measures tell how long commits take. They may be looked at at any time.
type Measures struct {
	commits   atomic.Uint64
	latencies [Sync + 1]meter.Histogram
	bytes     meter.Histogram
	syncs     meter.Histogram
	served    meter.Histogram
}

// Measured is what was measured until some moment.
type Measured struct {
	// Commits is how many came to the log.
	Commits uint64
	// Latencies are nanoseconds from the call to the return, by Durability: of each synced commit,
	// and of one in SampleEvery of the others, which may take less than it takes to ask the clock.
	Latencies [Sync + 1]meter.Snapshot
	// Bytes is how long the batches of those were.
	Bytes meter.Snapshot
	// Syncs are nanoseconds of each sync of the log that commits waited for, and Served
	// how many of them one has served.
	Syncs, Served meter.Snapshot
}

// Now returns what was measured.
func (m *Measures) Now() Measured {
	now := Measured{
		Commits: m.commits.Load(), Bytes: m.bytes.Snapshot(),
		Syncs: m.syncs.Snapshot(), Served: m.served.Snapshot(),
	}
	for d := range now.Latencies {
		now.Latencies[d] = m.latencies[d].Snapshot()
	}
	return now
}

// submit brings a request through the pipeline, with a look at the clock for some.
func (m *Measures) submit(p *Pipeline, r *Request) error {
	if r.Durability != Sync && rand.Uint32()%SampleEvery != 0 {
		return p.submit(r)
	}
	durability, bytes := r.Durability, r.sizeBytes()
	start := p.env.Clock.Now()
	err := p.submit(r)
	if err == nil {
		m.latencies[durability].Record(int64(p.env.Clock.Now().Sub(start)))
		m.bytes.Record(int64(bytes))
	}
	return err
}
