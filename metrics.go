package lightning

import (
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/view"
)

// Metrics is a picture of the database at one moment. Totals count from Open.
type Metrics struct {
	// VisibleSeq is the newest write that readers see; DurableSeq the newest
	// such that all up to it is on stable storage.
	VisibleSeq, DurableSeq uint64

	Levels       []LevelMetrics // index 0 is level 0
	Blobs        BlobMetrics
	Memory       MemoryMetrics
	Cache        CacheMetrics
	Log          LogMetrics
	LogArchive   LogArchiveMetrics
	Flushes      WorkMetrics
	Compactions  CompactionMetrics
	Transactions TransactionMetrics
	Handles      HandleMetrics
	Files        FileMetrics
	Reads        ReadMetrics
	Events       EventMetrics
	Operations   OperationMetrics
	Scrub        ScrubMetrics
	Parity       ParityMetrics
	Health       HealthMetrics

	// Vectors are the instructions of the processor that searches in blocks use, such as
	// "AVX2"; "" where it has none that would be faster, or LIGHTNING_SIMD=off is in the
	// environment of the process.
	Vectors string
}

// LevelMetrics describes one level of the tree.
type LevelMetrics struct {
	Files      int
	SizeBytes  uint64
	Records    uint64 // versions, tombstones included
	Tombstones uint64
	Expiring   uint64 // records that expire, or have and are not purged yet
}

// BlobMetrics describes the tables of values that are kept apart from their keys: see
// TreeOptions.BlobBytes.
type BlobMetrics struct {
	Files     int
	SizeBytes uint64
	RawBytes  uint64 // of the values in them, before compression
	LiveBytes uint64 // of the values that tables of the tree have there; the rest is garbage
}

// MemoryMetrics says where the memory budget goes.
type MemoryMetrics struct {
	BudgetBytes      int64
	OffHeapBytes     int64            // in use outside the Go heap, all owners
	OwnerBytes       map[string]int64 // the same by owner
	MemtableBytes    int64            // used by data that is not in files yet
	MemtablesWaiting int64            // full ones whose flush is due or running
	// HugePageBytes is how much of the memory of the whole process the kernel provides in
	// huge pages, which the database asks for; -1 where it does not tell (Linux does).
	HugePageBytes int64
}

// CacheMetrics describes the block cache.
type CacheMetrics struct {
	CapacityBytes, UsedBytes int64
	Blocks                   int
	Misses, Evictions        uint64
	Uncached                 uint64 // misses whose block found no room
}

// FileMetrics describes the tables that are open: see TreeOptions.OpenFiles.
type FileMetrics struct {
	Open int
	Max  int // fewer than the option says since the process could open no more
}

// ReadMetrics says how reads were done that belong together, as those of a MultiGet do,
// and so were under way at once.
type ReadMetrics struct {
	// NoIOUring says why io_uring is not used; empty if it is.
	NoIOUring string
	// ByIOUring reads were done by it, ByPread by goroutines: because it is not used, or
	// could not do them.
	ByIOUring, ByPread uint64
}

// ScrubMetrics tell of scrubs: see ScrubOptions.
type ScrubMetrics struct {
	Running               bool
	ReadBytes, TotalBytes int64 // of the one that is running
	Runs                  int64 // that came to their end
	// Of the last one that came to its end.
	Ended  time.Time
	Took   time.Duration
	Damage int // places
}

// ParityMetrics tell what parity has made good since Open: see Options.ParityPercent.
type ParityMetrics struct {
	LostSectors int64 // of 4 KiB, that could not be read or were not what was written
	HealedFiles int64 // that were rewritten
	Failures    int64 // to rewrite one
	// Unhealed is how many files with lost sectors there are at the moment: they wait to be
	// rewritten, or cannot be.
	Unhealed int
}

// EventMetrics describes the calls of Options.EventListener.
type EventMetrics struct {
	Dropped uint64 // events that it was not told of, because too many waited for it
	Panics  uint64 // calls that have panicked
}

// LogMetrics describes the write-ahead log.
type LogMetrics struct {
	WrittenBytes int64
	Files        int64
	// TornBytes were dropped at Open because a crash had left them unfinished.
	TornBytes int64
}

