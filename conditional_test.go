package lightning_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// conditionalVerbs are the verbs that depend on what the key holds, of DB and Keyspace.
type conditionalVerbs interface {
	writeVerbs
	Get(key []byte) ([]byte, error)
	ExpiresAt(key []byte) (time.Time, error)
	PutWithTTL(key, value []byte, ttl time.Duration) error
	PutIfAbsent(key, value []byte) (bool, error)
	CompareAndSwap(key, old, new []byte) (bool, error)
	CompareAndDelete(key, old []byte) (bool, error)
	GetAndDelete(key []byte) ([]byte, error)
	Touch(key []byte, ttl time.Duration) error
	Increment(key []byte, delta int64) (int64, error)
}

// inAllPlaces runs a test with the key in the memtable, in a table, and its value apart.
func inAllPlaces(t *testing.T, test func(t *testing.T, db conditionalVerbs, settle func())) {
	t.Helper()
	for _, place := range []string{"memory", "table", "blob table"} {
		for _, named := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, named %v", place, named), func(t *testing.T) {
				opts := small(memfs.New())
				opts.Tree.BlobBytes = -1
				if place == "blob table" {
					opts.Tree.BlobBytes = 16
				}
				db := open(t, opts)
				var verbs conditionalVerbs = db
				if named {
					k, err := db.Keyspace(context.Background(), "k", nil)
					must(t, err)
					verbs = k
				}
				test(t, verbs, func() {
					if place != "memory" {
						must(t, db.Compact(context.Background(), nil, nil))
					}
				})
			})
		}
	}
}

func expectHeld(t *testing.T, db conditionalVerbs, key, want string) {
	t.Helper()
	value, err := db.Get([]byte(key))
	if errors.Is(err, lightning.ErrNotFound) {
		value, err = []byte("none"), nil
	}
	must(t, err)
	if string(value) != want {
		t.Errorf("%q holds %q, want %q", key, value, want)
	}
}

