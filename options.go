package lightning

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/loan"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/internal/session"
	"github.com/lightningdb/lightning/vfs"
)

// Durability says what a commit waits for before it returns.
type Durability uint8

const (
	// DurabilitySync waits until the write is on stable storage. It is also published
	// to readers only then: nobody ever reads a synced write that a crash can
	// take back.
	DurabilitySync Durability = iota
	// DurabilityBuffered waits until the operating system has the write. It survives the
	// end of the process, not the loss of power.
	DurabilityBuffered
	// DurabilityAsync waits for memory only; the write reaches the operating system
	// within LogOptions.AsyncDelay. A crash loses at most the newest
	// acknowledged writes, never one from the middle.
	DurabilityAsync
)

func (d Durability) String() string {
	switch d {
	case DurabilitySync:
		return "sync"
	case DurabilityBuffered:
		return "buffered"
	case DurabilityAsync:
		return "async"
	}
	return fmt.Sprintf("durability(%d)", uint8(d))
}

// Compression chooses how data blocks are stored. Blocks that do not shrink by
// an eighth are stored as they are under every setting, and where several in a row do not,
// only some are tried. A change applies to files written from then on.
type Compression uint8

const (
	// CompressionDefault is the setting of its database for a keyspace. For a database it
	// is CompressionFast, but on the bottom level Zstandard takes the place of S2 where
	// blocks have at most two thirds of the size with it.
	CompressionDefault Compression = iota
	// CompressionNone stores blocks as they are.
	CompressionNone
	// CompressionFast compresses with S2 below level 0, which lives too shortly for it.
	CompressionFast
	// CompressionSmall compresses with Zstandard on the bottom level, where most data
	// is, and values that are kept apart from their keys, and with S2 above.
	CompressionSmall
)

func (c Compression) String() string {
	switch c {
	case CompressionDefault:
		return "default"
	case CompressionNone:
		return "none"
	case CompressionFast:
		return "fast"
	case CompressionSmall:
		return "small"
	}
	return fmt.Sprintf("compression(%d)", uint8(c))
}

// Options are the settings of a database. A nil *Options and the zero value
// of each field mean the default.
type Options struct {
	// MemoryBudget is the number of bytes for memtables, caches, filters and
	// indexes together. Default 256 MiB, at least 4 MiB.
	MemoryBudget int64
	// Durability is what a commit waits for where the call does not say.
	// Default DurabilitySync.
	Durability Durability
	// Compression of data blocks. Default CompressionDefault.
	Compression Compression
	// ReadOnly opens an existing database without changing anything in its
	// directory. Writes fail with ErrReadOnly.
	ReadOnly bool
	// MustExist makes Open fail with ErrNotDatabase where it would otherwise
	// make a new database.
	MustExist bool
	// FS is the file system that holds the database. Default vfs.OS.
	FS vfs.FS
	// Logger gets the engine's events: flushes and compactions at Info, what
	// it recovers from at Warn, what it cannot do at Error. Default: silent.
	Logger *slog.Logger
	// EventListener is told what happens, for programs that act on it; the same is in the log.
	// It is copied. Default: nobody is told.
	EventListener *EventListener
	// MergeOperators are those that keyspaces may have besides the built-in
	// ones. A database whose keyspaces need one that is not here does not open.
	MergeOperators []MergeOperator
	// Log are the settings of the write-ahead log.
	Log LogOptions
	// LogArchive says how much of the past DB.Changes can begin at, and DB.Archive store late. Default: what
	// happens to be in the log.
	LogArchive LogArchiveOptions
	// Scrub has all files verified from time to time. Default: never.
	Scrub ScrubOptions
	// HandleAge is how long an iterator, a snapshot or a transaction may be open, at least a
	// second. One that is open for longer, by up to an eighth, fails with ErrHandleExpired, and
	// the database does not keep what it sees any more; it must be closed all the same. A
	// transaction that has expired does not commit. Default: for ever.
	HandleAge time.Duration
	// ParityPercent is how much Reed-Solomon parity follows each table, those of large values
	// too, in percent of it, 1 to 50: lost sectors are made good from it when they are read,
	// as many of any 640 KiB as they have parity, and the file is rewritten in the background. It
	// takes that much more space, and two sectors for the least. Tables that are there get theirs when
	// a compaction rewrites them. Default 0: no parity.
	ParityPercent int
	// Tree are the settings of the tree of files. The defaults serve well;
	// tests use others to meet rare cases often.
	Tree TreeOptions
	// Debug are aids for finding mistakes in the use of the library.
	Debug DebugOptions
}

