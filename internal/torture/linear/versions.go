package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// In a round of versions every family has one writer, which counts up: version
// v is written to all its keys, in two keyspaces, by one batch. So every answer
// can be judged on the spot: all keys must show the same version, at least the
// one that was acknowledged before the read began and the newest that this
// reader or, before it began, any other saw, and at most the one that was begun
// when it had ended. That needs no clock between the goroutines and no history,
// so they run as freely as they can, and long. At the end comes a crash.

const (
	versionFamilies = 5
	// A reader reads so often, and on until files have moved so often.
	versionReads    = 1500
	versionMoves    = 20
	versionReadsMax = 4000
	otherSpace      = "other"
)

// counter is what is known of a family.
type counter struct {
	begun, acknowledged, seen atomic.Int64
}

// versions is one round. Its fields are set before goroutines start; counters
// are atomic.
type versions struct {
	db         *lightning.DB
	other      *lightning.Keyspace
	durability lightning.Durability
	counters   [versionFamilies]counter
	reads      atomic.Int64
}

func runVersions(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	rng := newRand(seed, 1)
	disk := memfs.New()
	files := faultfs.New(disk)
	v := &versions{durability: lightning.Durability(rng.IntN(3))}
	var err error
	if v.db, err = lightning.Open("db", options(rng, files)); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if v.other, err = v.db.Keyspace(context.Background(), otherSpace, nil); err != nil {
		return errors.Join(err, v.db.Close())
	}
	readers := 2 + rng.IntN(5)
	crash := &versionCrash{at: rng.Int64N(int64(readers * versionReads))}
	crash.options = memfs.CrashOptions{Keep: memfs.Policy(rng.IntN(3)), Seed: rng.Uint64()}
	files.Add(faultfs.Rule{Kinds: vfs.OpMutations, Sticky: true, Before: func(op vfs.Op) {
		crash.take(v, disk)
		if seed%2 == 0 {
			jitter(seed, op)
		}
	}})
	err = v.run(ctx, rng, seed, readers)
	if errors.Is(err, errBroken) {
		return err
	}
	err = errors.Join(err, v.db.Close())
	if err != nil || ctx.Err() != nil {
		return err
	}
	tally.Add(ledger.Operations, v.reads.Load())
	for i := range v.counters {
		tally.Add(ledger.Operations, v.counters[i].acknowledged.Load())
	}
	if crash.disk == nil {
		return nil
	}
	tally.Add(ledger.States, 1)
	return v.judgeCrash(rng, crash)
}

func (v *versions) run(ctx context.Context, rng *rand.Rand, seed uint64, readers int) error {
	inside, outside := newCrew(ctx), newCrew(ctx)
	w := &weather{db: v.db, allowed: func(error) bool { return false }}
	w.begin(outside, seed, 1+rng.IntN(2))
	for family := range versionFamilies {
		outside.start("writer", func() error { return v.count(outside, family, newRand(seed, 10+uint64(family))) })
	}
	for i := range readers {
		inside.start(fmt.Sprintf("reader %d", i), func() error {
			return v.read(inside, outside, w, newRand(seed, 50+uint64(i)))
		})
	}
	return outside.endAfter(inside.wait())
}

// count is the writer of a family.
func (v *versions) count(c *crew, family int, rng *rand.Rand) error {
	counter := &v.counters[family]
	b := v.db.NewBatch()
	for n := int64(1); !c.over(); n++ {
		b.Reset()
		var err error
		switch rng.IntN(12) {
		case 0: // once more in the same batch, and gone in between
			err = errors.Join(v.put(b, family, n), b.DeleteRange(familyKey(family, 0), familyKey(family, familyKeys)))
		case 1:
			err = b.Delete(familyKey(family, rng.IntN(familyKeys)))
		case 2:
			err = b.Put(fillerKey(rng), make([]byte, rng.IntN(6000)))
		case 3:
			if rng.IntN(4) == 0 {
				err = b.Put(fillerKey(rng), make([]byte, 130<<10)) // too large for a memtable
			}
		}
		if err := errors.Join(err, v.put(b, family, n)); err != nil {
			return err
		}
		counter.begun.Store(n)
		if err := b.CommitWith(v.durability); err != nil {
			return fmt.Errorf("version %d of family %d: %w", n, family, err)
		}
		counter.acknowledged.Store(n)
	}
	return nil
}

func (v *versions) put(b *lightning.Batch, family int, n int64) error {
	err := b.In(v.other).Put(familyKey(family, 0), encodeValue(n))
	for i := range familyKeys {
		err = errors.Join(err, b.Put(familyKey(family, i), encodeValue(n)))
	}
	return err
}

