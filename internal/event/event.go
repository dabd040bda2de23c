// Package event is where the database says what happens to it. Every room that
// has something to tell does it here, with the facts as they are; what becomes of
// them is decided in this place alone: they go to a log/slog handler, and to a Listener.
package event

import (
	"context"
	"errors"
	"log/slog"

	"github.com/lightningdb/lightning/internal/base"
)

// Sink takes events. It is safe for concurrent use. Its methods may be called
// with locks held, so a handler must not call the database. A Listener may.
type Sink struct {
	log     *slog.Logger
	teller  *teller // nil: there is no listener
	damages damages
}

// NewSink returns a sink that writes to a logger, and tells a listener if it is not nil.
func NewSink(log *slog.Logger, listener *Listener) *Sink {
	s := &Sink{log: log}
	if listener != nil {
		told := *listener
		s.teller = &teller{listener: &told, panicked: func(what any, stack []byte) {
			log.Error("event listener panicked", "value", what, "stack", string(stack))
		}}
	}
	return s
}

// Told returns how many events a listener was not told of, being too slow, and how many of its
// calls have panicked.
func (s *Sink) Told() (dropped, panics uint64) {
	if s.teller == nil {
		return 0, 0
	}
	s.teller.mu.Lock()
	defer s.teller.mu.Unlock()
	return s.teller.dropped, s.teller.panics
}

// tellCorruption tells the listener of damage, if err is such and it was not told before.
func tellCorruption(s *Sink, file string, err error) {
	var damage *base.CorruptionError
	if s.teller != nil && errors.As(err, &damage) && s.damages.isNew(damage) {
		tell(s.teller, func(l *Listener) func(CorruptionInfo) { return l.Corruption }, CorruptionInfo{File: file, Err: damage})
	}
}

// Damaged says that somebody has met a damaged place of a file. He has the error as well.
func (s *Sink) Damaged(err *base.CorruptionError) { tellCorruption(s, err.File, err) }

// SectorLost tells s that a sector of a file cannot be read, or is not what was written, and that
// parity makes it good.
func SectorLost(s *Sink, err *base.CorruptionError) {
	s.log.Warn("a sector is lost, and made good by parity", "file", err.File, "offset", err.Offset, "err", err)
}

// Healed tells s that a file was rewritten of whose sectors some were lost, or could not be.
func Healed(s *Sink, info HealInfo) {
	if info.Err == nil {
		s.log.Info("healed", "file", info.File, "sectors", info.Sectors)
	} else {
		s.log.Error("cannot heal a file", "file", info.File, "err", info.Err)
	}
	tell(s.teller, func(l *Listener) func(HealInfo) { return l.Healed }, info)
}

// ScrubEnded tells s what a scrub has found.
func ScrubEnded(s *Sink, info ScrubInfo) {
	for _, damage := range info.Damage {
		s.log.Error("scrub has found damage", "file", damage.File, "err", damage)
		tellCorruption(s, damage.File, damage)
	}
	s.log.Info("scrubbed", "files", info.Files, "bytes", info.ReadBytes, "damage", len(info.Damage), "took", info.Took)
	tell(s.teller, func(l *Listener) func(ScrubInfo) { return l.ScrubEnd }, info)
}

// HandleForgotten tells s of a handle that was not closed and that nobody can reach any more.
func HandleForgotten(s *Sink, info HandleInfo) {
	s.log.Warn("a handle was forgotten, and is closed now", "kind", info.Kind, "age", info.Age, "stack", info.Stack)
	tell(s.teller, func(l *Listener) func(HandleInfo) { return l.HandleForgotten }, info)
}

// HandleExpired tells s of a handle that was open for too long.
func HandleExpired(s *Sink, info HandleInfo) {
	s.log.Warn("a handle has expired", "kind", info.Kind, "age", info.Age, "stack", info.Stack)
	tell(s.teller, func(l *Listener) func(HandleInfo) { return l.HandleExpired }, info)
}

