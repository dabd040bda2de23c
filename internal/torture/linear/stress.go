package linear

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// In a round of stress many goroutines use every part of the API on two
// databases that are closed and opened again all the time, also on handles of
// databases that are long closed and of keyspaces that were dropped. Nothing
// but the kind of the answer is judged: no panic, no hang, no error that the
// documentation does not allow, no value that nobody wrote.

const (
	stressWorkers    = 10
	stressOperations = 250 // of each worker
	stressDatabases  = 2
	stressHandlesMax = 20
)

// stress is one round.
type stress struct {
	files [stressDatabases]*faultfs.FS
	dbs   [stressDatabases]atomic.Pointer[lightning.DB]
	done  atomic.Int64
	next  atomic.Int64 // number of the next value

	mu     sync.Mutex
	snaps  []*lightning.Snapshot // shared by all, closed or not
	spaces []*lightning.Keyspace
	iters  []*lightning.Iterator // each is used by who takes it out
}

func runStress(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	s := &stress{}
	rng := newRand(seed, 1)
	c, openers := newCrew(ctx), newCrew(ctx)
	for i := range s.files {
		s.files[i] = faultfs.New(memfs.New())
		s.files[i].Add(faultfs.Rule{Sticky: true, Before: func(op vfs.Op) { jitter(seed, op) }})
		db, err := lightning.Open("db", options(rng, s.files[i]))
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		s.dbs[i].Store(db)
	}
	for i := range s.files {
		openers.start("opener", func() error { return s.reopen(openers, i, newRand(seed, 200+uint64(i))) })
	}
	for i := range stressWorkers {
		c.start("worker", func() error { return s.work(c, openers, newRand(seed, 10+uint64(i))) })
	}
	err := openers.endAfter(c.wait())
	if errors.Is(err, errBroken) {
		return err
	}
	tally.Add(ledger.Operations, s.done.Load())
	return errors.Join(err, s.closeAll())
}

// closeAll closes the databases, then the handles that outlive them.
func (s *stress) closeAll() error {
	var errs []error
	for i := range s.dbs {
		if err := s.dbs[i].Load().Close(); err != nil && !errors.Is(err, lightning.ErrLeaked) {
			errs = append(errs, fmt.Errorf("close at the end: %w", err))
		}
	}
	for _, it := range s.iters {
		if it.Next() || !errors.Is(it.Err(), lightning.ErrClosed) {
			errs = append(errs, fmt.Errorf("an iterator that outlives its database says %w", it.Err()))
		}
		if err := it.Close(); !errors.Is(err, lightning.ErrClosed) {
			errs = append(errs, fmt.Errorf("closing an iterator that outlives its database: %w", err))
		}
		if err := it.Close(); !errors.Is(err, lightning.ErrHandleClosed) {
			errs = append(errs, fmt.Errorf("closing an iterator again: %w", err))
		}
	}
	for _, snap := range s.snaps {
		if _, err := snap.Get(fillerKey(newRand(0, 0))); !errors.Is(err, lightning.ErrClosed) {
			errs = append(errs, fmt.Errorf("a snapshot that outlives its database says %w", err))
		}
		if err := snap.Close(); err != nil && !errors.Is(err, lightning.ErrHandleClosed) {
			errs = append(errs, fmt.Errorf("closing a snapshot that outlives its database: %w", err))
		}
	}
	return errors.Join(errs...)
}

// reopen closes a database while it is used and opens it again, again and
// again. A second opener must find it locked.
func (s *stress) reopen(c *crew, i int, rng *rand.Rand) error {
	for {
		until := s.done.Load() + 50 + rng.Int64N(400)
		for s.done.Load() < until {
			if c.over() {
				return nil
			}
			yield(20)
		}
		if db, err := lightning.Open("db", &lightning.Options{FS: s.files[i]}); !errors.Is(err, lightning.ErrLocked) {
			return fmt.Errorf("a second opener got %v, %w", db, err)
		}
		if err := s.dbs[i].Load().Close(); err != nil && !errors.Is(err, lightning.ErrLeaked) {
			return fmt.Errorf("close while in use: %w", err)
		}
		db, err := lightning.Open("db", options(rng, s.files[i]))
		if err != nil {
			return fmt.Errorf("open again: %w", err)
		}
		s.dbs[i].Store(db)
	}
}

