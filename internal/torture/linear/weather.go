package linear

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
)

// weather is what goes on beside the clients of a database: files are flushed
// and merged, other keys are written until memtables are full and read until
// caches are, keyspaces come and go, iterators and snapshots are opened and
// closed. Its keys are not the clients', and sort on both sides of them.
type weather struct {
	db *lightning.DB
	// allowed says which errors are no findings.
	allowed func(error) bool

	moves atomic.Int64 // flushes and compactions that were asked for
}

const fillerKeys = 300

func fillerKey(rng *rand.Rand) []byte {
	side := "a"
	if rng.IntN(2) == 0 {
		side = "z"
	}
	return fmt.Appendf(nil, "%s/filler/%03d", side, rng.IntN(fillerKeys))
}

// begin makes the weather of a seed until the context of the crew ends.
func (w *weather) begin(c *crew, seed uint64, workers int) {
	all := []func(ctx context.Context, rng *rand.Rand) error{
		w.fill, w.moveFiles, w.fillCaches, w.changeKeyspaces, w.openHandles,
	}
	for i := range workers {
		rng := newRand(seed, 100+uint64(i))
		w.start(c, rng, all)
	}
	if seed%4 != 0 {
		w.start(c, newRand(seed, 99), all[1:2]) // files move all the time
	}
}

func (w *weather) start(c *crew, rng *rand.Rand, all []func(context.Context, *rand.Rand) error) {
	c.start("beside the clients", func() error {
		for !c.over() {
			err := all[rng.IntN(len(all))](c.ctx, rng)
			if err != nil && !w.allowed(err) && !errors.Is(err, context.Canceled) {
				return err
			}
			for range rng.IntN(20) {
				runtime.Gosched()
			}
		}
		return nil
	})
}

// fill writes other keys, so that the log and the memtable move on.
func (w *weather) fill(_ context.Context, rng *rand.Rand) error {
	b := w.db.NewBatch()
	for range 1 + rng.IntN(8) {
		err := b.Put(fillerKey(rng), make([]byte, rng.IntN(3000)))
		if rng.IntN(20) == 0 {
			lo := fillerKey(rng)
			err = errors.Join(err, b.DeleteRange(lo, append(lo, "~"...)))
		}
		if err != nil {
			return fmt.Errorf("filler: %w", err)
		}
	}
	if err := b.CommitWith(lightning.Durability(rng.IntN(3))); err != nil {
		return fmt.Errorf("commit filler: %w", err)
	}
	return nil
}

func (w *weather) moveFiles(ctx context.Context, rng *rand.Rand) error {
	var err error
	switch rng.IntN(8) {
	case 0:
		err = w.db.Compact(ctx, nil, nil)
	case 1:
		err = w.db.Compact(ctx, familyKey(0, 0), familyKey(1+rng.IntN(3), 0))
	case 2, 3:
		err = w.db.SyncLog(context.Background())
	default:
		err = w.db.Flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("flush or compact: %w", err)
	}
	w.moves.Add(1)
	return nil
}

func (w *weather) fillCaches(_ context.Context, rng *rand.Rand) error {
	var buf []byte
	for range 40 {
		var err error
		if buf, err = w.db.AppendGet(buf[:0], fillerKey(rng)); err != nil && err != lightning.ErrNotFound {
			return fmt.Errorf("get filler: %w", err)
		}
	}
	if rng.IntN(4) > 0 {
		return nil
	}
	n := 0
	err := w.db.Scan(lightning.ScanOptions{Reverse: rng.IntN(2) == 0},
		func(rows iter.Seq2[[]byte, []byte]) error {
			for range rows {
				n++
			}
			return nil
		})
	if err != nil {
		return fmt.Errorf("scan after %d rows: %w", n, err)
	}
	return w.watchSequence()
}

// watchSequence sees that sequence numbers go one way. A closed database has
// no metrics.
func (w *weather) watchSequence() error {
	durable := w.db.DurableSeq()
	before, after := w.db.Metrics(), w.db.Metrics()
	if after.VisibleSeq != 0 && (after.VisibleSeq < before.VisibleSeq ||
		before.DurableSeq < durable || after.DurableSeq < before.DurableSeq) {
		return fmt.Errorf("sequence numbers go back: visible %d, then %d; durable %d, %d, %d",
			before.VisibleSeq, after.VisibleSeq, durable, before.DurableSeq, after.DurableSeq)
	}
	return nil
}

func (w *weather) changeKeyspaces(_ context.Context, rng *rand.Rand) error {
	name := fmt.Sprintf("other-%d", rng.IntN(3))
	k, err := w.db.Keyspace(context.Background(), name, nil)
	if err != nil {
		return fmt.Errorf("keyspace %s: %w", name, err)
	}
	key := familyKey(rng.IntN(3), 0) // the same bytes as a client's key
	for range rng.IntN(10) {
		if err := k.Put(key, make([]byte, rng.IntN(300))); err != nil && !dropped(err) {
			return fmt.Errorf("put in keyspace %s: %w", name, err)
		}
		if _, err := k.Get(key); err != nil && !dropped(err) && err != lightning.ErrNotFound {
			return fmt.Errorf("get in keyspace %s: %w", name, err)
		}
	}
	if err := w.db.DropKeyspace(context.Background(), name); err != nil && !dropped(err) {
		return fmt.Errorf("drop keyspace %s: %w", name, err)
	}
	return nil
}

// dropped reports whether err says that another goroutine dropped the keyspace.
func dropped(err error) bool {
	return errors.Is(err, lightning.ErrKeyspaceDropped) || errors.Is(err, lightning.ErrKeyspaceNotFound)
}

func (w *weather) openHandles(_ context.Context, rng *rand.Rand) error {
	snap, err := w.db.Snapshot()
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	it, err := snap.Iterator(lightning.IterOptions{})
	if err != nil {
		return errors.Join(fmt.Errorf("iterator: %w", err), snap.Close())
	}
	it.SeekGE(fillerKey(rng))
	for range rng.IntN(50) {
		it.Next()
		if rng.IntN(10) == 0 {
			it.Prev()
		}
	}
	return errors.Join(it.Close(), snap.Close())
}

// jitter yields the processor at operations of the file system, so that
// goroutines meet in the middle of a commit, a flush or a rotation also where
// there are few processors. How long depends on the seed and on which
// operation of the run it is.
func jitter(seed uint64, op vfs.Op) {
	h := mix(seed ^ uint64(op.N))
	turns := h >> 8 % 4
	switch {
	case h%16 == 0:
		turns = h >> 8 % 60
	case h%4 == 0 && op.Kind == vfs.OpSyncData && filepath.Ext(op.Name) == ".sst":
		turns = h >> 8 % 600 // a table is written, and memtables fill meanwhile
	}
	for range turns {
		runtime.Gosched()
	}
}
