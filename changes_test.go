package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// replica is what a consumer makes of a feed: rows by keyspace and key.
type replica map[string]map[string]string

func (r replica) clone() replica {
	out := replica{}
	for name, rows := range r {
		if len(rows) > 0 { // an empty keyspace and none are the same to a feed
			out[name] = maps.Clone(rows)
		}
	}
	return out
}

func (r replica) space(name string) map[string]string {
	if r[name] == nil {
		r[name] = map[string]string{}
	}
	return r[name]
}

func (r replica) equal(other replica) bool {
	return maps.EqualFunc(r.clone(), other.clone(), maps.Equal[map[string]string])
}

func (r replica) deleteRange(name, lo, hi string) {
	maps.DeleteFunc(r[name], func(key, _ string) bool { return key >= lo && (hi == "" || key < hi) })
}

func (r replica) apply(t *testing.T, batch *lightning.ChangeBatch) {
	t.Helper()
	n := 0
	for c := range batch.All() {
		n++
		switch c.Kind {
		case lightning.ChangePut:
			r.space(c.Keyspace)[string(c.Key)] = string(c.Value)
		case lightning.ChangeDelete:
			delete(r.space(c.Keyspace), string(c.Key))
		case lightning.ChangeDeleteRange:
			r.deleteRange(c.Keyspace, string(c.Key), string(c.End))
		case lightning.ChangeKeyspace:
			r.space(c.Keyspace)
		case lightning.ChangeDropKeyspace:
			delete(r, c.Keyspace)
		default:
			t.Fatalf("unknown change %v", c.Kind)
		}
	}
	// A transaction that went to files has fewer numbers than changes.
	if n != batch.Len() || uint64(n) < batch.Last-batch.First+1 || batch.Err() != nil {
		t.Fatalf("batch %d..%d has %d changes and says %d", batch.First, batch.Last, n, batch.Len())
	}
}

// follow calls fn with the batches from a number to the newest one.
func follow(t *testing.T, db *lightning.DB, from uint64, fn func(*lightning.ChangeBatch)) {
	t.Helper()
	newest := db.Metrics().VisibleSeq
	if from > newest {
		return
	}
	for batch, err := range db.Changes(t.Context(), from) {
		must(t, err)
		fn(batch)
		if batch.Last >= newest {
			break
		}
	}
}

// writer makes random commits through all that writes, and notes what the
// database held after each.
type writer struct {
	t      *testing.T
	rng    *rand.Rand
	db     *lightning.DB
	rows   replica
	states map[uint64]replica // by the last number of the commit
}

func (w *writer) key() string   { return fmt.Sprintf("%02d", w.rng.IntN(30)) }
func (w *writer) value() string { return strings.Repeat(w.key(), 1+w.rng.IntN(40)) }
func (w *writer) name() string  { return []string{"", "a", "b"}[w.rng.IntN(3)] }

func (w *writer) durability() lightning.Durability {
	return []lightning.Durability{lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync}[w.rng.IntN(3)]
}

// verbs are what batches and transactions share.
type verbs interface {
	Put(key, value []byte) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
}

func (w *writer) in(name string) *lightning.Keyspace {
	k, err := w.db.Keyspace(context.Background(), name, nil)
	must(w.t, err)
	return k
}

func (w *writer) write(target verbs, name string) {
	switch w.rng.IntN(6) {
	case 0:
		key := w.key()
		delete(w.rows[name], key)
		must(w.t, target.Delete([]byte(key)))
	case 1:
		lo, hi := w.key(), w.key()
		if lo >= hi {
			lo, hi = hi, ""
		}
		var end []byte
		if hi != "" {
			end = []byte(hi)
		}
		w.rows.deleteRange(name, lo, hi)
		must(w.t, target.DeleteRange([]byte(lo), end))
	default:
		key, value := w.key(), w.value()
		w.rows.space(name)[key] = value
		must(w.t, target.Put([]byte(key), []byte(value)))
	}
}

func (w *writer) commit() {
	w.t.Helper()
	for _, name := range []string{"a", "b"} { // making one is a commit
		w.in(name)
		w.rows.space(name)
		w.states[w.db.Metrics().VisibleSeq] = w.rows.clone()
	}
	name := w.name()
	switch w.rng.IntN(12) {
	case 0:
		if name != "" {
			w.in(name)
			must(w.t, w.db.DropKeyspace(context.Background(), name))
			delete(w.rows, name)
		}
	case 1, 2:
		lightning.SpillAt(w.db, w.rng.Int64N(2)<<20)
		must(w.t, w.db.Update(func(tx *lightning.Tx) error {
			for range 1 + w.rng.IntN(4) {
				if name = w.name(); name == "" {
					w.write(tx, name)
				} else {
					w.write(tx.In(w.in(name)), name)
				}
			}
			return nil
		}))
	case 3, 4, 5:
		batch, n := w.db.NewBatch(), 1+w.rng.IntN(5)
		if w.rng.IntN(20) == 0 {
			n = 3000 // more than a memtable
		}
		for range n {
			if name = w.name(); name == "" {
				w.write(batch, name)
			} else {
				w.write(batch.In(w.in(name)), name)
			}
		}
		must(w.t, batch.CommitWith(w.durability()))
	default:
		if name == "" {
			w.write(w.db, name)
		} else {
			w.write(w.in(name), name)
		}
	}
	w.states[w.db.Metrics().VisibleSeq] = w.rows.clone()
}