func answers(t *testing.T, what string, got bool, err error, want bool) {
	t.Helper()
	must(t, err)
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestConditionalVerbs(t *testing.T) {
	long := string(bytes.Repeat([]byte("long"), 300))
	inAllPlaces(t, func(t *testing.T, db conditionalVerbs, settle func()) {
		for _, value := range []string{"", "v", long} {
			key := []byte("key")
			_, err := db.GetAndDelete(key)
			wantErr(t, err, lightning.ErrNotFound)
			wantErr(t, db.Touch(key, time.Hour), lightning.ErrNotFound)
			ok, err := db.CompareAndSwap(key, nil, []byte("x"))
			answers(t, "swap of nothing", ok, err, false)
			ok, err = db.CompareAndDelete(key, nil)
			answers(t, "delete of nothing", ok, err, false)
			expectHeld(t, db, "key", "none")

			ok, err = db.PutIfAbsent(key, []byte(value))
			answers(t, "first put", ok, err, true)
			settle()
			ok, err = db.PutIfAbsent(key, []byte("other"))
			answers(t, "second put", ok, err, false)
			expectHeld(t, db, "key", value)
			ok, err = db.CompareAndSwap(key, []byte(value+"?"), []byte("other"))
			answers(t, "swap of another value", ok, err, false)
			ok, err = db.CompareAndDelete(key, []byte(value+"?"))
			answers(t, "delete of another value", ok, err, false)
			expectHeld(t, db, "key", value)
			ok, err = db.CompareAndSwap(key, []byte(value), []byte(value+"!"))
			answers(t, "swap", ok, err, true)
			settle()
			expectHeld(t, db, "key", value+"!")
			ok, err = db.CompareAndDelete(key, []byte(value+"!"))
			answers(t, "delete", ok, err, true)
			settle()
			expectHeld(t, db, "key", "none")

			must(t, db.Put(key, []byte(value)))
			settle()
			got, err := db.GetAndDelete(key)
			if err != nil || got == nil || string(got) != value {
				t.Errorf("get and delete: %q, %v, want %q", got, err, value)
			}
			expectHeld(t, db, "key", "none")
			must(t, db.Put(key, []byte(value)))
			must(t, db.DeleteRange(nil, nil))
			ok, err = db.PutIfAbsent(key, []byte(value))
			answers(t, "put under a range delete", ok, err, true)
			must(t, db.Delete(key))
		}
	})
}

func TestIncrement(t *testing.T) {
	inAllPlaces(t, func(t *testing.T, db conditionalVerbs, settle func()) {
		key := []byte("counter")
		for _, c := range []struct{ delta, want int64 }{
			{5, 5}, {0, 5}, {-7, -2}, {1<<63 - 1, 1<<63 - 3}, {10, -1<<63 + 7},
		} {
			sum, err := db.Increment(key, c.delta)
			must(t, err)
			if sum != c.want {
				t.Errorf("plus %d is %d, want %d", c.delta, sum, c.want)
			}
			settle()
			value, err := db.Get(key)
			must(t, err)
			if got := int64(binary.LittleEndian.Uint64(value)); got != c.want {
				t.Errorf("%d is stored, want %d", got, c.want)
			}
		}
		for _, value := range []string{"", "1", "9 letters"} {
			must(t, db.Put(key, []byte(value)))
			_, err := db.Increment(key, 1)
			wantErr(t, err, lightning.ErrNotInteger)
			expectHeld(t, db, "counter", value)
		}
	})
}

// Increment and Merge count the same number, also where operands are not folded yet; other
// operators have their say.
func TestIncrementWithOperators(t *testing.T) {
	db := open(t, small(memfs.New()))
	counters, err := db.Keyspace(context.Background(), "counters", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	must(t, err)
	one := binary.LittleEndian.AppendUint64(nil, 1)
	for i := range int64(5) {
		must(t, counters.Merge([]byte("n"), one))
		if i == 2 {
			must(t, db.Flush(context.Background()))
		}
		if sum, err := counters.Increment([]byte("n"), 10); err != nil || sum != 11*(i+1) {
			t.Fatalf("the sum is %d, %v, want %d", sum, err, 11*(i+1))
		}
	}
	wantErr(t, counters.Touch([]byte("n"), time.Hour), lightning.ErrNoExpiry)
	must(t, counters.Touch([]byte("n"), lightning.Forever))
	_, err = counters.PutIfAbsent([]byte("m"), []byte("no number"))
	wantErr(t, err, lightning.ErrMergeRefused)
	documents, err := db.Keyspace(context.Background(), "documents", &lightning.KeyspaceOptions{Merge: lightning.MergeJSONPatch})
	must(t, err)
	_, err = documents.Increment([]byte("n"), 1)
	wantErr(t, err, lightning.ErrMergeRefused)
	must(t, documents.Merge([]byte("d"), []byte(`{"a":1}`)))
	ok, err := documents.CompareAndSwap([]byte("d"), []byte(`{"a":1}`), []byte(`{"b":2}`))
	answers(t, "swap of what operands make", ok, err, true)
	expectHeld(t, documents, "d", `{"b":2}`)
}

// What has expired is absent, to the nanosecond, and what is touched lives on.
func TestConditionalExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", small(memfs.New()))
		must(t, err)
		defer func() { must(t, db.Close()) }()
		brief, err := db.Keyspace(context.Background(), "brief", &lightning.KeyspaceOptions{TTL: time.Minute})
		must(t, err)
		for _, flushed := range []bool{false, true} {
			expires := func(verbs conditionalVerbs, key string, after time.Duration) {
				t.Helper()
				at, err := verbs.ExpiresAt([]byte(key))
				must(t, err)
				if after == lightning.Forever {
					if !at.IsZero() {
						t.Errorf("%s expires at %v", key, at)
					}
				} else if !at.Equal(time.Now().Add(after)) {
					t.Errorf("%s expires in %v, want %v", key, time.Until(at), after)
				}
			}
			must(t, db.PutWithTTL([]byte("k"), []byte("old"), time.Minute))
			must(t, db.PutWithTTL([]byte("kept"), []byte("old"), time.Minute))
			must(t, db.PutWithTTL([]byte("n"), make([]byte, 8), time.Minute))
			if flushed {
				must(t, db.Flush(context.Background()))
			}
			must(t, db.Touch([]byte("kept"), time.Hour))
			expires(db, "kept", time.Hour)
			time.Sleep(time.Minute - 1)
			ok, err := db.PutIfAbsent([]byte("k"), []byte("new"))
			answers(t, "put just before it expires", ok, err, false)
			if sum, err := db.Increment([]byte("n"), 3); err != nil || sum != 3 {
				t.Errorf("the sum is %d, %v", sum, err)
			}
			expires(db, "n", 1)
			time.Sleep(1)
			wantErr(t, db.Touch([]byte("k"), time.Hour), lightning.ErrNotFound)
			ok, err = db.CompareAndSwap([]byte("k"), []byte("old"), []byte("new"))
			answers(t, "swap of what has expired", ok, err, false)
			_, err = db.GetAndDelete([]byte("k"))
			wantErr(t, err, lightning.ErrNotFound)
			ok, err = db.PutIfAbsent([]byte("k"), []byte("new"))
			answers(t, "put of what has expired", ok, err, true)
			expires(db, "k", lightning.Forever)
			if sum, err := db.Increment([]byte("n"), 3); err != nil || sum != 3 {
				t.Errorf("the sum of what has expired is %d, %v", sum, err)
			}
			expires(db, "n", lightning.Forever)
			expectHeld(t, db, "kept", "old")
			must(t, db.Touch([]byte("kept"), lightning.Forever))
			expires(db, "kept", lightning.Forever)
			must(t, db.Touch([]byte("kept"), time.Second))
			expires(db, "kept", time.Second)

			_, err = brief.Increment([]byte("n"), 1)
			must(t, err)
			expires(brief, "n", time.Minute)
			time.Sleep(time.Second)
			_, err = brief.Increment([]byte("n"), 1)
			must(t, err)
			expires(brief, "n", 59*time.Second)
			ok, err = brief.CompareAndSwap([]byte("n"), binary.LittleEndian.AppendUint64(nil, 2), []byte("x"))
			answers(t, "swap", ok, err, true)
			expires(brief, "n", time.Minute)
			must(t, db.DeleteRange(nil, nil))
			must(t, brief.DeleteRange(nil, nil))
		}
	})
}

