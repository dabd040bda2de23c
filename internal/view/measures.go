package view

import (
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/meter"
)

// measures tell how long reads take. What is counted of all gets is in the guards that they
// are in.
type measures struct {
	clock                clock.Clock
	gets                 meter.Histogram // nanoseconds, of one get in epoch.SampleEvery
	multiGets, multiKeys meter.Histogram // nanoseconds of each, and how many keys it asked for
}

// begin begins to measure a get of the sample.
func (m *measures) begin(g epoch.Guard) time.Time {
	g.Fold()
	return m.clock.Now()
}

func (m *measures) end(began time.Time) { m.gets.Record(int64(m.clock.Now().Sub(began))) }

// endMulti notes a get of many keys.
func (m *measures) endMulti(began time.Time, keys int) {
	m.multiGets.Record(int64(m.clock.Now().Sub(began)))
	m.multiKeys.Record(int64(keys))
}

// leave ends the stay of a get.
func leave(g epoch.Guard, found bool) {
	if found {
		g.ExitFound()
	} else {
		g.ExitMissed()
	}
}

// Measured is what was measured of reads until some moment.
type Measured struct {
	Found, Missed, FromTree          uint64 // gets, all of them
	Latency, MultiLatency, MultiKeys meter.Snapshot
}

// Measure returns what was measured of the reads of r.
func Measure(r *Reader) Measured {
	counts := r.Epochs.Counts()
	return Measured{
		Found: counts.Found, Missed: counts.Missed, FromTree: counts.Notes[epoch.NoteTree],
		Latency: r.measures.gets.Snapshot(), MultiLatency: r.measures.multiGets.Snapshot(),
		MultiKeys: r.measures.multiKeys.Snapshot(),
	}
}
