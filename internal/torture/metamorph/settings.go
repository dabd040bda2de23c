package metamorph

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lightningdb/lightning"
)

// sets is the number of option sets that a history runs under.
const sets = 5

// ending is how a run leaves an open database.
type ending uint8

const (
	closed  ending = iota // as one should
	leaking               // closed while iterators and snapshots are open
	// The rest are power cuts after everything was synced: whatever happens to
	// the unsynced rest, no row may be missing.
	cutKeepAll
	cutKeepNone
	cutKeepSome
	endings
)

func (e ending) String() string {
	return [...]string{"closed", "closed with open handles", "power cut, everything kept",
		"power cut, nothing unsynced kept", "power cut, some unsynced kept"}[e]
}

// settings are an option set: what a run may choose without an answer changing.
type settings struct {
	options lightning.Options // but for the file system
	before  ending            // how the database was left that is opened with them
	onDisk  bool
}

func (s settings) String() string {
	o, t := &s.options, &s.options.Tree
	where := "memory"
	if s.onDisk {
		where = "disk"
	}
	return fmt.Sprintf("%s: budget %d, durability %v after %v, compression %v, memtable %d, block %d, "+
		"filter %d, file %d, level-0 files %d, hot cache %v, io_uring %v, before: %v", where, o.MemoryBudget, o.Durability,
		o.Log.AsyncDelay, o.Compression, t.MemtableBytes, t.BlockBytes, t.FilterBitsPerKey, t.FileBytes,
		t.L0Files, !o.Debug.NoHotCache, !o.Debug.NoIOUring, s.before)
}

// settingsOf returns the settings of all option sets for the n-th opening of
// the database in a round. In each respect the sets differ as much as there are
// values: they are dealt out like cards.
func settingsOf(seed uint64, n int) [sets]settings {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	var out [sets]settings
	durabilities := deal(rng, lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync)
	delays := deal(rng, time.Millisecond, 5*time.Millisecond, time.Minute)
	compressions := deal(rng, lightning.CompressionDefault, lightning.CompressionNone, lightning.CompressionFast, lightning.CompressionSmall)
	budgets := deal(rng, 4<<20, 5<<20, 7<<20, 16<<20, 64<<20)
	memtables := deal(rng, 64<<10, 90<<10, 128<<10, 512<<10, 2<<20)
	blocks := deal(rng, 256, 512, 1<<10, 4<<10, 8<<10, 64<<10, 1<<20)
	filters := deal(rng, -1, 4, 12, 32)
	files := deal(rng, 4<<10, 16<<10, 64<<10, 2<<20)
	l0Files := deal(rng, 1, 2, 3, 4, 12)
	hotCaches := deal(rng, true, true, false)
	tracked := deal(rng, true, false)
	before := deal(rng, closed, leaking, cutKeepAll, cutKeepNone, cutKeepSome)
	lent := deal(rng, false, false, true)
	noRings := deal(rng, false, false, true)
	for i := range out {
		out[i] = settings{before: before[i], options: lightning.Options{
			MemoryBudget: int64(budgets[i]),
			Durability:   durabilities[i],
			Compression:  compressions[i],
			Log:          lightning.LogOptions{AsyncDelay: delays[i]},
			Tree: lightning.TreeOptions{
				MemtableBytes:    min(memtables[i], budgets[i]/2),
				BlockBytes:       blocks[i],
				FilterBitsPerKey: filters[i],
				FileBytes:        int64(files[i]),
				L0Files:          l0Files[i],
			},
			Debug: lightning.DebugOptions{
				NoHotCache: !hotCaches[i], NoIOUring: noRings[i], TrackHandles: tracked[i], CheckSlices: lent[i],
			},
		}}
	}
	return out
}

// deal gives each set one of the values; none gets one twice as often as
// another, as far as that is possible.
func deal[T any](rng *rand.Rand, values ...T) [sets]T {
	var out [sets]T
	order := rng.Perm(max(len(values), sets))
	for i := range out {
		out[i] = values[order[i]%len(values)]
	}
	return out
}

// forDisk returns the settings for the file system of the machine, where syncs
// take milliseconds and the power cannot be cut.
func (s settings) forDisk() settings {
	s.onDisk = true
	if s.options.Durability == lightning.DurabilitySync {
		s.options.Durability = lightning.DurabilityBuffered
	}
	s.before %= cutKeepAll
	return s
}