// OpenProgress says how much of the log an Open has read.
func (s *Sink) OpenProgress(info OpenInfo) {
	tell(s.teller, func(l *Listener) func(OpenInfo) { return l.OpenProgress }, info)
}

// StallBegan says that commits are made to wait.
func (s *Sink) StallBegan(info StallInfo) {
	s.log.Warn("commits wait for background work", "reason", info.Reason)
	tell(s.teller, func(l *Listener) func(StallInfo) { return l.StallBegin }, info)
}

// StallEnded says that commits do not wait any more.
func (s *Sink) StallEnded(info StallInfo) {
	s.log.Info("commits go on", "reason", info.Reason, "took", info.Took, "waited", info.Waited)
	tell(s.teller, func(l *Listener) func(StallInfo) { return l.StallEnd }, info)
}

// LogRotated says that the log goes on in another file.
func (s *Sink) LogRotated(file string) {
	tell(s.teller, func(l *Listener) func(LogInfo) { return l.LogRotated }, LogInfo{File: file})
}

// TableCreated says that there is a table more.
func (s *Sink) TableCreated(info TableInfo) {
	tell(s.teller, func(l *Listener) func(TableInfo) { return l.TableCreated }, info)
}

// TableDeleted says that the file of a table is gone.
func (s *Sink) TableDeleted(info TableInfo) {
	tell(s.teller, func(l *Listener) func(TableInfo) { return l.TableDeleted }, info)
}

// WritesRefused says that the database refuses writes from now on, because one to
// cause (log, manifest, directory) has failed.
func (s *Sink) WritesRefused(cause string, err error) {
	s.log.Error("database refuses writes", "cause", cause, "err", err)
	tell(s.teller, func(l *Listener) func(FailureInfo) { return l.WritesRefused }, FailureInfo{What: cause, Err: err})
}

// BackgroundFailed says that a background job has failed; it will be tried again.
// A job that was cancelled has not failed.
func (s *Sink) BackgroundFailed(job string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.log.Error("background work failed", "job", job, "err", err)
	tell(s.teller, func(l *Listener) func(FailureInfo) { return l.BackgroundError }, FailureInfo{What: job, Err: err})
	tellCorruption(s, job, err)
}

// SliceWritten says that a user has written into memory that was lent to him.
func (s *Sink) SliceWritten(err error) { s.log.Error("slice was written to", "err", err) }

// MemoryOverwritten says that a record in memory is not what was written, most likely
// because a user has written into memory that was lent to him. It is taken from the
// log.
func (s *Sink) MemoryOverwritten(err error) {
	s.log.Error("memory of the database was overwritten; see Options.Debug.CheckSlices", "err", err)
}

// FlushBegan says that memtables are on their way to tables of level 0.
func (s *Sink) FlushBegan(info FlushInfo) {
	tell(s.teller, func(l *Listener) func(FlushInfo) { return l.FlushBegin }, info)
}

// FlushEnded says how that has ended. What has failed is told by BackgroundFailed as well.
func (s *Sink) FlushEnded(info FlushInfo) {
	if info.Err == nil {
		s.log.Info("flushed", "memtables", info.Memtables, "tables", info.Tables, "took", info.Took)
	}
	tell(s.teller, func(l *Listener) func(FlushInfo) { return l.FlushEnd }, info)
}

// CompactionBegan says that a compaction has begun.
func (s *Sink) CompactionBegan(info CompactionInfo) {
	tell(s.teller, func(l *Listener) func(CompactionInfo) { return l.CompactionBegin }, info)
}

// CompactionEnded says how it has ended. What has failed is told by BackgroundFailed as well.
func (s *Sink) CompactionEnded(info CompactionInfo) {
	if info.Err == nil {
		s.log.Info("compacted", "from", info.From, "to", info.To, "move", info.Move,
			"bytes", info.InputBytes, "tables", info.Tables, "took", info.Took)
	}
	tell(s.teller, func(l *Listener) func(CompactionInfo) { return l.CompactionEnd }, info)
}

