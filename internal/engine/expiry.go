package engine

import (
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/manifest"
)

// timeline is the time by which records expire. It never goes back: within a
// process it follows the monotonic clock, plus the largest lead that the wall
// clock has ever had over that; and it begins where the manifest says that
// readers have been before. So what has expired for one reader has for all that
// come later, also when the wall clock is set back, in this process or between
// two of them.
//
// All methods are safe for concurrent use.
type timeline struct {
	clock clock.Clock
	start time.Time
	// used says that an expiring record may exist. It is set before the first
	// one becomes visible; as long as it is not, nobody looks at the clock.
	used atomic.Bool
	lead atomic.Int64 // of the wall clock over the time since start, at most so far
	high atomic.Int64 // the latest time that anyone was told
	// mark is the time in the manifest; met the latest expiry that a reader has
	// found to be over.
	mark, met atomic.Int64
	// purged is a time up to which compactions may have dropped what expired.
	purged      atomic.Int64
	markPending atomic.Bool
	timer       atomic.Pointer[clock.Timer]
}

func (t *timeline) init(c clock.Clock, mark base.Instant) {
	t.clock, t.start = c, c.Now()
	t.high.Store(int64(mark))
	t.lead.Store(int64(mark))
	t.mark.Store(int64(mark))
	t.used.Store(mark != 0)
}

// now returns the time, never less than what was returned before.
func (t *timeline) now() base.Instant {
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

// moment returns the time that a new reader lives at: what expires later has
// not expired for it. It must be called before the reader chooses the newest
// write that it sees. A reader that comes before the first expiring record has
// no need for the time.
func (t *timeline) moment() base.Instant {
	if !t.used.Load() {
		return 0
	}
	return t.now()
}

// Observe notes that a reader has met a record that had expired.
func (t *timeline) Observe(expiry base.Instant) { raise(&t.met, int64(expiry)) }

// viewNow is view with the moment of a new reader of several keys. A compaction
// that dropped keys which expire after the moment, and was installed before the
// view was taken, would show him some of those that expire together and others
// not; then both are chosen again.
func (db *DB) viewNow() (*readState, snapshotAt) {
	for {
		at := db.timeline.moment()
		invariant.Yield()
		rs, seq := db.view()
		if int64(at) >= db.timeline.purged.Load() {
			return rs, snapshotAt{seq, at}
		}
	}
}

// markDelay is how long a time that readers have seen may be unknown to the
// manifest.
const markDelay = time.Second

// Now returns the time by which records expire.
func (db *DB) Now() base.Instant { return db.timeline.now() }

// saveMarkLater brings the time into the manifest soon, if a reader has met a
// record that expired after the last time that is there.
func (db *DB) saveMarkLater() {
	t := &db.timeline
	if t.met.Load() <= t.mark.Load() || db.opts.ReadOnly || !t.markPending.CompareAndSwap(false, true) {
		return
	}
	timer := t.clock.AfterFunc(markDelay, func() {
		t.markPending.Store(false)
		if db.closed.Load() || db.failure.Load() != nil {
			return
		}
		// A failure says so by itself; on a full disk the next reader tries again.
		_ = db.edit(&manifest.Edit{}, func(*manifest.Version) {})
	})
	t.timer.Store(&timer)
}

// stop ends what saveMarkLater began. Close saves the time in any case.
func (t *timeline) stop() {
	if timer := t.timer.Load(); timer != nil {
		(*timer).Stop()
	}
}

// moments returns the earliest moment at which a reader of each stripe, or a
// newer one, lives; see compact.Config. The caller holds db.mu, and it is the
// same hold in which it lists the snapshots.
func (db *DB) moments() []base.Instant {
	at := db.timeline.moment()
	if at == 0 {
		return nil
	}
	raise(&db.timeline.purged, int64(at)) // before anything is dropped
	earliest := db.fields.snapshots.moments()
	out := append(earliest, at)
	for i := len(out) - 2; i >= 0; i-- {
		out[i] = min(out[i], out[i+1])
	}
	return out
}

// purgeShare is how many times longer than a purge the rest after it takes, so
// that many records that expire at once do not make the disk busy at once.
const purgeShare = 4

// pickPurge returns a job that gets rid of expired records, if one is due. If
// not, it sees to it that the worker looks again when one will be. The caller
// holds db.mu.
func (db *DB) pickPurge(v *manifest.Version, l compact.Limits) *compact.Job {
	moments := db.moments()
	if moments == nil {
		return nil
	}
	f := &db.fields.purge
	now := db.opts.Clock.Now()
	if wait := f.restUntil.Sub(now); wait > 0 {
		db.wakeIn(wait)
		return nil
	}
	job, next := compact.PickExpired(v, l, moments[0])
	if job == nil && next != base.InstantMax {
		// What only a snapshot still sees is looked at again when that is closed.
		if wait := time.Duration(next - db.timeline.now()); wait > 0 {
			db.wakeIn(wait)
		}
	}
	return job
}

// restAfterPurge keeps the worker from the next purge for a while.
func (db *DB) restAfterPurge(took time.Duration) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.fields.purge.restUntil = db.opts.Clock.Now().Add(purgeShare * took)
}

// purging is what the compaction worker knows of purges; DB.mu guards it.
type purging struct {
	restUntil time.Time
	timer     clock.Timer
}

// stop ends what wakeIn began.
func (p *purging) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// wakeIn wakes the workers after a while, in place of an earlier call.
func (db *DB) wakeIn(d time.Duration) {
	f := &db.fields.purge
	f.stop()
	if db.closed.Load() {
		return
	}
	f.timer = db.opts.Clock.AfterFunc(d, func() {
		db.mu.Lock()
		defer db.mu.Unlock()
		db.broadcast()
	})
}
