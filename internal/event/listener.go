package event

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lightningdb/lightning/internal/base"
)

// Listener has functions that are told what happens to a database; those that are nil are not.
// They are called one after the other, in the order in which things happened, by a goroutine of
// their own: never under a lock, and nothing of the database waits for them. They may call the
// database. While one takes its time up to 4,096 events wait; what happens then is not told, and
// counted in Metrics.Events.Dropped. One that panics is logged, and counted.
//
// Some may still be called when Close has returned.
type Listener struct {
	// OpenProgress tells how far an Open has come whose log has to be read.
	OpenProgress func(OpenInfo)
	// FlushBegin and FlushEnd enclose a flush of memtables to tables of level 0.
	FlushBegin, FlushEnd func(FlushInfo)
	// CompactionBegin and CompactionEnd enclose a compaction.
	CompactionBegin, CompactionEnd func(CompactionInfo)
	// StallBegin says that commits are made to wait for background work; StallEnd that one
	// has come through without that again.
	StallBegin, StallEnd func(StallInfo)
	// LogRotated says that the log goes on in another segment.
	LogRotated func(LogInfo)
	// TableCreated and TableDeleted tell of files of tables, those of large values among them.
	TableCreated, TableDeleted func(TableInfo)
	// Corruption says that a file is damaged, once for each place.
	Corruption func(CorruptionInfo)
	// Healed says that a damaged file was rewritten from its parity, or could not be: see
	// Options.ParityPercent.
	Healed func(HealInfo)
	// DiskFull says that the disk is full, so that only deletes are accepted, and DiskFree that
	// all writes are again.
	DiskFull, DiskFree func(DiskInfo)
	// WritesRefused says that no write is accepted any more, until the database is opened again.
	WritesRefused func(FailureInfo)
	// ScrubEnd says what a scrub has found: see ScrubOptions.
	ScrubEnd func(ScrubInfo)
	// HandleForgotten says that an iterator, snapshot, transaction or other handle was not closed
	// before the program lost it: it is closed now. HandleExpired says that one has been open for
	// longer than Options.HandleAge.
	HandleForgotten, HandleExpired func(HandleInfo)
	// BackgroundError says that work in the background has failed; it is tried again.
	BackgroundError func(FailureInfo)
}

// OpenInfo is how far an Open has come.
type OpenInfo struct {
	LogBytes    int64 // of the log that were replayed
	LogBytesMax int64 // that may have to be: a file of the log may end before its size
	Done        bool  // all are
}

// FlushInfo describes a flush.
type FlushInfo struct {
	Memtables int
	// These are known at the end.
	Tables int
	Took   time.Duration
	Err    error // nil: it has worked
}

// CompactionInfo describes a compaction.
type CompactionInfo struct {
	From, To   int    // levels
	Move       bool   // tables change level and are not read
	InputBytes uint64 // of the tables that are merged
	// These are known at the end.
	Tables int // that were written
	Took   time.Duration
	Err    error // nil: it has worked
}

// StallInfo describes a stall of commits.
type StallInfo struct {
	// Reason is "memtables", where full ones wait for their flush; "level 0", where it has too
	// many tables; or "log", where no segment of the log is prepared.
	Reason string
	// At the end: how long it was from the beginning, and how much of that commits have waited.
	Took, Waited time.Duration
}

// LogInfo describes a segment of the log.
type LogInfo struct {
	File string // that the log is in now
}

// TableInfo describes the file of a table.
type TableInfo struct {
	File      string
	SizeBytes uint64
	Records   uint64
}

// CorruptionInfo describes damage.
type CorruptionInfo struct {
	File string
	Err  error // a *CorruptionError
}

// HealInfo describes the healing of a file.
type HealInfo struct {
	File    string
	Sectors int   // of 4 KiB, that were lost and are there again
	Err     error // nil: it has worked
}

// DiskInfo describes the space that is held for a full disk.
type DiskInfo struct {
	ReserveBytes int64
	Err          error // of who met the full disk
}

// FailureInfo describes what has failed.
type FailureInfo struct {
	What string // for example "log", "flush" or "compaction"
	Err  error
}

// HandleInfo describes a handle.
type HandleInfo struct {
	Kind  string // "iterator", "snapshot", "transaction" or "bulk loader"
	Age   time.Duration
	Stack string // of the call that has made it; only with Options.Debug.TrackHandles
}

// ScrubInfo describes a scrub.
type ScrubInfo struct {
	Files     int
	ReadBytes int64
	Took      time.Duration
	Damage    []*base.CorruptionError // each is told as Corruption too, the first time
}

// waitingMax is how many events wait for a listener.
const waitingMax = 4096

// teller calls a listener in a goroutine that is there while there is something to tell. Its lock
// is held for moments, and no other is taken under it.
type teller struct {
	listener *Listener
	panicked func(what any, stack []byte)

	mu      sync.Mutex
	waiting []func()
	busy    bool // the goroutine runs
	dropped uint64
	panics  uint64
}

// tell has fn called with what it is told, if it is not nil.
func tell[T any](t *teller, choose func(l *Listener) func(T), info T) {
	if t == nil {
		return
	}
	fn := choose(t.listener)
	if fn == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) >= waitingMax {
		t.dropped++
		return
	}
	t.waiting = append(t.waiting, func() { fn(info) })
	if !t.busy {
		t.busy = true
		go t.run()
	}
}

// run tells what waits, until there is nothing. A function that ends the goroutine, as the FailNow
// of a test does, is as one that panics: another goroutine goes on.
func (t *teller) run() {
	ended := true
	defer func() {
		if ended {
			t.notePanic()
			go t.run()
		}
	}()
	for call := t.next(); call != nil; call = t.next() {
		t.call(call)
	}
	ended = false
}

// next takes the next call, nil if there is none.
func (t *teller) next() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.waiting, t.busy = nil, false
		return nil
	}
	call := t.waiting[0]
	t.waiting[0] = nil
	t.waiting = t.waiting[1:]
	return call
}

func (t *teller) notePanic() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.panics++
}

// call calls a function of the user, which may panic.
func (t *teller) call(fn func()) {
	defer func() {
		if what := recover(); what != nil {
			t.notePanic()
			t.panicked(what, debug.Stack())
		}
	}()
	fn()
}

// damages remembers the places whose damage was told.
type damages struct {
	mu    sync.Mutex
	known map[string]bool
}

// damagesMax is how many places are remembered: behind that all are told anew.
const damagesMax = 1024

// isNew reports whether damage is of a place that is not known, and notes it.
func (d *damages) isNew(err *base.CorruptionError) bool {
	place := fmt.Sprintf("%s %d", err.File, err.Offset)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[place] {
		return false
	}
	if d.known == nil || len(d.known) >= damagesMax {
		d.known = map[string]bool{}
	}
	d.known[place] = true
	return true
}