func historyOptions(rng *rand.Rand, fs *memfs.FS) *lightning.Options {
	return &lightning.Options{
		FS: fs, MemoryBudget: 4 << 20, Durability: lightning.Durability(rng.IntN(3)),
		Tree:       lightning.TreeOptions{MemtableBytes: 64 << 10, BlockBytes: 512},
		LogArchive: lightning.LogArchiveOptions{SizeBytes: 1 << 30},
	}
}

// TestChangesReplayed makes a second database of the changes of the first. They
// must be the same behind every batch, whoever reads while it is written, and
// from every batch on after it.
func TestChangesReplayed(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			fs := memfs.New()
			w := &writer{t: t, rng: rng, rows: replica{}, states: map[uint64]replica{}}
			copied, next, batches := replica{}, uint64(1), []uint64(nil)
			read := func() {
				follow(t, w.db, next, func(batch *lightning.ChangeBatch) {
					if batch.First != next {
						t.Fatalf("batch %d..%d, want %d next", batch.First, batch.Last, next)
					}
					copied.apply(t, batch)
					if want, ok := w.states[batch.Last]; !ok || !copied.equal(want) {
						t.Fatalf("after %d..%d the rows differ (a commit ends there: %v)\n%v\n%v",
							batch.First, batch.Last, ok, copied, want)
					}
					batches = append(batches, batch.First)
					next = batch.Last + 1
				})
			}
			for range 5 { // lives
				db, err := lightning.Open("db", historyOptions(rng, fs))
				must(t, err)
				w.db = db
				for range 80 {
					w.commit()
					if rng.IntN(25) == 0 {
						must(t, db.Flush(t.Context()))
					}
					if rng.IntN(15) == 0 {
						read()
					}
				}
				if rng.IntN(2) == 0 {
					must(t, db.SyncLog(context.Background()))
					fs = fs.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: rng.Uint64()})
				}
				must(t, db.Close())
			}
			db, err := lightning.Open("db", historyOptions(rng, fs))
			must(t, err)
			w.db = db
			read()
			checkResumption(t, db, batches, next-1)
			must(t, db.Close())
			o := historyOptions(rng, fs)
			o.ReadOnly = true
			db, err = lightning.Open("db", o)
			must(t, err)
			n := 0
			for _, err := range db.Changes(t.Context(), 0) {
				must(t, err)
				n++
			}
			if n != len(batches) {
				t.Errorf("a read-only database has %d batches, want %d", n, len(batches))
			}
			must(t, db.Close())
		})
	}
}

// checkResumption begins at each batch, and in its middle.
func checkResumption(t *testing.T, db *lightning.DB, batches []uint64, newest uint64) {
	t.Helper()
	for i, first := range batches {
		last := newest
		if i+1 < len(batches) {
			last = batches[i+1] - 1
		}
		for _, from := range []uint64{first, last} {
			for batch, err := range db.Changes(t.Context(), from) {
				must(t, err)
				if batch.First != first || batch.Last != last {
					t.Errorf("from %d: batch %d..%d, want %d..%d", from, batch.First, batch.Last, first, last)
				}
				break
			}
		}
	}
}

