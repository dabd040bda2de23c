package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/lightningdb/lightning"
)

// The handles of a round of stress: snapshots and keyspaces are used by many
// goroutines at once, iterators by one at a time, and all of them also after
// what they belong to was closed or dropped.

func yield(times int) {
	for range times {
		runtime.Gosched()
	}
}

func (s *stress) someSpace(rng *rand.Rand) *lightning.Keyspace {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spaces) == 0 {
		return nil
	}
	return s.spaces[rng.IntN(len(s.spaces))]
}

func (s *stress) someSnapshot(rng *rand.Rand) *lightning.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.snaps) == 0 {
		return nil
	}
	return s.snaps[rng.IntN(len(s.snaps))]
}

// useSnapshot makes a snapshot, or reads one that others read, or closes it
// under them.
func (s *stress) useSnapshot(_ context.Context, db *lightning.DB, rng *rand.Rand) error {
	snap := s.someSnapshot(rng)
	if snap == nil || rng.IntN(4) == 0 {
		made, err := db.Snapshot()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.snaps = append(s.snaps, made)
		var old *lightning.Snapshot
		if len(s.snaps) > stressHandlesMax {
			old, s.snaps = s.snaps[0], s.snaps[1:]
		}
		s.mu.Unlock()
		if old != nil {
			return old.Close()
		}
		return nil
	}
	if rng.IntN(8) == 0 {
		return snap.Close()
	}
	if k := s.someSpace(rng); k != nil && rng.IntN(3) == 0 {
		return readSome(snap.In(k), rng)
	}
	return readSome(snap, rng)
}

// useIterator moves an iterator that some goroutine has left, or makes one, and
// leaves it to the next or closes it.
func (s *stress) useIterator(_ context.Context, db *lightning.DB, rng *rand.Rand) error {
	it, err := s.takeIterator(db, rng)
	if err != nil {
		return err
	}
	for range rng.IntN(12) {
		ok := false
		switch rng.IntN(6) {
		case 0:
			ok = it.First()
		case 1:
			ok = it.Last()
		case 2:
			ok = it.SeekGE(stressKey(rng))
		case 3:
			ok = it.SeekLT(stressKey(rng))
		case 4:
			ok = it.Next()
		default:
			ok = it.Prev()
		}
		if key := string(it.Key()); ok && key != "large" && key != "counter" {
			if err := whole(it.Value()); err != nil {
				return errors.Join(fmt.Errorf("at %q: %w", it.Key(), err), it.Close())
			}
		}
	}
	s.mu.Lock()
	keep := len(s.iters) < stressHandlesMax && rng.IntN(4) > 0
	if keep {
		s.iters = append(s.iters, it)
	}
	s.mu.Unlock()
	if keep {
		return nil
	}
	return it.Close()
}

func (s *stress) takeIterator(db *lightning.DB, rng *rand.Rand) (*lightning.Iterator, error) {
	s.mu.Lock()
	if n := len(s.iters); n > 0 && rng.IntN(3) > 0 {
		i := rng.IntN(n)
		it := s.iters[i]
		s.iters = slices.Delete(s.iters, i, i+1)
		s.mu.Unlock()
		return it, nil
	}
	s.mu.Unlock()
	if snap := s.someSnapshot(rng); snap != nil && rng.IntN(3) == 0 {
		return snap.Iterator(lightning.IterOptions{})
	}
	if k := s.someSpace(rng); k != nil && rng.IntN(3) == 0 {
		return k.Iterator(lightning.IterOptions{Lower: stressKey(rng)})
	}
	return db.Iterator(lightning.IterOptions{})
}

// useKeyspace makes, uses and drops keyspaces that others use, too.
func (s *stress) useKeyspace(ctx context.Context, db *lightning.DB, rng *rand.Rand) error {
	k := s.someSpace(rng)
	if k == nil || rng.IntN(5) == 0 {
		made, err := db.Keyspace(context.Background(), fmt.Sprint("space", rng.IntN(4)), nil)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spaces = append(s.spaces, made)
		if len(s.spaces) > stressHandlesMax {
			s.spaces = s.spaces[1:]
		}
		return nil
	}
	switch rng.IntN(8) {
	case 0:
		return db.DropKeyspace(context.Background(), k.Name())
	case 1:
		return k.DeleteRange(nil, nil)
	case 2:
		return k.Compact(ctx, nil, nil)
	case 3, 4:
		return k.Put(stressKey(rng), s.value())
	case 5:
		return k.Delete(stressKey(rng))
	}
	_, err := decodeResult(k.Get(stressKey(rng)))
	return err
}

// moveFiles flushes, compacts and syncs, and some of the time gives up soon.
func (s *stress) moveFiles(ctx context.Context, db *lightning.DB, rng *rand.Rand) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if rng.IntN(2) == 0 {
		gone := make(chan struct{})
		defer func() { <-gone }()
		turns := rng.IntN(200)
		go func() {
			defer close(gone)
			yield(turns)
			cancel()
		}()
	}
	switch rng.IntN(4) {
	case 0:
		return db.Compact(ctx, nil, nil)
	case 1:
		return db.Compact(ctx, stressKey(rng), nil)
	case 2:
		return db.SyncLog(context.Background())
	}
	return db.Flush(ctx)
}