// Ingested says that a transaction was committed past the log.
func (s *Sink) Ingested(files int, rawBytes uint64) {
	s.log.Info("committed past the log", "files", files, "bytes", rawBytes)
}

// TornLog says that recovery has dropped the end of the log.
func (s *Sink) TornLog(file string, sizeBytes int64) {
	s.log.Warn("dropped the torn end of the log", "file", file, "bytes", sizeBytes)
}

// OrphanRemoved says that recovery has deleted a file that a crash had left.
func (s *Sink) OrphanRemoved(file string) { s.log.Info("removed orphan", "file", file) }

// TableUnreadable says that the file of a table cannot be opened. It is tried again
// whenever somebody needs the table.
func (s *Sink) TableUnreadable(file string, err error) {
	s.log.Error("a table cannot be opened", "file", file, "err", err)
	tellCorruption(s, file, err)
}

// CleanupFailed says that a file could not be closed or deleted. The next open
// tries again.
func (s *Sink) CleanupFailed(file string, err error) {
	s.log.Warn("clean-up failed", "file", file, "err", err)
}

// MemoryShared says that the cache of hot records has another size now: its memory went to
// blocks, or came from there.
func (s *Sink) MemoryShared(beforeBytes, nowBytes int64) {
	s.log.Info("moved memory between records and blocks", "records_before", beforeBytes, "records", nowBytes)
}

// CacheLeaked says that the block cache was closed while blocks were in use.
func (s *Sink) CacheLeaked(sizeBytes int64) {
	s.log.Error("block cache closed with blocks in use", "bytes", sizeBytes)
}

// ReadsWithoutRing says why the kernel does not do batches of reads as one call. They are
// done all the same, but slower.
func (s *Sink) ReadsWithoutRing(err error) {
	s.log.Info("reads go without io_uring", "err", err)
}

// ArchiveFailed says that a log segment that is to be kept could not be archived.
func (s *Sink) ArchiveFailed(file string, err error) {
	s.log.Error("archive a log segment", "file", file, "err", err)
}

// ArchiveDamaged says that an archived log segment cannot be read as a whole.
func (s *Sink) ArchiveDamaged(file string, err error) {
	s.log.Error("an archived log segment is damaged", "file", file, "err", err)
	tellCorruption(s, file, err)
}

// ArchiveGivenUp says that archived log segments, and large transactions, went for a
// disk that is full, and with what number changes begin now.
func (s *Sink) ArchiveGivenUp(segments, transactions int, oldest base.SeqNum) {
	s.log.Warn("the disk is full: a part of the log archive is given up",
		"segments", segments, "transactions", transactions, "oldest", oldest)
}

// ReserveGivenUp says that the disk is full and the space that was held for that is
// in use: until ReserveTaken, writes that add data are refused.
func (s *Sink) ReserveGivenUp(sizeBytes int64, err error) {
	s.log.Warn("the disk is full: the reserve is given up, only deletes are accepted", "bytes", sizeBytes, "err", err)
	tell(s.teller, func(l *Listener) func(DiskInfo) { return l.DiskFull }, DiskInfo{ReserveBytes: sizeBytes, Err: err})
}

// ReserveTaken says that the reserve has its space again, and all writes go on.
func (s *Sink) ReserveTaken(sizeBytes int64) {
	s.log.Info("the reserve for a full disk is there again", "bytes", sizeBytes)
	tell(s.teller, func(l *Listener) func(DiskInfo) { return l.DiskFree }, DiskInfo{ReserveBytes: sizeBytes})
}

// ReserveMissing says that no space, or not enough, can be held in reserve. It is
// tried again. For lack of space, writes that add data are refused meanwhile.
func (s *Sink) ReserveMissing(err error) {
	s.log.Warn("no reserve for a full disk", "err", err)
}
