//go:build linux && !race

package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lightningdb/lightning"
)

// sizes are those of a shape: so many rows, or handles, each with so many bytes.
type sizes struct {
	Rows       int
	KeyBytes   int
	ValueBytes int
	Handles    int
}

// shape is a way of using a database.
type shape struct {
	name         string
	small, large sizes
	besides      func(sizes) int64 // what is allowed beside budget and slack; nil: nothing
	defaultOnly  bool              // large sizes with the budget of 64 MiB only
	run          func(*use) error
}

func (s *shape) budgets() []int64 {
	if s.defaultOnly {
		return []int64{64 * mib}
	}
	return []int64{4 * mib, 16 * mib, 64 * mib, 256 * mib, 2048 * mib}
}

var shapes = []*shape{
	{
		name: "small rows", run: loadAndRead,
		small: sizes{Rows: 120_000, KeyBytes: 16, ValueBytes: 100}, large: sizes{Rows: 3_000_000, KeyBytes: 16, ValueBytes: 100},
	}, {
		name: "values of 1 MiB", run: loadAndRead,
		small: sizes{Rows: 30, KeyBytes: 16, ValueBytes: 1 * mib}, large: sizes{Rows: 800, KeyBytes: 16, ValueBytes: 1 * mib},
	}, {
		name: "keys of 60 KiB", run: loadAndRead,
		small: sizes{Rows: 400, KeyBytes: 60 << 10, ValueBytes: 100}, large: sizes{Rows: 10_000, KeyBytes: 60 << 10, ValueBytes: 100},
	}, {
		name: "batches of 10,000", run: loadBatches,
		small: sizes{Rows: 60_000, KeyBytes: 16, ValueBytes: 100}, large: sizes{Rows: 2_000_000, KeyBytes: 16, ValueBytes: 100},
	}, {
		name: "keyspaces", run: loadKeyspaces,
		small: sizes{Rows: 20_000, KeyBytes: 16, ValueBytes: 1000, Handles: 500},
		large: sizes{Rows: 200_000, KeyBytes: 16, ValueBytes: 1000, Handles: 10_000},
	}, {
		name: "handles under writes", run: holdUnderWrites, besides: rowsShown,
		small: sizes{Rows: 30_000, KeyBytes: 16, ValueBytes: 1000, Handles: 300},
		large: sizes{Rows: 400_000, KeyBytes: 16, ValueBytes: 1000, Handles: 4000},
	}, {
		name: "full scans at once", run: scanAtOnce,
		small: sizes{Rows: 15_000, KeyBytes: 16, ValueBytes: 100, Handles: 64},
		large: sizes{Rows: 1_000_000, KeyBytes: 16, ValueBytes: 100, Handles: 64},
	}, {
		name: "one large value", run: largeValue, besides: copies, defaultOnly: true,
		small: sizes{Rows: 1, ValueBytes: 64 * mib}, large: sizes{Rows: 1, ValueBytes: 256 * mib},
	}, {
		name: "one larger value", run: largeValue, besides: copies, defaultOnly: true,
		small: sizes{Rows: 1, ValueBytes: 100 * mib}, large: sizes{Rows: 1, ValueBytes: 1024 * mib},
	}, {
		name: "one streamed value", run: streamedValue, besides: partsAtHand,
		small: sizes{Rows: 1, ValueBytes: 100 * mib}, large: sizes{Rows: 1, ValueBytes: 1024 * mib},
	},
}

// partsAtHand is what a streamed value takes of memory, however long it is: what is read before
// it is known to be long, and a few pieces.
func partsAtHand(sizes) int64 { return 8 * mib }

// copies is what one value may take: that of the user and two of the database. One of the
// two is what was read a moment ago, and is about to be given back.
func copies(s sizes) int64 { return 3 * int64(s.ValueBytes) }

// rowsShown is what the iterators that stand on a row show of tables and memtables: a block,
// or the pages of the row. Every fourth handle is one.
func rowsShown(s sizes) int64 { return int64(s.Handles/4) * 16 << 10 }

// shapeOf returns the shape of a name, nil if there is none.
func shapeOf(name string) *shape {
	for _, s := range shapes {
		if s.name == name {
			return s
		}
	}
	return nil
}

// use is a database and how it is used.
type use struct {
	*lightning.DB
	sizes sizes

	key, value   []byte
	longestWrite time.Duration
}

// put is Put, and notes how long the longest one took.
func (u *use) put(row int) error {
	key, value := u.keyAt(row), u.valueAt(row)
	begin := time.Now()
	err := u.Put(key, value)
	u.longestWrite = max(u.longestWrite, time.Since(begin))
	return err
}

// keyAt returns the key of a row. The rows are in no order.
func (u *use) keyAt(row int) []byte {
	if u.key == nil {
		u.key = make([]byte, max(u.sizes.KeyBytes, 16))
		fill(u.key, 0)
	}
	scattered := uint64(row) * 0x9e3779b97f4a7c15
	binary.BigEndian.PutUint64(u.key[len(u.key)-8:], uint64(row))
	if len(u.key) < 1000 {
		binary.BigEndian.PutUint64(u.key, scattered)
		return u.key
	}
	// Long keys with long prefixes in common, and some without.
	binary.BigEndian.PutUint64(u.key[:8], scattered%16)
	binary.BigEndian.PutUint64(u.key[len(u.key)/2:], scattered)
	return u.key
}

