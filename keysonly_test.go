package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// walkable is what has iterators and counts.
type walkable interface {
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
	Scan(o lightning.ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error
	Count(ctx context.Context, lo, hi []byte) (int64, error)
}

// expectSameKeys moves two iterators alike, of which one has no values, and counts.
func expectSameKeys(t *testing.T, db walkable, rng *rand.Rand, key func() []byte) {
	t.Helper()
	lo, hi := key(), key()
	if bytes.Compare(lo, hi) > 0 {
		lo, hi = hi, lo
	}
	if rng.IntN(3) == 0 {
		lo, hi = nil, nil
	}
	full, err := db.Iterator(lightning.IterOptions{Lower: lo, Upper: hi})
	must(t, err)
	alone, err := db.Iterator(lightning.IterOptions{Lower: lo, Upper: hi, KeysOnly: true})
	must(t, err)
	for range 60 {
		var move func(it *lightning.Iterator) bool
		to := key()
		switch rng.IntN(8) {
		case 0:
			move = (*lightning.Iterator).First
		case 1:
			move = (*lightning.Iterator).Last
		case 2:
			move = func(it *lightning.Iterator) bool { return it.SeekGE(to) }
		case 3:
			move = func(it *lightning.Iterator) bool { return it.SeekLT(to) }
		case 4, 5:
			move = (*lightning.Iterator).Next
		default:
			move = (*lightning.Iterator).Prev
		}
		a, b := move(full), move(alone)
		if a != b || !bytes.Equal(full.Key(), alone.Key()) || !full.ExpiresAt().Equal(alone.ExpiresAt()) || alone.Value() != nil {
			t.Fatalf("row %v %q until %v; keys alone %v %q=%q until %v", a, full.Key(), full.ExpiresAt(),
				b, alone.Key(), alone.Value(), alone.ExpiresAt())
		}
	}
	must(t, full.Close())
	must(t, alone.Close())
	rows := int64(0)
	for _, reverse := range []bool{false, true} {
		o := lightning.ScanOptions{IterOptions: lightning.IterOptions{Lower: lo, Upper: hi}, Reverse: reverse}
		var keys, again []string
		must(t, db.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
			for key := range rows {
				keys = append(keys, string(key))
			}
			return nil
		}))
		o.KeysOnly = true
		must(t, db.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
			for key, value := range rows {
				if again = append(again, string(key)); value != nil {
					t.Errorf("%q has a value", key)
				}
			}
			return nil
		}))
		if fmt.Sprint(keys) != fmt.Sprint(again) {
			t.Fatalf("keys alone are %q, want %q", again, keys)
		}
		rows = int64(len(keys))
	}
	if n, err := db.Count(context.Background(), lo, hi); err != nil || n != rows {
		t.Errorf("counted %d, %v, want %d", n, err, rows)
	}
}

// Keys alone are the keys of the rows, with operands, expiry, large values and deletes, in
// memory and in tables, in both directions, and in transactions with writes of their own.
func TestKeysOnly(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			opts := small(memfs.New())
			opts.Tree.BlobBytes = []int{-1, 16}[seed%2]
			opts.Debug.CheckSlices, opts.Durability = seed == 3, lightning.DurabilityAsync
			db := open(t, opts)
			merging, err := db.Keyspace(context.Background(), "merging", &lightning.KeyspaceOptions{Merge: lightning.MergeAppend})
			must(t, err)
			key := func() []byte { return fmt.Appendf(nil, "k%03d", rng.IntN(200)) }
			value := func() []byte {
				return bytes.Repeat([]byte("v"), []int{1, 40, 3000, 20_000}[rng.IntN(32)*rng.IntN(32)/250])
			}
			for range 4 {
				for range 80 {
					switch rng.IntN(8) {
					case 0:
						must(t, db.Delete(key()))
						must(t, merging.Delete(key()))
					case 1:
						must(t, db.PutWithTTL(key(), value(), time.Hour))
						must(t, merging.Merge(key(), value()))
					case 2:
						must(t, db.PutWithTTL(key(), value(), 1))
						must(t, merging.Merge(key(), []byte("+")))
					default:
						must(t, db.Put(key(), value()))
						must(t, merging.Put(key(), value()))
					}
				}
				if rng.IntN(3) == 0 {
					lo := key()
					must(t, db.DeleteRange(lo, append(lo[:3:3], 'z')))
				}
				if rng.IntN(2) == 0 {
					must(t, db.Flush(context.Background()))
				}
			}
			for _, db := range []walkable{db, merging} {
				for range 3 {
					expectSameKeys(t, db, rng, key)
				}
			}
			must(t, db.Update(func(tx *lightning.Tx) error {
				in := tx.In(merging)
				for range 30 {
					must(t, errors.Join(tx.Put(key(), value()), tx.Delete(key()), in.Put(key(), value()),
						in.Merge(key(), []byte("!")), in.Delete(key())))
				}
				expectSameKeys(t, tx, rng, key)
				expectSameKeys(t, in, rng, key)
				return nil
			}))
			snap, err := db.Snapshot()
			must(t, err)
			expectSameKeys(t, snap, rng, key)
			expectSameKeys(t, snap.In(merging), rng, key)
			must(t, snap.Close())
			must(t, db.Compact(context.Background(), nil, nil))
			expectSameKeys(t, db, rng, key)
			expectSameKeys(t, merging, rng, key)
		})
	}
}

