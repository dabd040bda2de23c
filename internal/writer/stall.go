package writer

import (
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
)

// stall is a time in which commits wait for background work, now and then or all the time. It
// begins with the first that has to, and ends with the first that comes when nothing makes any
// wait. It is the leader's, but for waited.
type stall struct {
	events *event.Sink
	clock  clock.Clock
	waited atomic.Int64 // nanoseconds, of all commits there ever were

	reason   string // of the beginning; "": there is none
	begun    time.Time
	waitedNS int64 // of the commits before it
}

// What commits wait for.
const (
	stallMemtables = "memtables"
	stallLevel0    = "level 0"
	stallLog       = "log"
)

// begin notes that a commit has to wait.
func (s *stall) begin(reason string) {
	if s.reason != "" {
		return
	}
	s.reason, s.begun, s.waitedNS = reason, s.clock.Now(), s.waited.Load()
	s.events.StallBegan(event.StallInfo{Reason: reason})
}

// end notes that none has any more.
func (s *stall) end() {
	if s.reason == "" {
		return
	}
	s.events.StallEnded(event.StallInfo{
		Reason: s.reason, Took: s.clock.Now().Sub(s.begun), Waited: time.Duration(s.waited.Load() - s.waitedNS),
	})
	s.reason = ""
}