// LogOptions are the settings of the write-ahead log.
type LogOptions struct {
	// AsyncDelay bounds how long a DurabilityAsync commit stays in memory only.
	// Default 5 ms, at most one minute.
	AsyncDelay time.Duration
}

// LogArchiveOptions say how long the log is kept for DB.Changes after the database
// needs it no more. Zero means no bound of that sort; where both are zero nothing
// is kept, and Open deletes what an earlier opener has kept.
type LogArchiveOptions struct {
	// SizeBytes bounds the size of what is kept. Segments of the log are kept
	// and deleted as a whole, oldest first; one is about as large as a memtable
	// at most, so several times that is a sensible bound. A transaction that was
	// too large for memory is kept and deleted as a whole, too, and counts with all
	// it wrote; the newest stays until the log goes on behind it. When the disk is
	// full history is given up before that, half of it at a time.
	SizeBytes int64
	// Age is how long a segment is kept after it was finished, and such a
	// transaction after its commit.
	Age time.Duration
}

// ScrubOptions have all files read and verified in the background, as DB.Verify does, so that
// damage to what nobody reads is known while there still is a backup of it. What is found is logged,
// told to EventListener, and counted in Metrics.Scrub.
type ScrubOptions struct {
	// Every is how long after Open, and after the end of the last one, a scrub begins, at least
	// a second; 0: there is none.
	Every time.Duration
	// BytesPerSecond bounds how fast it reads. Default 8 MiB.
	BytesPerSecond int64
}

// TreeOptions are the settings of the tree of files.
type TreeOptions struct {
	// MemtableBytes is the size at which a memtable is written to a file, and so
	// are the writes of a transaction.
	// Default an eighth of the memory budget, at most 64 MiB; at least 64 KiB.
	MemtableBytes int
	// BlockBytes is the size of data blocks before compression, 256 B to
	// 1 MiB. Default 8 KiB, and 16 KiB where CompressionSmall uses Zstandard.
	BlockBytes int
	// FilterBitsPerKey is the size of the Bloom filters, 4 to 32 bits for each
	// key; negative means none. Default 12, about 0.4 % false positives.
	FilterBitsPerKey int
	// FileBytes is the size that files below level 0 aim at, at least 4 KiB. Where
	// more than 1024 of them would be needed they grow, as the square root of the
	// size of the database does, up to 16 times. Default the size of a memtable, at
	// least 2 MiB.
	FileBytes int64
	// BlobBytes is the size from which on a value is kept apart from its key: it is written
	// once, to a table for values, and compactions rewrite only where it is. Default 4 KiB, at
	// least 16 bytes; negative means never.
	BlobBytes int
	// L0Files is the number of files in level 0 that makes a compaction due,
	// 1 to 64. Default 4.
	L0Files int
	// CompactionBytesPerSecond bounds how fast compactions write to the disk, so that they
	// leave something of it to others, at least 1 MiB. Flushes and the log are not bounded.
	// Where compactions write less than they must, writes are slowed down. Default no bound.
	CompactionBytesPerSecond int64
	// OpenFiles is how many tables are kept open, at least 4; those that are read
	// are. Default a quarter of what the process may open, at least 8 and at most
	// 4096. Where the process cannot open that many, fewer are. A few files beside
	// the tables are open at all times.
	OpenFiles int
}

// DebugOptions are aids for finding mistakes.
type DebugOptions struct {
	// TrackHandles makes Close report the stacks that created the iterators and snapshots
	// that were left open, and EventListener and Logger those of handles that were forgotten
	// or have expired. It costs microseconds for each.
	TrackHandles bool
	// CheckSlices finds who writes into slices that are lent to him. All verbs that
	// lend memory lend copies then, so that nothing happens to the database, and look
	// at them when they come back: GetFunc, MultiGet, Scan, the iterators, DB.Changes
	// and the merge operators fail with a *SliceError, which has the stack of the call
	// that handed the slice out. Who has kept a slice reads 0xdb there; if he writes,
	// Close fails, and so it does for Batch.All. Logger is told at once. It costs some
	// microseconds and two copies for each slice.
	CheckSlices bool
	// NoHotCache makes every read go to the tree. It is for measurements and
	// for telling whether a fault is in the hot-record cache.
	NoHotCache bool
	// NoIOUring has many reads at once, as MultiGet needs them, done by goroutines where
	// Linux could do them in one call. It is for measurements, and for kernels with
	// which there is trouble; where there is no io_uring it changes nothing. Metrics.Reads
	// says which way they go.
	NoIOUring bool
}