// read is a reader of all families.
func (v *versions) read(c, writers *crew, w *weather, rng *rand.Rand) error {
	var own [versionFamilies]int64
	for n := range versionReadsMax {
		if c.over() || writers.over() || n >= versionReads && w.moves.Load() >= versionMoves {
			return nil
		}
		family := rng.IntN(versionFamilies)
		counter := &v.counters[family]
		atLeast := max(counter.acknowledged.Load(), counter.seen.Load(), own[family])
		name, found, err := v.readFamily(rng, family)
		if err != nil {
			return fmt.Errorf("%s of family %d: %w", name, family, err)
		}
		atMost := counter.begun.Load()
		for _, n := range found {
			if n != found[0] {
				return fmt.Errorf("%s of family %d shows versions %d at one moment", name, family, found)
			}
			if n < atLeast || n > atMost {
				return fmt.Errorf("%s of family %d shows version %d; it was known to be %d to %d",
					name, family, n, atLeast, atMost)
			}
		}
		own[family] = found[0]
		raise(&counter.seen, found[0])
		v.reads.Add(1)
		if rng.IntN(16) == 0 {
			runtime.Gosched() // or flushes wait for long where there are few processors
		}
	}
	return nil
}

func raise(to *atomic.Int64, n int64) {
	for old := to.Load(); old < n && !to.CompareAndSwap(old, n); old = to.Load() {
	}
}

// readFamily reads one or all keys of a family at one moment.
func (v *versions) readFamily(rng *rand.Rand, family int) (name string, found []int64, err error) {
	key := familyKey(family, rng.IntN(familyKeys))
	switch rng.IntN(9) {
	case 0, 1, 2:
		name = "get"
		found, err = single(decodeResult(v.db.Get(key)))
	case 3:
		name = "get in the other keyspace"
		found, err = single(decodeResult(v.other.Get(familyKey(family, 0))))
	case 4, 5:
		name = "multiget"
		var all values
		all, err = multiGet(v.db, family)
		found = all[:familyKeys]
	case 6:
		name = "scan"
		var all values
		o := lightning.ScanOptions{IterOptions: familyRange(family), Reverse: rng.IntN(2) == 0}
		all, err = scan(v.db, family, o)
		found = all[:familyKeys]
	default:
		return v.readSnapshot(family, rng)
	}
	return name, found, err
}

func single(n int64, err error) ([]int64, error) { return []int64{n}, err }

// readSnapshot reads a family twice and in both keyspaces, through a snapshot.
func (v *versions) readSnapshot(family int, rng *rand.Rand) (name string, found []int64, err error) {
	name = "snapshot"
	snap, err := v.db.Snapshot()
	if err != nil {
		return name, nil, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	first, err := multiGet(snap, family)
	if err != nil {
		return name, nil, err
	}
	other, err := decodeResult(snap.In(v.other).Get(familyKey(family, 0)))
	if err != nil {
		return name, nil, err
	}
	again, err := decodeResult(snap.Get(familyKey(family, rng.IntN(familyKeys))))
	return name, append(first[:familyKeys], other, again), err
}

// versionCrash is the crash of a round.
type versionCrash struct {
	at      int64 // after so many reads
	options memfs.CrashOptions
	once    sync.Once

	disk *memfs.FS
	// What was promised for each family before the crash, and what was begun
	// by the end of it.
	atLeast, atMost [versionFamilies]int64
}

// take crashes in the middle of an operation of the file system.
func (c *versionCrash) take(v *versions, disk *memfs.FS) {
	if v.reads.Load() < c.at {
		return
	}
	c.once.Do(func() {
		promised := v.durability == lightning.DurabilitySync ||
			v.durability == lightning.DurabilityBuffered && c.options.Keep == memfs.KeepAll
		for i := range v.counters {
			if promised {
				c.atLeast[i] = max(v.counters[i].acknowledged.Load(), v.counters[i].seen.Load())
			}
		}
		c.disk = disk.Crash(c.options)
		for i := range v.counters {
			c.atMost[i] = v.counters[i].begun.Load()
		}
	})
}

// judgeCrash opens what the crash left: what was acknowledged or only read by
// somebody must be there, as a whole.
func (v *versions) judgeCrash(rng *rand.Rand, c *versionCrash) (err error) {
	db, err := lightning.Open("db", options(rng, c.disk))
	if err != nil {
		return fmt.Errorf("open after the crash: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	other, err := db.Keyspace(context.Background(), otherSpace, nil)
	if err != nil {
		return fmt.Errorf("keyspace after the crash: %w", err)
	}
	for family := range versionFamilies {
		all, err := multiGet(db, family)
		if err != nil {
			return fmt.Errorf("family %d after the crash: %w", family, err)
		}
		beside, err := decodeResult(other.Get(familyKey(family, 0)))
		if err != nil {
			return fmt.Errorf("family %d after the crash: %w", family, err)
		}
		for _, n := range append(all[:familyKeys], beside) {
			if n != all[0] || n < c.atLeast[family] || n > c.atMost[family] {
				return fmt.Errorf("after the crash family %d has versions %d and %d; expected one of %d to %d (%v, %v)",
					family, all[:familyKeys], beside, c.atLeast[family], c.atMost[family], v.durability, keepName(c.options.Keep))
			}
		}
	}
	return nil
}
