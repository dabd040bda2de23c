package engine

import (
	"log/slog"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/vfs"
)

// Durability says what a commit waits for.
type Durability uint8

// The levels, weakest first, so that a group of commits takes the largest.
const (
	Async Durability = iota
	Flush
	Sync
)

// CodecPolicy chooses the codec of a table by its level; last says whether it
// is the bottom one.
type CodecPolicy func(level int, bottom bool) compress.Codec

// Options are the engine's settings. The public package validates them and
// fills in defaults; the engine takes them as they are.
type Options struct {
	FS     vfs.FS
	Clock  clock.Clock
	Logger *slog.Logger

	MemoryBudget  int64
	HotCacheBytes int64 // part of the budget; 0: no hot-record cache
	MemtableBytes int
	BlockBytes    int
	FilterBits    int
	FileBytes     int64
	L0Files       int
	AsyncDelay    time.Duration
	Codec         CodecPolicy
	// CodecFor decodes a keyspace's own setting; 0 means that it has none.
	CodecFor func(setting uint8) CodecPolicy
	// Operators are the merge operators that keyspaces may have.
	Operators merge.Registry

	// History is what is kept of the log for feeds.
	History HistoryOptions

	ReadOnly  bool
	MustExist bool
	// TrackHandles records the stack that made each iterator and snapshot, for
	// the report on Close.
	TrackHandles bool
}
