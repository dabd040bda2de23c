package lightning_test

import (
	"context"
	"log/slog"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
)

// The verbs that other programs are compiled against. A change that breaks one
// of these lines breaks those programs.
var (
	_ func(string, *lightning.Options) (*lightning.DB, error) = lightning.Open

	_ = lightning.Options{
		MemoryBudget: int64(0),
		Durability:   lightning.DurabilitySync,
		Compression:  lightning.CompressionDefault,
		ReadOnly:     false,
		FS:           vfs.FS(nil),
		Logger:       (*slog.Logger)(nil),
	}
	_ = []lightning.Durability{lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync}
	_ = []lightning.Compression{
		lightning.CompressionDefault, lightning.CompressionNone, lightning.CompressionFast, lightning.CompressionSmall,
	}
	_ = lightning.IterOptions{Lower: []byte(nil), Upper: []byte(nil), Prefix: []byte(nil)}

	_ readVerbs  = (*lightning.DB)(nil)
	_ readVerbs  = (*lightning.Keyspace)(nil)
	_ readVerbs  = (*lightning.Snapshot)(nil)
	_ writeVerbs = (*lightning.DB)(nil)
	_ writeVerbs = (*lightning.Keyspace)(nil)
	_ writeVerbs = (*lightning.Batch)(nil)

	_ interface {
		NewBatch() *lightning.Batch
		Snapshot() (*lightning.Snapshot, error)
		Keyspace(ctx context.Context, name string, opts *lightning.KeyspaceOptions) (*lightning.Keyspace, error)
		Keyspaces() []string
		DropKeyspace(ctx context.Context, name string) error
		Flush(ctx context.Context) error
		Compact(ctx context.Context, lo, hi []byte) error
		SyncLog(ctx context.Context) error
		DurableSeq() uint64
		Metrics() lightning.Metrics
		Close() error
	} = (*lightning.DB)(nil)

	_ interface {
		Len() int
		Reset()
		Commit() error
		CommitWith(d lightning.Durability) error
	} = (*lightning.Batch)(nil)

	_ interface {
		First() bool
		Last() bool
		SeekGE(key []byte) bool
		SeekLT(key []byte) bool
		Next() bool
		Prev() bool
		Valid() bool
		Key() []byte
		Value() []byte
		Err() error
		Close() error
	} = (*lightning.Iterator)(nil)
)

type readVerbs interface {
	Get(key []byte) ([]byte, error)
	AppendGet(dst, key []byte) ([]byte, error)
	GetFunc(key []byte, fn func(value []byte) error) error
	Has(key []byte) (bool, error)
	MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
}

type writeVerbs interface {
	Put(key, value []byte) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
}