// LogArchiveMetrics describes what DB.Changes can deliver.
type LogArchiveMetrics struct {
	// Segments of the log are kept although the database does not need them.
	Segments int
	// Transactions that were too large for memory are kept as tables, some of which
	// the database may still need as well.
	Transactions int
	// SizeBytes is the size of both on the disk.
	SizeBytes int64
	// OldestSeq is the first write that DB.Changes can begin at. A read-only
	// database looks for it when it is first asked for changes.
	OldestSeq uint64
	Feeds     int // loops over DB.Changes that are running
	// ArchivedSeq is the newest write that DB.Archive has stored, which Metrics.VisibleSeq is ahead of; 0 where
	// it is not under way.
	ArchivedSeq uint64
}

// WorkMetrics counts jobs of one kind.
type WorkMetrics struct {
	Count        int64
	WrittenBytes int64
	Time         time.Duration
}

// CompactionMetrics counts compactions.
type CompactionMetrics struct {
	WorkMetrics
	Moves          int64 // files that changed level without being rewritten
	ReadBytes      int64
	DebtBytes      uint64 // estimate of what is still to be written, also to give back what was deleted
	RecordsMerged  int64  // by flushes too
	RecordsDropped int64
	RecordsExpired int64 // purged, by flushes too; some leave a tombstone
}

// TransactionMetrics counts transactions that had something to write and came to
// their commit.
type TransactionMetrics struct {
	Commits   int64
	Conflicts int64 // commits refused with ErrConflict, retried ones included
}

// AbortRate returns the share of the commits that were refused with ErrConflict,
// 0 to 1; 0 before the first one.
func (m TransactionMetrics) AbortRate() float64 {
	if m.Conflicts == 0 {
		return 0
	}
	return float64(m.Conflicts) / float64(m.Commits+m.Conflicts)
}

// HandleMetrics counts the handles that are open, and what became of others.
type HandleMetrics struct {
	Iterators, Snapshots, Transactions int
	OldestAge                          time.Duration // of those that are open
	// OldestSeq is the oldest write that one of them sees as the newest: what was overwritten
	// or deleted since then is kept for it. Where it pins nothing it is VisibleSeq.
	OldestSeq uint64
	// Forgotten were not closed before the program lost them, and were closed by the garbage
	// collector; Expired were open for longer than Options.HandleAge.
	Forgotten, Expired HandleCounts
}

// HandleCounts counts handles since Open.
type HandleCounts struct{ Iterators, Snapshots, Transactions, BulkLoaders int }

// Total returns their sum.
func (c HandleCounts) Total() int { return c.Iterators + c.Snapshots + c.Transactions + c.BulkLoaders }

// HealthMetrics tells what is wrong, if anything is.
type HealthMetrics struct {
	// WriteErr is the failure since which writes are refused.
	WriteErr error
	// BackgroundErr is the error of the last flush, compaction or preparation
	// of a log segment, until one succeeds.
	BackgroundErr error
	// ReserveBytes is the size of the file that holds space for a full disk.
	// ReserveErr says why it has less than it should. Where that matches ErrNoSpace,
	// the disk is full: writes that add data are refused with ErrNoSpace until the
	// space is there again. For other reasons they go on.
	ReserveBytes int64
	ReserveErr   error
	// QuarantinedFiles are damaged files that compactions leave alone.
	QuarantinedFiles int
	// UnreadableFiles are tables whose file could not be opened when it was last
	// needed; ReadErr is what was wrong with one of them. It matches ErrCorrupted
	// where the file is missing or another one. Each read that needs such a table
	// tries again, so that what was set right, such as permissions, needs no new
	// Open.
	UnreadableFiles int
	ReadErr         error
	// StallTime is how long commits waited for flushes and compactions.
	StallTime time.Duration
}

// WriteAmplification returns the bytes written to files and log for each byte
// written to the log since Open; 0 before the first write.
func (m Metrics) WriteAmplification() float64 {
	if m.Log.WrittenBytes == 0 {
		return 0
	}
	written := m.Log.WrittenBytes + m.Flushes.WrittenBytes + m.Compactions.WrittenBytes
	return float64(written) / float64(m.Log.WrittenBytes)
}

// DiskBytes returns the size of all live tables, those of large values included.
func (m Metrics) DiskBytes() uint64 {
	n := m.Blobs.SizeBytes
	for _, l := range m.Levels {
		n += l.SizeBytes
	}
	return n
}

