// Package event is where the database says what happens to it. Every room that
// has something to tell does it here, with the facts as they are; what becomes of
// them is decided in this place alone. Today they go to a log/slog handler.
package event

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/lightningdb/lightning/internal/base"
)

// Sink takes events. It is safe for concurrent use. Its methods may be called
// with locks held, so a handler must not call the database.
type Sink struct{ log *slog.Logger }

// NewSink returns a sink that writes to a logger.
func NewSink(log *slog.Logger) *Sink { return &Sink{log} }

// WritesRefused says that the database refuses writes from now on, because one to
// cause (log, manifest, directory) has failed.
func (s *Sink) WritesRefused(cause string, err error) {
	s.log.Error("database refuses writes", "cause", cause, "err", err)
}

// BackgroundFailed says that a background job has failed; it will be tried again.
// A job that was cancelled has not failed.
func (s *Sink) BackgroundFailed(job string, err error) {
	if !errors.Is(err, context.Canceled) {
		s.log.Error("background work failed", "job", job, "err", err)
	}
}

// SliceWritten says that a user has written into memory that was lent to him.
func (s *Sink) SliceWritten(err error) { s.log.Error("slice was written to", "err", err) }

// MemoryOverwritten says that a record in memory is not what was written, most likely
// because a user has written into memory that was lent to him. It is taken from the
// log.
func (s *Sink) MemoryOverwritten(err error) {
	s.log.Error("memory of the database was overwritten; see Options.Debug.CheckSlices", "err", err)
}

// Flushed says that memtables went to files of level 0.
func (s *Sink) Flushed(memtables, files int, took time.Duration) {
	s.log.Info("flushed", "memtables", memtables, "files", files, "took", took)
}

// Compaction describes a compaction that is done.
type Compaction struct {
	From, To   int  // levels
	Move       bool // files changed level and were not read
	InputBytes uint64
	Files      int // of the output
	Took       time.Duration
}

// Compacted says that a compaction is done.
func (s *Sink) Compacted(c Compaction) {
	s.log.Info("compacted", "from", c.From, "to", c.To, "move", c.Move,
		"bytes", c.InputBytes, "files", c.Files, "took", c.Took)
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
}

// ReserveTaken says that the reserve has its space again, and all writes go on.
func (s *Sink) ReserveTaken(sizeBytes int64) {
	s.log.Info("the reserve for a full disk is there again", "bytes", sizeBytes)
}

// ReserveMissing says that no space, or not enough, can be held in reserve. It is
// tried again. For lack of space, writes that add data are refused meanwhile.
func (s *Sink) ReserveMissing(err error) {
	s.log.Warn("no reserve for a full disk", "err", err)
}
