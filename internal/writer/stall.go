package writer

import (
	"time"

	"github.com/lightningdb/lightning/internal/event"
)

// stall is a time in which commits wait for background work, now and then or all the time. It
// begins with the first that has to, and ends with the first that comes when nothing makes any
// wait. It is the leader's.
type stall struct {
	reason   string // of the beginning; "": there is none
	begun    time.Time
	waitedNS int64 // of all commits before it
}

// What commits wait for.
const (
	stallMemtables = "memtables"
	stallLevel0    = "level 0"
	stallLog       = "log"
)

// beginStall notes that a commit has to wait.
func (w *Writer) beginStall(reason string) {
	if w.stall.reason != "" {
		return
	}
	w.stall = stall{reason: reason, begun: w.cfg.Clock.Now(), waitedNS: w.stallNS.Load()}
	w.cfg.Events.StallBegan(event.StallInfo{Reason: reason})
}

// endStall notes that none has any more.
func (w *Writer) endStall() {
	w.cfg.Events.StallEnded(event.StallInfo{
		Reason: w.stall.reason, Took: w.cfg.Clock.Now().Sub(w.stall.begun),
		Waited: time.Duration(w.stallNS.Load() - w.stall.waitedNS),
	})
	w.stall = stall{}
}
