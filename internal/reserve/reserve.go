// Package reserve holds space on the disk for the time when it is full: a file that
// takes space and is cut off then. What that sets free is for the work that brings
// space back: opening, flushes, deletes, compactions. What adds data is refused until
// the reserve has its space again.
package reserve

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/vfs"
)

// Name is that of the file, in the directory of the database.
const Name = "RESERVE"

const (
	// fixedBytes is what opening takes beside tables: two log segments, a manifest.
	fixedBytes = 1 << 20
	// leastCoverBytes is the least that is reserved for tables.
	leastCoverBytes = 1 << 20
	// growth is by how much more than needed the file grows, as a share.
	growth = 2
	// treeShare and diskShare are the parts of the tree, and of the free space, that
	// the file may have: a small database has a small reserve, and so has a small
	// disk.
	treeShare, diskShare = 8, 16
	// leaveBytes is what compactions leave for the log and the manifest.
	leaveBytes = 512 << 10
	// deleteShare is the part of the free space that deletes may fill on a full
	// disk before they are flushed: log and table take it twice.
	deleteShare = 2
)

// ErrFull is what a write that adds data gets while the disk is full.
var ErrFull = fmt.Errorf("the disk is full, and only deletes are accepted until there is space: %w", vfs.ErrNoSpace)

// Config is what a Reserve works with.
type Config struct {
	FS      vfs.FS
	Dir     string
	Events  *event.Sink
	Changed *signal.Changes // told when the disk is full, and when it is no longer
	Needs   func() Needs
	// MakeSpace gives up what the database can do without, some time soon, where an
	// error says that the disk is full.
	MakeSpace func(err error)

	MemtableBytes int64
	ReadOnly      bool // Find only looks
}

// Needs is what there is that may have to be written when the disk is full.
type Needs struct {
	UnflushedBytes int64 // what is in memory, as tables
	TreeBytes      int64
	TableBytes     int64 // what the next tables aim at
	LargestBytes   int64 // of the tree's tables
}

// Reserve is the reserve of one database. It covers what is in memory, so that a
// replay of the log can write tables of it, and the largest table, so that a
// compaction can write one before it deletes one.
//
// All methods are safe for concurrent use. The lock is held while the file is
// written; Admit, Full, CoveredBytes, HeldBytes and Err take none.
type Reserve struct {
	cfg     Config
	outcome health.Outcome // why it has not the space that it should have

	full    atomic.Bool  // what adds data is refused
	unsure  atomic.Bool  // given up by a flush: it may be there again at once
	starved atomic.Bool  // a compaction has more to do than there is space for
	covered atomic.Int64 // see CoveredBytes
	spends  atomic.Int64 // how often it was given up
	users   atomic.Int64 // who is using the space that it has set free

	mu   ranked.Mutex[ranked.Reserve]
	file file
}

// New returns a reserve that holds nothing: Find and Take come next.
func New(cfg Config) *Reserve {
	return &Reserve{cfg: cfg, file: file{fs: cfg.FS, dir: cfg.Dir, readOnly: cfg.ReadOnly}}
}

// Full reports whether the reserve was given up, or could not be taken, because the
// disk is full.
func (r *Reserve) Full() bool { return r.full.Load() }

// HeldBytes returns how much is held.
func (r *Reserve) HeldBytes() int64 { return r.file.heldBytes.Load() }

// CoveredBytes returns how much may be in memory and not in tables yet.
func (r *Reserve) CoveredBytes() int64 { return r.covered.Load() }

// Err returns why less is held than should be, or nil.
func (r *Reserve) Err() error { return r.outcome.Err() }

// Missing reports whether less is held than should be.
func (r *Reserve) Missing() bool { return r.Full() || r.Err() != nil }

// InUse reports whether somebody is using the space that the reserve has set free.
func (r *Reserve) InUse() bool { return r.users.Load() > 0 }

// Starved notes whether a compaction that would bring space has not enough of it. As
// long as that is so, Take leaves the reserve to it.
func (r *Reserve) Starved(is bool) { r.starved.Store(is) }

// Settled reports whether Admit will say the same for a while: otherwise a flush is
// using what the reserve has set free, and Take comes next.
func (r *Reserve) Settled() bool { return !r.unsure.Load() }

// Admit returns ErrFull while the disk is full.
func (r *Reserve) Admit() error {
	if r.full.Load() {
		return ErrFull
	}
	return nil
}

// TableBytes returns how large a table may become, limitBytes at most, so that it can
// be rewritten on a full disk.
func (r *Reserve) TableBytes(limitBytes int64) int64 {
	if r.unusable() {
		return limitBytes
	}
	return min(limitBytes, max(r.HeldBytes()-fixedBytes, r.leastCover()))
}

// FreeBytes is the space that is free on the disk.
func (r *Reserve) FreeBytes() int64 { return r.file.freeBytes() }

// SpareFor returns what a compaction of sizeBytes has to ask before each table: nothing
// where it takes no more than half of the free space.
func (r *Reserve) SpareFor(sizeBytes int64) func() error {
	if 2*sizeBytes <= r.file.freeBytes() {
		return nil
	}
	return r.Spare
}

// Spare returns an error that matches vfs.ErrNoSpace where a compaction must not write
// another table: flushes are to have the space that is left.
func (r *Reserve) Spare() error {
	leave := int64(leaveBytes)
	if !r.Full() {
		// For this table, and for a flush of what is in memory.
		leave += 2 * max(r.HeldBytes()-fixedBytes, 0)
	}
	if free := r.file.freeBytes(); free < leave {
		return fmt.Errorf("another table would leave too little of %d bytes: %w", free, vfs.ErrNoSpace)
	}
	return nil
}