// Who wants keys alone reads no value that is kept apart.
func TestKeysOnlyReadsNoBlobs(t *testing.T) {
	disk := faultfs.New(memfs.New())
	opts := &lightning.Options{FS: disk, MemoryBudget: 8 << 20, Tree: lightning.TreeOptions{BlobBytes: 1 << 10}}
	db := open(t, opts)
	const rows, valueBytes = 100, 64 << 10
	for i := range rows {
		must(t, db.Put(fmt.Appendf(nil, "k%03d", i), make([]byte, valueBytes)))
	}
	must(t, db.Compact(context.Background(), nil, nil))
	must(t, db.Close())
	db = open(t, opts)
	var readBytes atomic.Int64
	disk.Add(faultfs.Rule{Kinds: vfs.OpRead, Sticky: true, Before: func(op vfs.Op) { readBytes.Add(op.Length) }})
	if n, err := db.Count(context.Background(), nil, nil); n != rows || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	it, err := db.Iterator(lightning.IterOptions{KeysOnly: true})
	must(t, err)
	n := 0
	for ok := it.Last(); ok; ok = it.Prev() {
		n++
	}
	must(t, it.Close())
	if got := readBytes.Load(); n != rows || got > valueBytes {
		t.Errorf("%d keys took reads of %d bytes", n, got)
	}
	must(t, db.Close())
}

// A count ends with its context, and counts a range as read.
func TestCount(t *testing.T) {
	db := open(t, small(memfs.New()))
	fill(t, db, 5000)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(enough)
	_, err := db.Count(ctx, nil, nil)
	wantErr(t, err, enough)
	_, err = db.Count(countdown{context.Background(), new(atomic.Int64)}, nil, nil)
	wantErr(t, err, context.Canceled)
	_, err = db.Count(nil, nil, nil) // it says so
	wantErr(t, err, lightning.ErrNilArgument)
	_, err = db.Count(context.Background(), []byte("b"), []byte("a"))
	wantErr(t, err, lightning.ErrInvalidRange)
	if n, err := db.Count(context.Background(), []byte("key000100"), []byte("key000200")); n != 100 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	for key, conflict := range map[string]bool{"key000150x": true, "key000250x": false} {
		tx, err := db.Begin(lightning.TxOptions{})
		must(t, err)
		_, err = tx.Count(context.Background(), []byte("key000100"), []byte("key000200"))
		must(t, err)
		must(t, tx.Put([]byte("out"), nil))
		must(t, db.Put([]byte(key), nil))
		if err := tx.Commit(); errors.Is(err, lightning.ErrConflict) != conflict {
			t.Errorf("a new key %s: %v", key, err)
		}
	}
}

// countdown is a context that ends when it was asked three times.
type countdown struct {
	context.Context
	asked *atomic.Int64
}

func (c countdown) Err() error {
	if c.asked.Add(1) > 3 {
		return context.Canceled
	}
	return nil
}

func BenchmarkCount(b *testing.B) {
	db := open(b, &lightning.Options{FS: memfs.New()})
	fill(b, db, 100_000)
	must(b, db.Compact(context.Background(), nil, nil))
	for b.Loop() {
		if n, err := db.Count(context.Background(), nil, nil); n != 100_000 || err != nil {
			b.Fatal(n, err)
		}
	}
}