// TestChangesWait: a loop that has caught up gets the next commit when it is
// durable, and ends at once with its context or the database.
func TestChangesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := lightning.Open("db", &lightning.Options{FS: memfs.New()})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var got []uint64
		var ends []error
		loop := func(ctx context.Context) {
			for batch, err := range db.Changes(ctx, 0) {
				mu.Lock()
				if err != nil {
					ends = append(ends, err)
				} else {
					got = append(got, batch.Last)
				}
				mu.Unlock()
			}
		}
		go loop(ctx)
		go loop(t.Context())
		expect := func(batches, ended int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(got) != batches || len(ends) != ended {
				t.Errorf("%d batches and %d ends, want %d and %d", len(got), len(ends), batches, ended)
			}
		}
		put := func(d lightning.Durability) {
			t.Helper()
			batch := db.NewBatch()
			must(t, batch.Put([]byte("a"), []byte("1")))
			must(t, batch.CommitWith(d))
		}
		expect(0, 0)
		if feeds := db.Metrics().LogArchive.Feeds; feeds != 2 {
			t.Errorf("%d feeds, want 2", feeds)
		}
		put(lightning.DurabilitySync)
		expect(2, 0)
		put(lightning.DurabilityAsync)
		time.Sleep(10*time.Millisecond - 1)
		expect(2, 0)
		time.Sleep(1)
		expect(4, 0)
		put(lightning.DurabilityBuffered)
		put(lightning.DurabilitySync) // brings the one before along
		time.Sleep(10 * time.Millisecond)
		expect(8, 0)
		start := time.Now()
		cancel()
		expect(8, 1)
		must(t, db.Close())
		expect(8, 2)
		if !errors.Is(ends[0], context.Canceled) || !errors.Is(ends[1], lightning.ErrClosed) {
			t.Errorf("the loops ended with %v", ends)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestChangesBegin(t *testing.T) {
	fs := memfs.New()
	db, err := lightning.Open("db", &lightning.Options{FS: fs})
	must(t, err)
	firstError := func(from uint64) error {
		for _, err := range db.Changes(t.Context(), from) {
			return err
		}
		return nil
	}
	must(t, db.Put([]byte("a"), nil))
	must(t, firstError(1))
	wantErr(t, firstError(3), lightning.ErrChangesAhead)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range db.Changes(ctx, 1) {
		wantErr(t, err, context.Canceled)
	}
	must(t, db.Close())
	wantErr(t, firstError(1), lightning.ErrClosed)
	// Without history a reopen begins anew, and says so.
	db, err = lightning.Open("db", &lightning.Options{FS: fs})
	must(t, err)
	defer db.Close()
	var gap *lightning.GapError
	err = firstError(1)
	wantErr(t, err, lightning.ErrGap)
	if !errors.As(err, &gap) || gap.From != 1 || gap.Oldest != 2 || errors.Is(err, lightning.ErrCorrupted) {
		t.Errorf("gap is %+v", gap)
	}
	must(t, db.Put([]byte("b"), nil))
	must(t, firstError(gap.Oldest))
	must(t, firstError(0))
	for _, bad := range []lightning.LogArchiveOptions{{SizeBytes: -1}, {Age: -1}} {
		_, err := lightning.Open("other", &lightning.Options{FS: fs, LogArchive: bad})
		var option *lightning.OptionError
		if !errors.As(err, &option) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestChangesBesideWriters has several consumers and writers at a time, over
// rotations and flushes. Each consumer must see everything once, in order.
func TestChangesBesideWriters(t *testing.T) {
	o := historyOptions(rand.New(rand.NewPCG(1, 1)), memfs.New())
	db, err := lightning.Open("db", o)
	must(t, err)
	const writers, each = 3, 600
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			for i := range each {
				batch := db.NewBatch()
				key := fmt.Appendf(nil, "%d/%05d", n, i)
				must(t, errors.Join(batch.Put(key, make([]byte, 200)), batch.Delete([]byte("x"))))
				must(t, batch.CommitWith(lightning.Durability(i%3)))
			}
		})
	}
	for range 3 {
		all.Go(func() {
			next, seen := uint64(1), [writers]int{}
			for batch, err := range db.Changes(t.Context(), next) {
				if err != nil || batch.First != next || batch.Len() != 2 {
					t.Errorf("want %d, got %+v, %v", next, batch, err)
					return
				}
				for c := range batch.All() {
					if c.Kind == lightning.ChangePut {
						var n, i int
						_, _ = fmt.Sscanf(string(c.Key), "%d/%d", &n, &i)
						if seen[n] != i {
							t.Errorf("writer %d: %d after %d", n, i, seen[n])
						}
						seen[n]++
					}
				}
				if next = batch.Last + 1; next > writers*each*2 {
					return
				}
			}
		})
	}
	all.Wait()
	must(t, db.Close())
}

