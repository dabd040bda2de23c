package view

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// TestReadersBesideAWriter has readers of all sorts look at keys which each commit
// sets to one and the same number, while the data wanders from the memtable to the
// bottom. Whoever looks at several sees them as one commit left them, and nobody
// ever sees an older number than he did before.
func TestReadersBesideAWriter(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, hotBytes := range []int64{0, 64 << 10} {
		t.Run(fmt.Sprint(hotBytes), func(t *testing.T) {
			b := &beside{room: newRoom(t, hotBytes)}
			for i := range 10 {
				b.keys = append(b.keys, fmt.Appendf(nil, "\x00%02d", i))
			}
			b.count(0)
			var wg sync.WaitGroup
			for reader := range 6 {
				wg.Go(func() { b.read(rand.New(rand.NewPCG(seed, uint64(reader))), reader) })
			}
			b.writeAll(rand.New(rand.NewPCG(seed, 100)))
			b.done.Store(true)
			wg.Wait()
			b.settle()
			b.expectFiles()
		})
	}
}

type beside struct {
	*room
	keys [][]byte
	done atomic.Bool
}

// count sets all keys to a number; now and then after a range delete in the same
// commit.
func (b *beside) count(n int) {
	var ops []op
	if n%7 == 3 {
		ops = append(ops, delRange("\x00", "\x01"))
	}
	for _, key := range b.keys {
		ops = append(ops, set(string(key), strconv.Itoa(n)))
	}
	if n%11 == 5 {
		b.writeLarge(ops...)
	} else {
		b.write(ops...)
	}
}

func (b *beside) writeAll(rng *rand.Rand) {
	for n := 1; n < 300; n++ {
		b.count(n)
		switch rng.IntN(12) {
		case 0, 1:
			b.seal()
		case 2:
			b.flush()
		case 3:
			b.compact(rng.IntN(2))
		case 4:
			b.changeHotSize(rng)
		}
	}
}

// read looks in one way until the writer is done.
func (b *beside) read(rng *rand.Rand, way int) {
	last := 0
	for !b.done.Load() {
		var seen []int
		note := func(value []byte) {
			n, err := strconv.Atoi(string(value))
			if err != nil {
				b.t.Errorf("value %q", value)
			}
			seen = append(seen, n)
		}
		var err error
		switch way {
		case 0:
			var value []byte
			if value, err = b.AppendGet(nil, b.keys[rng.IntN(len(b.keys))]); err == nil {
				note(value)
			}
		case 1:
			err = b.GetFunc(b.keys[rng.IntN(len(b.keys))], func(v []byte) error { note(v); return nil })
		case 2:
			err = b.MultiGet(b.keys, func(_ int, v []byte, err error) error { note(v); return err })
		case 3:
			var it *Iterator
			if it, err = b.NewIterator(options("\x00", "\x01")); err == nil {
				err = b.walk(it, rng, note)
			}
		case 4, 5:
			err = b.readSnapshot(rng, note)
		}
		if err != nil {
			b.t.Error(err)
			return
		}
		for _, n := range seen {
			if n < last || n != seen[0] {
				b.t.Errorf("way %d saw %v after %d", way, seen, last)
				return
			}
		}
		last = seen[0]
	}
}

func (b *beside) walk(it *Iterator, rng *rand.Rand, note func([]byte)) error {
	move, step := it.First, it.Next
	if rng.IntN(2) == 0 {
		move, step = it.Last, it.Prev
	}
	rows := 0
	for ok := move(); ok; ok = step() {
		note(bytes.Clone(it.Value()))
		rows++
	}
	if rows != len(b.keys) {
		b.t.Errorf("an iterator saw %d rows: %v", rows, it.Err())
	}
	return it.Close()
}

func (b *beside) readSnapshot(rng *rand.Rand, note func([]byte)) error {
	s, err := b.Snapshot()
	if err != nil {
		return err
	}
	for _, i := range rng.Perm(len(b.keys)) {
		value, err := s.AppendGet(nil, b.keys[i])
		if err != nil {
			return err
		}
		note(value)
	}
	it, err := s.NewIterator(options("\x00", "\x01"))
	if err != nil {
		return err
	}
	if err := b.walk(it, rng, note); err != nil {
		return err
	}
	return s.Close()
}

// Keys that expire together go together for one who looks at several, also where a
// merge drops them between his time and his state.
func TestReaderOfSeveralSeesNoHalfPurge(t *testing.T) {
	b := &beside{room: newRoom(t, 0)}
	for i := range 6 {
		b.keys = append(b.keys, fmt.Appendf(nil, "\x00%02d", i))
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for !b.done.Load() {
				there := 0
				err := b.MultiGet(b.keys, func(_ int, _ []byte, err error) error {
					if err == nil {
						there++
					} else if err != base.ErrNotFound {
						return err
					}
					return nil
				})
				if err != nil || there != 0 && there != len(b.keys) {
					b.t.Errorf("%d of %d keys are there: %v", there, len(b.keys), err)
					return
				}
			}
		})
	}
	for range 100 {
		expiry := base.Instant(b.clock.at.Load()) + 10
		write := func(keys [][]byte) {
			var ops []op
			for _, key := range keys {
				ops = append(ops, op{base.KindSetExpiring, string(key), "x", expiry})
			}
			b.write(ops...)
		}
		write(b.keys)
		b.seal()
		b.flush()
		write(b.keys[3:]) // which the merge does not reach
		b.clock.at.Add(10)
		b.compact(0)
		b.seal()
	}
	b.done.Store(true)
	wg.Wait()
}
