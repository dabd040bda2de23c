package engine

import (
	"io"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/workload"
)

func init() {
	register(Engine{
		Name:         "lightning",
		Package:      "github.com/lightningdb/lightning",
		Tuning:       "defaults, no compression",
		Memory:       "all of it: memtables, caches, filters and indexes",
		Go:           true,
		Transactions: true,
		RangeDeletes: true,
		Open:         openLightning,
	})
}

// lightningDB is worked on as 'lightning bench' does.
type lightningDB struct {
	workload.Store
	io.Closer
}

func openLightning(c Config) (DB, error) {
	opts := lightning.Options{
		MemoryBudget: c.MemoryBytes,
		// The records do not compress; for all engines it is off.
		Compression: lightning.CompressionNone,
		Durability:  lightning.DurabilitySync,
	}
	if c.Durability == Async {
		opts.Durability = lightning.DurabilityAsync
	}
	db, err := lightning.Open(c.Dir, &opts)
	if err != nil {
		return nil, err
	}
	return lightningDB{workload.On(db), db}, nil
}
