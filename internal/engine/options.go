package engine

import (
	"log/slog"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/vfs"
)

// Options are the engine's settings. The public package validates them and
// fills in defaults; the engine takes them as they are.
type Options struct {
	FS     vfs.FS
	Clock  clock.Clock
	Logger *slog.Logger
	// Listener is told what happens; nil: nobody is.
	Listener *event.Listener

	MemoryBudget  int64
	HotCacheBytes int64 // part of the budget; 0: no hot-record cache
	MemtableBytes int
	BlockBytes    int
	FilterBits    int
	FileBytes     int64
	ParityPercent int // of tables; 0: they have none
	L0Files       int
	// CompactionBytesPerSecond bounds how fast compactions write; 0: not at all.
	CompactionBytesPerSecond int64
	OpenFiles                int // tables
	AsyncDelay               time.Duration
	NoIOUring                bool
	// Keyspaces say what keyspaces may ask for.
	Keyspaces keyspace.Config

	// ScrubEvery is how often all files are verified, 0: never, and ScrubBytesPerSecond how fast.
	ScrubEvery          time.Duration
	ScrubBytesPerSecond int64

	// Archive is what is kept of the log for feeds.
	Archive feed.Retention

	ReadOnly  bool
	MustExist bool
	// HandleAge is how long iterators and snapshots may be open; 0: for ever.
	HandleAge time.Duration
	// TrackHandles records the stack that made each iterator and snapshot, for
	// the report on Close.
	TrackHandles bool
}
