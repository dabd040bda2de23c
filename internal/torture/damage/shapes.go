package damage

import (
	"fmt"
	"sync"

	"github.com/lightningdb/lightning"
)

// The shapes of databases that are damaged. All but the first are small; the
// first has about a megabyte in several levels. Everything in them but database
// id, salts and file numbers follows from constants, so that their files have
// the same sizes in every process and a seed damages the same place again. Only
// whether a prepared log segment is a new one or an old one used again is up to
// the scheduler; so the databases that have a log come last.

// specimens builds all of them, once for the process.
var specimens = sync.OnceValues(func() ([]*specimen, error) {
	var all []*specimen
	for i, shape := range []func(seed uint64) (*specimen, error){
		levels, smallBlocks, zstandard, largeValues, liveLog, largeGroups, reopened,
	} {
		s, err := shape(uint64(i))
		if err != nil {
			return nil, err
		}
		if i > 0 { // the large one takes too long to be made twice
			other, err := shape(uint64(i) + foreignSeed)
			if err != nil {
				return nil, err
			}
			s.foreign = other.image
		}
		all = append(all, s)
	}
	return all, nil
})

// foreignSeed makes another database of each shape: the same keys, other values.
const foreignSeed = 100

// smallOptions make a few hundred rows enough for several files.
func smallOptions() lightning.Options {
	return lightning.Options{
		MemoryBudget: 4 << 20,
		Tree: lightning.TreeOptions{
			MemtableBytes: 64 << 10, BlockBytes: 2 << 10, FileBytes: 48 << 10, L0Files: 64,
		},
		Debug: lightning.DebugOptions{NoHotCache: true},
	}
}

// levels is a database of a megabyte: two levels and level 0, range deletes in
// each, three keyspaces with a codec each.
func levels(seed uint64) (*specimen, error) {
	return build("levels", smallOptions(), seed, func(b *builder) {
		b.keyspace("small", lightning.CompressionSmall)
		b.keyspace("plain", lightning.CompressionNone)
		b.fill("", 0, 900, 1, 1000)
		b.fill("small", 0, 200, 1, 1000)
		b.fill("plain", 0, 700, 1, 400)
		b.compact("", nil, nil)
		b.remember()
		b.fill("", 10, 700, 7, 500)
		b.fill("plain", 5, 600, 9, 700)
		b.deleteRange("", key(100), key(140))
		b.deleteRange("small", key(20), key(40))
		b.flush()
		b.compact("plain", []byte(key(1)), []byte(key(2)))
		b.remember()
		b.reopen()
		b.fill("", 120, 400, 19, 300)
		b.deleteRange("plain", key(300), key(350))
		b.flush()
		b.fill("small", 30, 190, 11, 300)
		b.delete("", key(1), key(700))
		b.finishClosed()
	})
}

// smallBlocks has blocks of 256 bytes that are not compressed, and no filters. Its
// rows have one size, so that exchanged blocks fit in each other's place. Its range
// deletes take several blocks.
func smallBlocks(seed uint64) (*specimen, error) {
	o := smallOptions()
	o.Compression = lightning.CompressionNone
	o.Tree.BlockBytes, o.Tree.FilterBitsPerKey, o.Tree.FileBytes = 256, -1, 8<<10
	return build("small blocks", o, seed, func(b *builder) {
		b.sameSize = true
		b.fill("", 0, 300, 1, 60)
		b.compact("", nil, nil)
		b.remember()
		b.fill("", 50, 250, 3, 40)
		b.deleteRange("", key(60), key(65))
		for i := range 20 {
			b.deleteRange("", key(70+5*i), key(72+5*i))
		}
		b.finishClosed()
	})
}

// zstandard has settled into one level.
func zstandard(seed uint64) (*specimen, error) {
	o := smallOptions()
	o.Compression = lightning.CompressionSmall
	return build("zstandard", o, seed, func(b *builder) {
		b.fill("", 0, 100, 1, 400)
		b.remember()
		b.fill("", 0, 250, 1, 400)
		b.deleteRange("", key(30), key(50))
		b.compact("", nil, nil)
		b.finishClosed()
	})
}

// largeValues has blocks of one record and a batch that fits in no memtable.
func largeValues(seed uint64) (*specimen, error) {
	return build("large values", smallOptions(), seed, func(b *builder) {
		b.fill("", 0, 3, 1, 20<<10)
		b.compact("", nil, nil)
		b.remember()
		b.put("", []string{key(1), key(5), key(6)}, func() string { return b.rng.text(30 << 10) })
		b.fill("", 10, 20, 1, 10)
		b.finishClosed()
	})
}

// liveLog stopped with groups in a log that was recycled, over several tables.
func liveLog(seed uint64) (*specimen, error) {
	return build("live log", smallOptions(), seed, func(b *builder) {
		b.keyspace("other", lightning.CompressionDefault)
		for i := range 4 { // enough for the log to come back to old segments
			b.fill("", i, 40, 2, 100)
			b.flush()
		}
		b.compact("", nil, nil)
		b.remember()
		b.fill("other", 0, 20, 1, 50)
		b.remember()
		b.flush()
		b.record()
		for i := range 6 {
			b.put("", []string{key(i), key(100 + i)}, func() string { return b.rng.text(90) })
			if i == 3 {
				b.remember()
			}
		}
		b.deleteRange("other", key(3), key(9))
		b.delete("", key(2), key(30))
		b.put("other", []string{key(5)}, func() string { return "newest" })
		b.finishCrashed()
	})
}

// largeGroups stopped with groups of many sectors in its log.
func largeGroups(seed uint64) (*specimen, error) {
	return build("large groups", smallOptions(), seed, func(b *builder) {
		b.fill("", 0, 20, 1, 100)
		b.flush()
		b.remember()
		b.record()
		b.put("", []string{key(3)}, func() string { return b.rng.text(9000) })
		b.put("", []string{key(4), key(5), key(40)}, func() string { return b.rng.text(3000) })
		b.put("", []string{key(50)}, func() string { return b.rng.text(100) })
		b.put("", []string{key(6), key(5)}, func() string { return b.rng.text(2000) })
		b.finishCrashed()
	})
}

// reopened stopped, was opened again, which replays the log into tables, and
// stopped once more soon after.
func reopened(seed uint64) (*specimen, error) {
	return build("reopened", smallOptions(), seed, func(b *builder) {
		b.fill("", 0, 60, 1, 80)
		b.remember()
		b.fill("", 20, 80, 3, 80)
		b.reopenCrashed()
		b.record()
		b.put("", []string{key(1), key(90)}, func() string { return b.rng.text(50) })
		b.put("", []string{key(2)}, func() string { return b.rng.text(50) })
		b.finishCrashed()
	})
}

func key(i int) string { return fmt.Sprintf("key%06d", i) }