// A transaction that is committed past the log comes like any other, for one who waits
// and for one who comes later, also when nothing else is left of its tables.
func TestChangesOfSpilledTransactions(t *testing.T) {
	o := small(memfs.New())
	o.LogArchive.SizeBytes = 1 << 30
	db := open(t, o)
	must(t, db.Put([]byte("before"), nil))
	text := func(batch *lightning.ChangeBatch) string {
		line := fmt.Sprintf("%d..%d, %d:", batch.First, batch.Last, batch.Len())
		for c := range batch.All() {
			line += fmt.Sprintf(" %v %s %s", c.Kind, c.Key, c.Value)
		}
		must(t, batch.Err())
		return line
	}
	begun, got := make(chan struct{}), make(chan string)
	go func() {
		defer close(got)
		for batch, err := range db.Changes(t.Context(), 0) {
			must(t, err)
			switch batch.First {
			case 1:
				close(begun)
				continue
			case 3:
				return
			}
			got <- text(batch)
		}
	}()
	<-begun
	lightning.SpillAt(db, 0)
	must(t, db.Update(func(tx *lightning.Tx) error {
		return errors.Join(
			tx.Put([]byte("b"), []byte("2")), tx.Put([]byte("c"), nil), tx.Put([]byte("a"), nil),
			tx.DeleteRange([]byte("bb"), []byte("d")), tx.Put([]byte("a"), []byte("1")), tx.Delete([]byte("x")),
		)
	}))
	const want = "2..2, 4: delete-range bb  put a 1 put b 2 delete x "
	if line := <-got; line != want {
		t.Errorf("one who waits got %q", line)
	}
	must(t, db.Put([]byte("behind"), nil))
	<-got
	m := db.Metrics().LogArchive
	if m.Transactions != 1 || m.SizeBytes == 0 || m.OldestSeq != 1 {
		t.Errorf("metrics are %+v", m)
	}
	for what, settle := range map[string]func() error{
		"at once":          func() error { return nil },
		"after a flush":    func() error { return db.Flush(t.Context()) },
		"after compaction": func() error { return db.Compact(t.Context(), nil, nil) },
		"after a reopen":   func() error { err := db.Close(); db = open(t, o); return err },
	} {
		must(t, settle())
		var lines []string
		for batch, err := range db.Changes(t.Context(), 1) {
			must(t, err)
			if lines = append(lines, text(batch)); batch.Last == 3 {
				break
			}
		}
		if len(lines) != 3 || lines[1] != want {
			t.Errorf("%s: %q", what, lines)
		}
	}
}

// What a replica needs to know of a keyspace is delivered when it is made, and when it
// gets other options.
func TestChangesOfKeyspaceOptions(t *testing.T) {
	db := open(t, small(memfs.New()))
	want := []lightning.KeyspaceOptions{
		{Compression: lightning.CompressionSmall, TTL: time.Hour},
		{Merge: lightning.MergeAddInt64},
		{},
		{Compression: lightning.CompressionNone, TTL: time.Minute},
		{Compression: lightning.CompressionFast},
	}
	for i, name := range []string{"a", "b", "c"} {
		_, err := db.Keyspace(context.Background(), name, &want[i])
		must(t, err)
	}
	for _, o := range want[3:] {
		must(t, db.SetKeyspaceOptions(context.Background(), "a", o))
	}
	must(t, db.DropKeyspace(context.Background(), "b"))
	must(t, db.SyncLog(context.Background()))
	next := 0
	follow(t, db, 1, func(batch *lightning.ChangeBatch) {
		for c := range batch.All() {
			switch {
			case c.Kind == lightning.ChangeKeyspace && c.Options != nil:
				if *c.Options != want[next] {
					t.Errorf("%d: %+v, want %+v", next, *c.Options, want[next])
				}
				next++
			case c.Options != nil || c.Keyspace != "b":
				t.Errorf("%v of %s with %+v", c.Kind, c.Keyspace, c.Options)
			}
		}
	})
	if next != len(want) {
		t.Errorf("%d acts", next)
	}
}

// A large transaction is delivered with little memory, whose size does not depend on its
// own.
func TestChangesOfATransactionLargerThanMemory(t *testing.T) {
	const rows, valueBytes, heapBytesMax = 24_000, 2 << 10, 8 << 20
	db, err := lightning.Open(t.TempDir(), &lightning.Options{
		MemoryBudget: 8 << 20, LogArchive: lightning.LogArchiveOptions{SizeBytes: 1 << 30},
	})
	must(t, err)
	defer db.Close()
	must(t, db.Update(func(tx *lightning.Tx) error {
		value := make([]byte, valueBytes)
		rng := rand.NewChaCha8([32]byte{})
		for row := range rows {
			_, _ = rng.Read(value)
			if err := tx.Put(fmt.Appendf(nil, "%08d", row), value); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, db.Put([]byte("behind"), nil))
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	runtime.GC()
	before, peak := heap(), int64(0)
	start := time.Now()
	for batch, err := range db.Changes(t.Context(), 1) {
		must(t, err)
		count := 0
		for range batch.All() {
			if count++; count%1000 == 1 {
				peak = max(peak, heap()-before)
			}
		}
		must(t, batch.Err())
		if count != batch.Len() || batch.First == 1 && count != rows {
			t.Errorf("%d of %d changes of %d", count, batch.Len(), batch.First)
		}
		if batch.First > 1 {
			break
		}
	}
	t.Logf("%d MiB of changes took %d KiB of the heap and %v", rows*valueBytes>>20, peak>>10, time.Since(start))
	if peak > heapBytesMax {
		t.Errorf("more than %d MiB", heapBytesMax>>20)
	}
}
