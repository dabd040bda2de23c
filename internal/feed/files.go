package feed

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// This file is what an Archive does with files: archiving segments, deleting
// what retention does not allow, and finding the segments again.

// Retire takes over segments that the manifest no longer names. Those that hold
// nothing are deleted.
func (a *Archive) Retire(gone []base.FileNum) {
	now := a.cfg.Clock.Now()
	for _, n := range gone {
		if !a.retire(n, now) {
			a.cfg.Janitor.AddFile(func() { a.remove(wal.FileName(n)) })
		}
	}
	a.Keep()
}

// RetireAtOpen is Retire for segments that were just replayed: what holds nothing
// is deleted with the orphans, and Keep is called when the open is sure.
func (a *Archive) RetireAtOpen(old []base.FileNum) {
	for _, n := range old {
		a.retire(n, a.cfg.Clock.Now())
	}
}

// Keep has the janitor archive and delete what is due.
func (a *Archive) Keep() { a.cfg.Janitor.AddFile(a.keep) }

// remove deletes a file. One that cannot be deleted is taken up again by the next
// open.
func (a *Archive) remove(name string) {
	err := a.cfg.WAL.FS.Remove(filepath.Join(a.cfg.WAL.Dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.cfg.Events.CleanupFailed(name, err)
	}
}

// keep archives what is obsolete, and deletes what retention does not allow
// any more. What cannot be archived now is tried again the next time. It is a
// task of the janitor.
func (a *Archive) keep() {
	for {
		s, ok := a.nextToArchive()
		if !ok {
			break
		}
		size, err := wal.Archive(a.cfg.WAL, s.num, s.extent, s.since)
		if err == nil {
			a.noteArchived(s.num, size)
			continue
		}
		a.cfg.Events.ArchiveFailed(s.name(), err)
		if !errors.Is(err, vfs.ErrNoSpace) || !a.giveUpHalf() {
			break
		}
	}
	a.deleteAll(a.takeExpired(a.cfg.Retention, a.cfg.Clock.Now()))
	a.setTimer(a.cfg.Clock, a.cfg.Retention.Age, a.ageReached)
}

// ageReached is called by the timer. Close may be under way, after which no
// file may be touched.
func (a *Archive) ageReached() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing {
		a.Keep()
	}
}

// giveUpHalf deletes the older half of what is kept, for a disk that is full.
// It returns false when nothing is left. It is a task of the janitor.
func (a *Archive) giveUpHalf() bool {
	gone := a.takeHalf()
	segments, ingests := len(gone.segments), len(gone.ingests)
	if segments+ingests > 0 {
		a.cfg.Events.ArchiveGivenUp(segments, ingests, a.OldestSeq())
	}
	a.deleteAll(gone)
	return segments+ingests > 0
}

// MakeSpace gives up a part of what is kept where an error says that the disk is full.
func (a *Archive) MakeSpace(err error) {
	if a.cfg.Retention.Enabled() && errors.Is(err, vfs.ErrNoSpace) {
		a.cfg.Janitor.AddFile(func() { a.giveUpHalf() })
	}
}

// deleteAll deletes the files of what is off the catalogue.
func (a *Archive) deleteAll(gone removal) {
	for _, s := range gone.segments {
		a.remove(s.name())
		if !s.archived {
			a.remove(wal.ArchivedFileName(s.num)) // a copy that a crash has left
		}
	}
	for _, c := range gone.ingests {
		a.cfg.Store.ForgetKept(c.tables)
		a.cfg.Store.Unref(c.tables)
	}
}

// load finds the segments that can be read in the files of the directory:
// archived ones, and logs that no manifest names any more or that were just
// replayed. end is where the log goes on. Older segments stop where a newer one
// starts; what lies behind that was cut off by a recovery.
func (a *Archive) load(names []string, live []base.FileNum, end wal.Position) error {
	logs := map[base.FileNum]bool{}
	for _, name := range names {
		if n, ok := wal.ParseFileName(name); ok {
			logs[n] = true
		}
	}
	var found []segmentInfo
	for _, name := range names {
		// Beside the log it is a copy that a crash may have cut short: see wal.Archive.
		if n, ok := wal.ParseArchivedFileName(name); ok && !logs[n] {
			found = append(found, segmentInfo{num: n, archived: true, obsolete: true})
		}
	}
	for n := range logs {
		found = append(found, segmentInfo{num: n, obsolete: !slices.Contains(live, n)})
	}
	slices.SortFunc(found, func(a, b segmentInfo) int { return cmp.Compare(b.num, a.num) })
	var segments []segmentInfo
	var lost []lostSegment
	first := a.openedSeq + 1
	for _, s := range found {
		ok, damage, err := a.inspect(&s, end)
		if err != nil {
			return err
		}
		if damage != nil {
			a.cfg.Events.ArchiveDamaged(s.name(), damage)
			lost = append(lost, lostSegment{s, damage})
		}
		if !ok || s.extent.Start >= end || s.extent.Last >= first || s.extent.Empty() {
			continue // nothing, or cut off
		}
		s.extent.End = min(s.extent.End, end)
		end, first = s.extent.Start, s.extent.First
		segments = append(segments, s)
	}
	slices.Reverse(segments)
	slices.Reverse(lost)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.segments, a.lost = segments, lost
	return nil
}

// inspect learns what a segment holds. ok is false where that is nothing.
// What is wrong with an archived segment is no error: the database does not need
// it.
func (a *Archive) inspect(s *segmentInfo, end wal.Position) (ok bool, damage, err error) {
	if !s.archived {
		s.since = a.cfg.Clock.Now()
		s.extent, ok, err = wal.Survey(a.cfg.WAL, s.num, end)
		s.sizeBytes = int64(s.extent.End - s.extent.Start)
		return ok, nil, err
	}
	found, err := wal.ReadArchived(a.cfg.WAL, s.num)
	if _, newer := errors.AsType[*base.FormatError](err); newer {
		return false, nil, err
	}
	s.extent, s.since, s.sizeBytes = found.Extent, found.At, found.SizeBytes
	if s.since.IsZero() {
		s.since = a.cfg.Clock.Now()
	}
	return err == nil, errors.Join(err, found.Damage), nil
}

// Found is what an earlier opener left.
type Found struct {
	Names   []string                // of the files in the directory
	Live    []base.FileNum          // the segments that the manifest names
	Ingests []manifest.IngestCommit // the commits past the log that it names
	// IngestedSeq is the newest number that was committed past the log, also of what
	// the manifest does not name any more.
	IngestedSeq base.SeqNum
	End         wal.Position // where the log goes on
}

// Recover takes up what an earlier opener left.
func (a *Archive) Recover(found Found) error {
	a.openedSeq, a.end, a.live = a.cfg.VisibleSeq(), found.End, found.Live
	a.ingestedSeq.Store(uint64(found.IngestedSeq))
	for _, c := range found.Ingests {
		a.named = append(a.named, c.First)
	}
	switch {
	case a.cfg.ReadOnly:
	case !a.cfg.Retention.Enabled():
		return nil
	default:
		if err := a.load(found.Names, found.Live, found.End); err != nil {
			return err
		}
	}
	a.loadIngests(found.Ingests, found.Names)
	return nil
}

// findReadOnly looks for the segments of a read-only database, which nobody needs before
// the first feed.
func (a *Archive) findReadOnly() error {
	if !a.cfg.ReadOnly {
		return nil
	}
	names, err := a.cfg.WAL.FS.List(a.cfg.WAL.Dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", a.cfg.WAL.Dir, err)
	}
	return a.load(names, a.live, a.end)
}