// Many at once: each number is given out once, each value is got once, and one is first.
func TestConditionalVerbsTogether(t *testing.T) {
	for _, durability := range []lightning.Durability{lightning.DurabilityAsync, lightning.DurabilitySync} {
		opts := small(memfs.New())
		opts.Durability = durability
		db := open(t, opts)
		const goroutines, rounds = 8, 60
		var firsts, gone atomic.Int64
		sums := make([][]int64, goroutines)
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				for i := range rounds {
					sum, err := db.Increment([]byte("n"), 1)
					if err != nil {
						t.Error(err)
						return
					}
					sums[g] = append(sums[g], sum)
					round := fmt.Appendf(nil, "round %d", i)
					if ok, err := db.PutIfAbsent(round, nil); err != nil {
						t.Error(err)
					} else if ok {
						firsts.Add(1)
					}
					if _, err := db.GetAndDelete(fmt.Appendf(nil, "round %d", i/2)); err == nil {
						gone.Add(1)
					} else if !errors.Is(err, lightning.ErrNotFound) {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		seen := map[int64]bool{}
		for _, of := range sums {
			for i, sum := range of {
				if seen[sum] || i > 0 && sum <= of[i-1] {
					t.Fatalf("the number %d comes again, or late", sum)
				}
				seen[sum] = true
			}
		}
		if len(seen) != goroutines*rounds || !seen[goroutines*rounds] {
			t.Errorf("%d numbers were given out", len(seen))
		}
		left := int64(0)
		for i := range rounds {
			if has, err := db.Has(fmt.Appendf(nil, "round %d", i)); err != nil {
				t.Error(err)
			} else if has {
				left++
			}
		}
		if firsts.Load() != gone.Load()+left {
			t.Errorf("%d were put, %d taken away, and %d are left", firsts.Load(), gone.Load(), left)
		}
		must(t, db.Close())
	}
}

// They are refused where a Put is, also where there is nothing to write.
func TestConditionalVerbsAreRefused(t *testing.T) {
	calls := map[string]func(db conditionalVerbs, key []byte) error{
		"PutIfAbsent":      func(db conditionalVerbs, key []byte) error { _, err := db.PutIfAbsent(key, nil); return err },
		"CompareAndSwap":   func(db conditionalVerbs, key []byte) error { _, err := db.CompareAndSwap(key, nil, nil); return err },
		"CompareAndDelete": func(db conditionalVerbs, key []byte) error { _, err := db.CompareAndDelete(key, nil); return err },
		"GetAndDelete":     func(db conditionalVerbs, key []byte) error { _, err := db.GetAndDelete(key); return err },
		"Touch":            func(db conditionalVerbs, key []byte) error { return db.Touch(key, time.Hour) },
		"Increment":        func(db conditionalVerbs, key []byte) error { _, err := db.Increment(key, 1); return err },
	}
	fs := memfs.New()
	disk := faultfs.New(fs)
	opts := small(fs)
	opts.FS = disk
	db := open(t, opts)
	k, err := db.Keyspace(context.Background(), "k", nil)
	must(t, err)
	must(t, k.Put([]byte("a"), nil))
	must(t, db.Put([]byte("a"), nil))
	dropped, err := db.Keyspace(context.Background(), "dropped", nil)
	must(t, err)
	must(t, db.DropKeyspace(context.Background(), "dropped"))
	expect := func(verbs conditionalVerbs, want error) {
		t.Helper()
		for name, call := range calls {
			for _, key := range []string{"a", "b"} {
				if err := call(verbs, []byte(key)); !errors.Is(err, want) {
					t.Errorf("%s of %s: %v, want %v", name, key, err, want)
				}
			}
		}
	}
	for name, call := range calls {
		if err := call(db, make([]byte, lightning.MaxKeyBytes+1)); !errors.Is(err, lightning.ErrKeyTooLarge) {
			t.Errorf("%s of a long key: %v", name, err)
		}
	}
	_, err = db.PutIfAbsent([]byte("a"), make([]byte, lightning.MaxValueBytes+1))
	wantErr(t, err, lightning.ErrValueTooLarge)
	wantErr(t, db.Touch([]byte("a"), 0), lightning.ErrTTL)
	wantErr(t, db.Touch([]byte("a"), lightning.Forever-1), lightning.ErrTTL)
	expect(dropped, lightning.ErrKeyspaceDropped)
	broken := errors.New("no writes today")
	disk.Add(faultfs.Rule{Kinds: vfs.OpWrite | vfs.OpAnySync, Name: "*.wal", Sticky: true, Err: broken})
	_, err = db.PutIfAbsent([]byte("c"), nil)
	wantErr(t, err, broken)
	expect(db, broken)
	expect(k, broken)
	wantErr(t, db.Close(), broken)
	expect(k, lightning.ErrClosed)

	opts.FS, opts.ReadOnly = fs, true
	db = open(t, opts)
	expect(db, lightning.ErrReadOnly)
	must(t, db.Close())
	expect(db, lightning.ErrClosed)
	expect(&lightning.DB{}, lightning.ErrClosed)
	expect(&lightning.Keyspace{}, lightning.ErrClosed)
}

func BenchmarkConditional(b *testing.B) {
	db := open(b, &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
	b.Run("Increment", func(b *testing.B) {
		for b.Loop() {
			if _, err := db.Increment([]byte("n"), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("PutIfAbsent of what is there", func(b *testing.B) {
		for b.Loop() {
			if _, err := db.PutIfAbsent([]byte("n"), []byte("value")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("CompareAndSwap", func(b *testing.B) {
		value := []byte("value 0")
		must(b, db.Put([]byte("k"), value))
		for b.Loop() {
			if ok, err := db.CompareAndSwap([]byte("k"), value, value); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
	})
}