func (r *Reserve) leastCover() int64 { return min(leastCoverBytes, r.cfg.MemtableBytes) }

// unusable reports whether there is no reserve for another reason than space: the
// database works without, then.
func (r *Reserve) unusable() bool {
	err := r.Err()
	return err != nil && !errors.Is(err, vfs.ErrNoSpace)
}

// Find takes up what an earlier opener has left, before anything is written. That it
// cannot is no error: Take says so.
func (r *Reserve) Find() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.file.find()
}

// Take makes the reserve as large as it should be, or as the disk allows but not less
// than is needed, unless somebody is using the space. Where it cannot for lack of
// space, the disk is full; for other reasons the database goes on without.
func (r *Reserve) Take() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.InUse() {
		return
	}
	err := r.Err()
	if !r.starved.Load() || !r.Full() {
		err = r.take()
	}
	r.cfg.MakeSpace(err)
	if errors.Is(err, vfs.ErrNoSpace) && r.HeldBytes() > 0 {
		_ = r.file.cut(0) // too little is of more use to deletes
	}
	before := r.outcome.Err()
	r.outcome.Set(err)
	wasFull := r.full.Swap(errors.Is(err, vfs.ErrNoSpace))
	wasUnsure := r.unsure.Swap(false)
	r.settle()
	switch {
	case err == nil && (wasFull || before != nil):
		r.cfg.Events.ReserveTaken(r.HeldBytes())
	case err != nil && before == nil && !wasFull:
		r.cfg.Events.ReserveMissing(err)
	}
	if wasFull != r.Full() || wasUnsure {
		r.cfg.Changed.Notify()
	}
}

func (r *Reserve) take() error {
	if err := r.file.open(); err != nil {
		return err
	}
	n := r.cfg.Needs()
	least := fixedBytes + max(r.leastCover(), n.UnflushedBytes, n.LargestBytes)
	if wanted := max(least, r.wanted(n)); wanted > r.HeldBytes() {
		err := r.file.grow(wanted)
		if err != nil && r.HeldBytes() < least && wanted > least {
			err = r.file.grow(least)
		}
		if err != nil && r.HeldBytes() < least {
			return err
		}
	}
	return nil
}

// wanted is how large the reserve should be where the disk has space.
func (r *Reserve) wanted(n Needs) int64 {
	cover := max(n.UnflushedBytes+n.UnflushedBytes/growth, min(n.TableBytes, n.TreeBytes/treeShare))
	return min(fixedBytes+cover, (r.HeldBytes()+r.file.freeBytes())/diskShare)
}

// Cover makes the reserve larger, if it can, for extraBytes that come into memory. It
// takes a modest part of the disk only, unless they must be covered whatever that
// takes.
func (r *Reserve) Cover(extraBytes int64, must bool) {
	if r.unusable() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.full.Load() {
		r.adapt(extraBytes, must)
	}
	r.settle()
}

// adapt is Cover for a disk that is not full.
func (r *Reserve) adapt(extraBytes int64, must bool) {
	n := r.cfg.Needs()
	n.UnflushedBytes += extraBytes
	size := max(fixedBytes+max(r.leastCover(), n.LargestBytes), r.wanted(n))
	if must {
		size = max(size, fixedBytes+n.UnflushedBytes)
	}
	err := error(nil)
	switch held := r.HeldBytes(); {
	case r.file.f == nil:
		return
	case size > held:
		err = r.file.grow(size)
	case size < held/2:
		err = r.file.cut(size)
	}
	r.cfg.MakeSpace(err)
	if err != nil && !errors.Is(err, vfs.ErrNoSpace) {
		r.outcome.Set(err)
		r.cfg.Events.ReserveMissing(err)
	}
}

// settle brings what is covered up to date. Called with the lock.
func (r *Reserve) settle() {
	covered := max(r.HeldBytes()-fixedBytes, 0)
	switch {
	case r.full.Load():
		covered = r.file.freeBytes() / deleteShare
	case r.unusable():
		covered = math.MaxInt64
	}
	r.covered.Store(covered)
}

// Try runs do, and once more where it failed because the disk is full and the reserve
// was given up. needBytes is the least that do takes, 0 where that is not known: if
// all there is is not enough, nothing is given up.
func (r *Reserve) Try(needBytes int64, do func() error) error {
	before := r.spends.Load()
	err := r.use(do)
	if !errors.Is(err, vfs.ErrNoSpace) {
		return err
	}
	r.users.Add(1)
	defer r.leave()
	if needBytes <= r.HeldBytes()+r.file.freeBytes() {
		r.spend(err, needBytes == 0)
	}
	if r.spends.Load() == before {
		return err
	}
	return do()
}

// use runs do, and keeps Take from the space that it needs on a full disk.
func (r *Reserve) use(do func() error) error {
	if r.full.Load() {
		r.users.Add(1)
		defer r.leave()
	}
	return do()
}

// leave ends what a user has begun.
func (r *Reserve) leave() {
	r.users.Add(-1)
	r.cfg.Changed.Notify()
}

// Spend gives up the reserve if err says that the disk is full.
func (r *Reserve) Spend(err error) { r.spend(err, false) }

func (r *Reserve) spend(err error, unsure bool) {
	if !errors.Is(err, vfs.ErrNoSpace) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	held := r.HeldBytes()
	if held == 0 || r.file.cut(0) != nil {
		return
	}
	if !r.full.Swap(true) {
		r.unsure.Store(unsure)
	}
	r.outcome.Set(err)
	r.settle()
	r.spends.Add(1)
	r.cfg.Events.ReserveGivenUp(held, err)
	r.cfg.MakeSpace(err)
	r.cfg.Changed.Notify()
}

// Close closes the file, which keeps its space.
func (r *Reserve) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.close()
}