const (
	defaultMemoryBudget = 256 << 20
	minMemoryBudget     = 4 << 20
	maxMemtableBytes    = 64 << 20
	minMemtableBytes    = 64 << 10
	minOpenFiles        = 8
	maxOpenFiles        = 4096
)

// withDefaults returns a copy of o with the defaults filled in, or an error
// that names the field that cannot be.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	setDefault(&c.MemoryBudget, defaultMemoryBudget)
	setDefault(&c.Log.AsyncDelay, 5*time.Millisecond)
	setDefault(&c.Tree.MemtableBytes, int(min(max(c.MemoryBudget/8, minMemtableBytes), maxMemtableBytes)))
	setDefault(&c.Tree.FilterBitsPerKey, 12)
	setDefault(&c.Tree.FileBytes, int64(max(c.Tree.MemtableBytes, 2<<20)))
	setDefault(&c.Tree.BlobBytes, 4<<10)
	setDefault(&c.Tree.L0Files, 4)
	setDefault(&c.Tree.OpenFiles, defaultOpenFiles())
	setDefault(&c.Scrub.BytesPerSecond, 8<<20)
	if c.FS == nil {
		c.FS = vfs.OS
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.validate()
}

// defaultOpenFiles leaves most of what the process may open to others.
func defaultOpenFiles() int {
	limit := vfs.OpenFilesMax()
	if limit == 0 {
		return maxOpenFiles
	}
	return min(max(limit/4, minOpenFiles), maxOpenFiles)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) validate() error {
	t := &o.Tree
	checks := []struct {
		ok    bool
		field string
		value any
		rule  string
	}{
		{o.MemoryBudget >= minMemoryBudget, "MemoryBudget", o.MemoryBudget, "at least 4 MiB"},
		{o.Durability <= DurabilityAsync, "Durability", o.Durability, "DurabilitySync, DurabilityBuffered or DurabilityAsync"},
		{o.Compression <= CompressionSmall, "Compression", o.Compression, "one of the constants"},
		{o.Log.AsyncDelay > 0 && o.Log.AsyncDelay <= time.Minute, "Log.AsyncDelay", o.Log.AsyncDelay,
			"positive and at most one minute"},
		{o.LogArchive.SizeBytes >= 0, "LogArchive.SizeBytes", o.LogArchive.SizeBytes, "positive, or 0 for no bound"},
		{o.LogArchive.Age >= 0, "LogArchive.Age", o.LogArchive.Age, "positive, or 0 for no bound"},
		{o.Scrub.Every == 0 || o.Scrub.Every >= time.Second, "Scrub.Every", o.Scrub.Every, "at least a second, or 0 for never"},
		{o.Scrub.BytesPerSecond > 0, "Scrub.BytesPerSecond", o.Scrub.BytesPerSecond, "positive, or 0 for 8 MiB"},
		{o.HandleAge == 0 || o.HandleAge >= time.Second, "HandleAge", o.HandleAge, "at least a second, or 0 for ever"},
		{o.ParityPercent >= 0 && o.ParityPercent <= 50, "ParityPercent", o.ParityPercent, "1 to 50, or 0 for none"},
		{t.MemtableBytes >= minMemtableBytes && int64(t.MemtableBytes) <= o.MemoryBudget/2,
			"Tree.MemtableBytes", t.MemtableBytes, "64 KiB to half of the memory budget"},
		{t.MemtableBytes <= 1<<30, "Tree.MemtableBytes", t.MemtableBytes, "at most 1 GiB"},
		{t.BlockBytes == 0 || t.BlockBytes >= 256 && t.BlockBytes <= 1<<20, "Tree.BlockBytes", t.BlockBytes,
			"256 B to 1 MiB"},
		{t.FilterBitsPerKey < 0 || t.FilterBitsPerKey >= 4 && t.FilterBitsPerKey <= 32,
			"Tree.FilterBitsPerKey", t.FilterBitsPerKey, "4 to 32, or negative"},
		{t.FileBytes >= 4<<10, "Tree.FileBytes", t.FileBytes, "at least 4 KiB"},
		{t.CompactionBytesPerSecond == 0 || t.CompactionBytesPerSecond >= 1<<20,
			"Tree.CompactionBytesPerSecond", t.CompactionBytesPerSecond, "at least 1 MiB, or 0 for no bound"},
		{t.BlobBytes < 0 || t.BlobBytes >= minBlobBytes, "Tree.BlobBytes", t.BlobBytes, "at least 16, or negative"},
		{t.OpenFiles >= 4, "Tree.OpenFiles", t.OpenFiles, "at least 4"},
		{t.L0Files >= 1 && t.L0Files <= 64, "Tree.L0Files", t.L0Files, "1 to 64"},
	}
	for _, c := range checks {
		if !c.ok {
			return &OptionError{Field: c.field, Value: fmt.Sprint(c.value), Rule: c.rule}
		}
	}
	return nil
}

