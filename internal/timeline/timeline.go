// Package timeline tells when records expire.
package timeline

import (
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
)

// Timeline is the time by which records expire. It never goes back: within a
// process it follows the monotonic clock, plus the largest lead that the wall
// clock has ever had over that; and it begins at the high-water mark that the
// manifest has of the time that readers have seen before. So what has expired for
// one reader has for all that come later, also when the wall clock is set back,
// in this process or between two of them.
//
// All methods are safe for concurrent use, once Start has returned.
type Timeline struct {
	clock clock.Clock
	start time.Time
	// used says that an expiring record may exist. It is set before the first
	// one becomes visible; as long as it is not, nobody looks at the clock.
	used atomic.Bool
	lead atomic.Int64 // of the wall clock over the time since start, at most so far
	high atomic.Int64 // the latest time that anyone was told
	// saved is the high-water mark in the manifest; met the latest expiry that a
	// reader has found to be over.
	saved, met atomic.Int64
	// purged is a time up to which compactions may have dropped what expired.
	purged atomic.Int64

	save        func() // brings the time into the manifest; nil: cannot be saved
	savePending atomic.Bool
	timer       atomic.Pointer[clock.Timer]
}

// New returns a timeline that must be started. save is called some time after a
// reader has met a record that expired after the last Saved; nil: never.
func New(c clock.Clock, save func()) *Timeline { return &Timeline{clock: c, save: save} }

// Start begins at the high-water mark of earlier readers, 0 if there were none.
func (t *Timeline) Start(highWater base.Instant) {
	t.start = t.clock.Now()
	t.high.Store(int64(highWater))
	t.lead.Store(int64(highWater))
	t.saved.Store(int64(highWater))
	t.used.Store(highWater != 0)
}

// Now returns the time, never less than what was returned before.
func (t *Timeline) Now() base.Instant {
	wall := t.clock.Now()
	passed := int64(wall.Sub(t.start))
	return base.Instant(raise(&t.high, passed+raise(&t.lead, wall.UnixNano()-passed)))
}

// raise makes a number at least value, and returns it.
func raise(number *atomic.Int64, value int64) int64 {
	for {
		old := number.Load()
		if old >= value {
			return old
		}
		if number.CompareAndSwap(old, value) {
			return value
		}
	}
}

// Use notes that an expiring record is about to exist.
func (t *Timeline) Use() { t.used.Store(true) }

// ReadTime returns the time at which a new reader lives: what expires later has
// not expired for it. It must be called before the reader chooses the newest
// write that it sees. A reader that comes before the first expiring record has
// no need for the time: it gets 0.
func (t *Timeline) ReadTime() base.Instant {
	if !t.used.Load() {
		return 0
	}
	return t.Now()
}

// Purge notes that what has expired at a time is about to be dropped.
func (t *Timeline) Purge(at base.Instant) { raise(&t.purged, int64(at)) }

// Purged reports whether some of what a reader at a time must see, but that has
// expired since, may have been dropped.
func (t *Timeline) Purged(at base.Instant) bool { return int64(at) < t.purged.Load() }

// Observe notes that a reader has met a record that had expired.
func (t *Timeline) Observe(expiry base.Instant) { raise(&t.met, int64(expiry)) }

// saveDelay is how long a time that readers have seen may be unknown to the
// manifest.
const saveDelay = time.Second

// SaveLater has the time saved soon, if a reader has met a record that expired
// after the last time that was.
func (t *Timeline) SaveLater() {
	if t.met.Load() <= t.saved.Load() || t.save == nil || !t.savePending.CompareAndSwap(false, true) {
		return
	}
	timer := t.clock.AfterFunc(saveDelay, func() {
		t.savePending.Store(false)
		t.save()
	})
	t.timer.Store(&timer)
}

// Saved notes that a time is in the manifest.
func (t *Timeline) Saved(highWater base.Instant) { raise(&t.saved, int64(highWater)) }

// Stop ends what SaveLater began. Whoever closes the database saves the time
// himself.
func (t *Timeline) Stop() {
	if timer := t.timer.Load(); timer != nil {
		(*timer).Stop()
	}
}
