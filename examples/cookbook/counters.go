package cookbook

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/lightningdb/lightning"
)

// Counters count without reading: any number of goroutines add to the same one at a time.
type Counters struct{ keys *lightning.Keyspace }

func OpenCounters(ctx context.Context, db *lightning.DB) (Counters, error) {
	keys, err := db.Keyspace(ctx, "counters", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	return Counters{keys}, err
}

func (c Counters) Add(name string, n int64) error {
	return c.keys.Merge([]byte(name), binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// Value returns how far a counter is, 0 where nothing was counted.
func (c Counters) Value(name string) (int64, error) {
	value, err := c.keys.Get([]byte(name))
	if errors.Is(err, lightning.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint64(value)), nil
}