// allowedUnderStress says which errors an operation may return when anything
// may have been closed or dropped under it.
func allowedUnderStress(err error) bool {
	for _, allowed := range []error{
		lightning.ErrNotFound, lightning.ErrClosed, lightning.ErrHandleClosed, lightning.ErrKeyspaceDropped,
		lightning.ErrKeyspaceNotFound, lightning.ErrForeignKeyspace, context.Canceled, errEnough,
	} {
		if errors.Is(err, allowed) {
			return true
		}
	}
	return false
}

// errEnough is what a callback returns to stop a MultiGet or a Scan.
var errEnough = errors.New("enough")

func (s *stress) work(c, openers *crew, rng *rand.Rand) error {
	actions := []struct {
		name string
		do   func(ctx context.Context, db *lightning.DB, rng *rand.Rand) error
	}{
		{"write", s.write}, {"write", s.write}, {"write", s.write}, {"read", s.read}, {"read", s.read},
		{"read", s.read}, {"use a snapshot", s.useSnapshot}, {"use an iterator", s.useIterator},
		{"use a keyspace", s.useKeyspace}, {"move files", s.moveFiles},
	}
	for range stressOperations {
		if c.over() || openers.over() {
			return nil
		}
		a := actions[rng.IntN(len(actions))]
		db := s.dbs[rng.IntN(stressDatabases)].Load()
		if err := a.do(c.ctx, db, rng); err != nil && !allowedUnderStress(err) {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		s.done.Add(1)
	}
	return nil
}

func stressKey(rng *rand.Rand) []byte { return fmt.Appendf(nil, "k%03d", rng.IntN(200)) }

func (s *stress) value() []byte { return encodeValue(s.next.Add(1)) }

func (s *stress) write(_ context.Context, db *lightning.DB, rng *rand.Rand) error {
	switch rng.IntN(12) {
	case 8:
		_, err := db.PutIfAbsent(stressKey(rng), s.value())
		return err
	case 9:
		value, err := db.GetAndDelete(stressKey(rng))
		_, err = decodeResult(value, err)
		return err
	case 10:
		return db.Touch(stressKey(rng), time.Hour)
	case 11:
		_, err := db.Increment([]byte("counter"), 1)
		return err
	case 0:
		return db.Delete(stressKey(rng))
	case 1:
		k := stressKey(rng)
		return db.DeleteRange(k, append(k, 0))
	case 2, 3:
		return db.Put(stressKey(rng), s.value())
	}
	b := db.NewBatch()
	var err error
	for range rng.IntN(6) {
		err = errors.Join(err, b.Put(stressKey(rng), s.value()))
		if k := s.someSpace(rng); k != nil && rng.IntN(3) == 0 {
			err = errors.Join(err, b.In(k).Put(stressKey(rng), s.value()))
		}
	}
	if rng.IntN(10) == 0 {
		err = errors.Join(err, b.Put([]byte("large"), make([]byte, 130<<10)))
	}
	if err != nil {
		return err
	}
	return b.CommitWith(lightning.Durability(rng.IntN(3)))
}

func (s *stress) read(_ context.Context, db *lightning.DB, rng *rand.Rand) error {
	if rng.IntN(10) == 0 {
		db.Metrics()
		db.DurableSeq()
		db.Keyspaces()
	}
	return readSome(db, rng)
}

// readSome reads in one of all ways.
func readSome(v script.Reader, rng *rand.Rand) error {
	key := stressKey(rng)
	switch rng.IntN(7) {
	case 0:
		return v.GetFunc(key, func(value []byte) error { return whole(value) })
	case 1:
		_, err := v.Has(key)
		return err
	case 2:
		keys := [][]byte{key, stressKey(rng), stressKey(rng), key}
		return v.MultiGet(keys, func(i int, value []byte, err error) error {
			if rng.IntN(20) == 0 {
				return errEnough
			}
			_, err = decodeResult(value, err)
			return err
		})
	case 3:
		o := lightning.ScanOptions{IterOptions: lightning.IterOptions{Prefix: key[:2]}, Reverse: rng.IntN(2) == 0}
		return v.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
			for _, value := range rows {
				if err := whole(value); err != nil {
					return err
				}
				if rng.IntN(50) == 0 {
					return errEnough
				}
			}
			return nil
		})
	case 4:
		value, err := v.AppendGet(make([]byte, 0, 40), key)
		_, err = decodeResult(value, err)
		return err
	}
	_, err := decodeResult(v.Get(key))
	return err
}

func whole(value []byte) error {
	_, err := decodeValue(value)
	return err
}