// hotCacheBytes is the part of the budget for copies of often read records, to begin
// with. It is small on purpose: every get and put looks there first, which is nearly free
// as long as it stays in the processor's caches. It grows where reads gain by that: see
// docs/decisions/0030-memory-moves.md.
func (o *Options) hotCacheBytes() int64 {
	if o.Debug.NoHotCache {
		return 0
	}
	return min(o.MemoryBudget/16, 4<<20)
}

// registry returns the operators as the engine takes them, with slices that are lent
// by lender.
func (o *Options) registry(lender *loan.Lender) (merge.Registry, error) {
	var others []merge.Operator
	for _, op := range o.MergeOperators {
		others = append(others, merge.Operator(lentOperator(lender, op)))
	}
	r, err := merge.NewRegistry(others)
	if err != nil {
		return nil, &OptionError{Field: "MergeOperators", Value: err.Error(), Rule: "operators with names of their own"}
	}
	return r, nil
}

// engineOptions translates to what the engine takes.
func (o *Options) engineOptions(operators merge.Registry) engine.Options {
	return engine.Options{
		FS:            o.FS,
		Clock:         clock.System,
		Logger:        o.Logger,
		Listener:      o.EventListener,
		MemoryBudget:  o.MemoryBudget,
		HotCacheBytes: o.hotCacheBytes(),
		MemtableBytes: o.Tree.MemtableBytes,
		BlockBytes:    o.Tree.BlockBytes,
		FilterBits:    max(o.Tree.FilterBitsPerKey, 0),
		FileBytes:     o.Tree.FileBytes,
		ParityPercent: o.ParityPercent,
		L0Files:       o.Tree.L0Files,

		CompactionBytesPerSecond: o.Tree.CompactionBytesPerSecond,

		OpenFiles:  o.Tree.OpenFiles,
		AsyncDelay: o.Log.AsyncDelay,
		NoIOUring:  o.Debug.NoIOUring,
		Keyspaces: keyspace.Config{
			Codec:     codecPolicy(o.Compression),
			CodecFor:  func(setting uint8) keyspace.CodecPolicy { return codecPolicy(Compression(setting)) },
			BlobBytes: max(o.Tree.BlobBytes, 0),
			Operators: operators,
		},
		ScrubEvery: o.Scrub.Every, ScrubBytesPerSecond: o.Scrub.BytesPerSecond,

		Archive:      feed.Retention(o.LogArchive),
		ReadOnly:     o.ReadOnly,
		MustExist:    o.MustExist,
		HandleAge:    o.HandleAge,
		TrackHandles: o.Debug.TrackHandles,
	}
}

// sessionConfig translates to what the manager of transactions takes.
func (o *Options) sessionConfig() session.Config {
	return session.Config{SpillBytes: int64(o.Tree.MemtableBytes), ReadOnly: o.ReadOnly, Logger: o.Logger}
}

func (d Durability) engine() commit.Durability {
	return [...]commit.Durability{DurabilitySync: commit.Sync, DurabilityBuffered: commit.Buffered, DurabilityAsync: commit.Async}[d]
}

// codecPolicy says how a setting applies to the levels.
func codecPolicy(c Compression) keyspace.CodecPolicy {
	return func(level int, bottom bool) compress.Policy {
		switch {
		case c == CompressionNone || level == 0:
			return compress.Policy{}
		case c == CompressionSmall && bottom:
			return compress.Policy{Codec: compress.Small}
		}
		return compress.Policy{Codec: compress.Fast, OrSmall: c == CompressionDefault && bottom}
	}
}