// newMetrics translates the figures of the engine.
func newMetrics(e engine.Metrics, budgetBytes int64) Metrics {
	if e.MemoryByOwner == nil { // the database is closed
		return Metrics{}
	}
	m := Metrics{
		Vectors:    e.Vectors,
		VisibleSeq: uint64(e.VisibleSeq),
		DurableSeq: uint64(e.DurableSeq),
		Memory: MemoryMetrics{
			BudgetBytes:      budgetBytes,
			OffHeapBytes:     e.OffHeapBytes,
			OwnerBytes:       e.MemoryByOwner,
			MemtableBytes:    e.MemtableBytes,
			MemtablesWaiting: e.MemtablesWaiting,
			HugePageBytes:    e.HugePageBytes,
		},
		Blobs: BlobMetrics(e.Blobs),
		Cache: cacheMetrics(&e),
		Log:   LogMetrics{WrittenBytes: e.LogBytes, Files: e.LogFiles, TornBytes: e.TornBytes},
		LogArchive: LogArchiveMetrics{
			Segments:     e.Archive.Segments,
			Transactions: e.Archive.Ingests,
			SizeBytes:    e.Archive.SizeBytes,
			OldestSeq:    uint64(e.Archive.OldestSeq),
			Feeds:        e.Archive.Feeds,
			ArchivedSeq:  uint64(e.Archive.CopiedSeq),
		},
		Events:  EventMetrics{Dropped: e.EventsDropped, Panics: e.EventPanics},
		Flushes: WorkMetrics{Count: e.Flushes, WrittenBytes: e.FlushBytes, Time: e.FlushTime},
		Compactions: CompactionMetrics{
			WorkMetrics:    WorkMetrics{e.Compactions, e.CompactionWritten, e.CompactionTime},
			Moves:          e.Moves,
			ReadBytes:      e.CompactionRead,
			DebtBytes:      e.CompactionDebt,
			RecordsMerged:  e.RecordsMerged,
			RecordsDropped: e.RecordsDropped,
			RecordsExpired: e.RecordsExpired,
		},
		Transactions: TransactionMetrics{Commits: e.TxCommits, Conflicts: e.TxConflicts},
		Handles:      newHandleMetrics(e.Handles, e.VisibleSeq),
		Files:        FileMetrics{Open: e.OpenFiles, Max: e.OpenFilesMax},
		Reads:        newReadMetrics(&e),
		Operations:   newOperationMetrics(&e),
		Scrub:        ScrubMetrics(e.Scrub),
		Parity:       ParityMetrics(e.Heal),
		Health:       newHealthMetrics(&e),
	}
	for _, l := range e.Levels {
		m.Levels = append(m.Levels, LevelMetrics{l.Files, l.Bytes, l.Records, l.Deletes, l.Expiring})
	}
	return m
}

func newHandleMetrics(h view.Handles, visible base.SeqNum) HandleMetrics {
	counts := func(c view.HandleCounts) HandleCounts {
		return HandleCounts{c[view.KindIterator], c[view.KindSnapshot], c[view.KindTransaction], c[view.KindLoader]}
	}
	open := counts(h.Open)
	m := HandleMetrics{
		Iterators: open.Iterators, Snapshots: open.Snapshots, Transactions: open.Transactions,
		OldestSeq: uint64(visible), Forgotten: counts(h.Forgotten), Expired: counts(h.Expired),
	}
	if !h.Oldest.IsZero() {
		m.OldestAge = clock.System.Now().Sub(h.Oldest)
	}
	if h.Pinning {
		m.OldestSeq = uint64(min(h.Seq, visible))
	}
	return m
}

func newReadMetrics(e *engine.Metrics) ReadMetrics {
	m := ReadMetrics{ByIOUring: e.Reads.ByRing, ByPread: e.Reads.ByPread}
	if e.Reads.Refused != nil {
		m.NoIOUring = e.Reads.Refused.Error()
	}
	return m
}

func newHealthMetrics(e *engine.Metrics) HealthMetrics {
	return HealthMetrics{
		WriteErr:         e.WriteErr,
		BackgroundErr:    e.BackgroundErr,
		ReserveBytes:     e.ReserveBytes,
		ReserveErr:       e.ReserveErr,
		QuarantinedFiles: e.QuarantinedFiles,
		UnreadableFiles:  e.UnreadableFiles,
		ReadErr:          e.ReadErr,
		StallTime:        e.StallTime,
	}
}

func cacheMetrics(e *engine.Metrics) CacheMetrics {
	return CacheMetrics{
		CapacityBytes: e.Cache.CapacityBytes,
		UsedBytes:     e.Cache.UsedBytes,
		Blocks:        e.Cache.Frames,
		Misses:        e.Cache.Misses,
		Evictions:     e.Cache.Evictions,
		Uncached:      e.Cache.Refusals,
	}
}