// valueAt returns the value of a row, which does not compress.
func (u *use) valueAt(row int) []byte {
	if u.value == nil {
		u.value = make([]byte, u.sizes.ValueBytes)
		fill(u.value, 1)
	}
	if len(u.value) >= 8 {
		binary.BigEndian.PutUint64(u.value, uint64(row))
	}
	return u.value
}

func fill(b []byte, seed uint64) {
	rng := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = rng.Read(b) // never fails
}

// loadAndRead writes rows one by one, and reads them: some by key, all in order.
func loadAndRead(u *use) error {
	for row := range u.sizes.Rows {
		if err := u.put(row); err != nil {
			return err
		}
	}
	return u.read()
}

// read reads some rows by key, and all in order.
func (u *use) read() error {
	for row := 0; row < u.sizes.Rows; row += 7 {
		err := u.GetFunc(u.keyAt(row), func(value []byte) error {
			if len(value) != u.sizes.ValueBytes {
				return fmt.Errorf("row %d has %d bytes", row, len(value))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return u.scan()
}

func (u *use) scan() error {
	return u.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		found := 0
		for range rows {
			found++
		}
		if found != u.sizes.Rows {
			return fmt.Errorf("%d rows of %d", found, u.sizes.Rows)
		}
		return nil
	})
}

func loadBatches(u *use) error {
	const ops = 10_000
	b := u.NewBatch()
	for row := range u.sizes.Rows {
		if err := b.Put(u.keyAt(row), u.valueAt(row)); err != nil {
			return err
		}
		if b.Len() < ops && row < u.sizes.Rows-1 {
			continue
		}
		if err := b.Commit(); err != nil {
			return err
		}
		b.Reset()
	}
	return u.read()
}

func loadKeyspaces(u *use) error {
	spaces := make([]*lightning.Keyspace, u.sizes.Handles)
	for i := range spaces {
		var err error
		if spaces[i], err = u.Keyspace(context.Background(), fmt.Sprint("tenant-", i), nil); err != nil {
			return err
		}
	}
	for row := range u.sizes.Rows {
		if err := spaces[row%len(spaces)].Put(u.keyAt(row), u.valueAt(row)); err != nil {
			return err
		}
	}
	for row := range u.sizes.Rows {
		if _, err := spaces[row%len(spaces)].Get(u.keyAt(row)); err != nil {
			return err
		}
	}
	return nil
}

// holdUnderWrites makes a snapshot and an iterator again and again, while it writes. Of
// the iterators every other one stands on a row. At the end it moves all of them.
func holdUnderWrites(u *use) (err error) {
	var snapshots []*lightning.Snapshot
	var iterators []*lightning.Iterator
	each := u.sizes.Rows / u.sizes.Handles
	for row := range u.sizes.Rows {
		if err := u.put(row); err != nil {
			return err
		}
		switch {
		case row%each != 0:
			continue
		case row/each%2 == 0:
			s, err := u.Snapshot()
			if err != nil {
				return err
			}
			snapshots = append(snapshots, s)
			continue
		}
		it, err := u.Iterator(lightning.IterOptions{})
		if err != nil {
			return err
		}
		if iterators = append(iterators, it); len(iterators)%2 == 0 && !it.SeekGE(u.keyAt(row/2)) {
			return errors.New("an iterator found no row")
		}
	}
	for i, it := range iterators {
		if row := (2*i + 1) * each; i%2 == 1 && string(it.Key()) != string(u.keyAt(row/2)) {
			return errors.New("an iterator is not where it was")
		}
		if !it.Next() || len(it.Value()) != u.sizes.ValueBytes {
			return fmt.Errorf("an iterator does not move: %w", it.Err())
		}
		if err := it.Close(); err != nil {
			return err
		}
	}
	for i, s := range snapshots {
		if _, err := s.Get(u.keyAt(2 * i * each)); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// scanAtOnce scans everything many times at once.
func scanAtOnce(u *use) error {
	for row := range u.sizes.Rows {
		if err := u.put(row); err != nil {
			return err
		}
	}
	var group sync.WaitGroup
	errs := make([]error, u.sizes.Handles)
	for i := range errs {
		group.Go(func() { errs[i] = u.scan() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// streamedValue puts a value and reads it, as streams, has its table written anew, and reads it again.
func streamedValue(u *use) error {
	key, ctx := []byte("key"), context.Background()
	rng := rand.NewChaCha8([32]byte{1})
	put := func() error {
		_, err := u.PutReader(ctx, key, io.LimitReader(rng, int64(u.sizes.ValueBytes)))
		return err
	}
	look := func() error {
		r, err := u.GetReader(key)
		if err != nil {
			return err
		}
		defer r.Close()
		if n, err := io.Copy(io.Discard, r); err != nil || n != int64(u.sizes.ValueBytes) {
			return fmt.Errorf("%d bytes of the value: %w", n, err)
		}
		return nil
	}
	compact := func() error { return u.Compact(ctx, nil, nil) }
	for _, step := range []func() error{put, look, compact, look, put, compact, look} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// largeValue puts one value, and has it flushed, read and compacted.
func largeValue(u *use) error {
	key := []byte("key")
	if err := u.Put(key, u.valueAt(0)); err != nil {
		return err
	}
	ctx := context.Background()
	look := func() error {
		return u.GetFunc(key, func(value []byte) error {
			if len(value) != u.sizes.ValueBytes {
				return fmt.Errorf("the value has %d bytes", len(value))
			}
			return nil
		})
	}
	steps := []func() error{
		look, func() error { return u.Flush(ctx) }, look, func() error { return u.Compact(ctx, nil, nil) }, look,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
