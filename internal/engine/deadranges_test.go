package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// firstKey returns the first key of a prefix, empty if there is none.
func firstKey(t testing.TB, db *DB, prefix string) string {
	t.Helper()
	it, err := db.reads.NewIterator(view.IterOptions{Lower: []byte(prefix), Upper: []byte(prefix + "\xff")})
	must(t, err)
	defer func() { must(t, it.Close()) }()
	if !it.First() {
		must(t, it.Err())
		return ""
	}
	return string(it.Key())
}

// Whoever scans over many deleted records leaves a note, and what is proved of it is
// known: scans pass it, until something is written there.
func TestDeletedRunsArePassed(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes = 4 << 20 // a compaction would drop what is deleted
	db := openTest(t, opts)
	const n, left = 3000, 100
	key := func(i int) []byte { return fmt.Appendf(nil, "\x00%06d", i) }
	for i := range n {
		must(t, db.Commits().Set(nil, nil, key(i), []byte("x"), commit.Async))
	}
	for i := range n - left {
		must(t, db.Commits().Delete(nil, nil, key(i), commit.Async))
	}
	var r *deadrange.Range
	for tries := 0; r == nil; tries++ { // the worker is about to prove it
		if got, want := firstKey(t, db, "\x00"), string(key(n-left)); got != want || tries > 10_000 {
			t.Fatalf("the first key is %q, want %q, after %d tries", got, want, tries)
		}
		must(t, db.commits.Alone(t.Context(), func() error { return nil }))
		r = db.reads.Dead.Find(key(n-left-1), base.SeqNumMax, base.InstantMax)
	}
	if string(r.Lo) > string(key(0)) || string(r.Hi) != string(key(n-left)) {
		t.Errorf("dead is %q-%q", r.Lo, r.Hi)
	}
	must(t, db.Commits().Set(nil, nil, key(7), []byte("again"), commit.Async))
	if got := firstKey(t, db, "\x00"); got != string(key(7)) {
		t.Errorf("the first key is %q after %q was written", got, key(7))
	}
	must(t, db.Close())
}

// Goroutines delete and write in ranges of their own and look at once what comes
// first and last; what is dead for one is of no concern for the others, and what one
// has written it sees.
func TestDeadRangesBesideWriters(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes = 64 << 10
	db := openTest(t, opts)
	rounds := 2000
	if testing.Short() || invariant.Enabled {
		rounds = 300
	}
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() { scanAndWrite(t, db, fmt.Sprintf("\x00%d", g), uint64(g), rounds) })
	}
	wg.Wait()
	must(t, db.Close())
}

func scanAndWrite(t *testing.T, db *DB, prefix string, seed uint64, rounds int) {
	rng := rand.New(rand.NewPCG(seed, 2))
	const n = 600
	key := func(i int) string { return fmt.Sprintf("%s%06d", prefix, i) }
	var there []string // sorted
	write := func(i int) error {
		k := key(i)
		if at, found := slices.BinarySearch(there, k); !found {
			there = slices.Insert(there, at, k)
		}
		return db.Commits().Set(nil, nil, []byte(k), []byte("x"), commit.Async)
	}
	drop := func(at int) error {
		k := there[at]
		there = slices.Delete(there, at, at+1)
		return db.Commits().Delete(nil, nil, []byte(k), commit.Async)
	}
	for i := range n {
		if err := write(i); err != nil {
			t.Error(err)
			return
		}
	}
	for range rounds {
		var err error
		switch {
		case len(there) > 5 && rng.IntN(30) > 0: // from one end
			err = drop([]int{0, len(there) - 1}[rng.IntN(2)])
		case rng.IntN(4) == 0:
			for i := 0; i < n && err == nil; i++ {
				err = write(i)
			}
		default:
			err = write(rng.IntN(n))
		}
		if err != nil {
			t.Error(err)
			return
		}
		if !slices.Equal(ends(t, db, prefix), []string{there[0], there[len(there)-1]}) {
			t.Errorf("%q are the ends, want %q and %q", ends(t, db, prefix), there[0], there[len(there)-1])
			return
		}
	}
}

// ends returns the first and the last key of a prefix.
func ends(t *testing.T, db *DB, prefix string) []string {
	it, err := db.reads.NewIterator(view.IterOptions{Lower: []byte(prefix), Upper: []byte(prefix + "\xff")})
	if err != nil {
		t.Error(err)
		return nil
	}
	defer it.Close()
	var keys []string
	if it.First() {
		keys = append(keys, string(it.Key()))
	}
	if it.Last() {
		keys = append(keys, string(it.Key()))
	}
	return keys
}

// What the writer has noted of deletes in ascending order ends at the first row that they
// have passed over.
func TestNotedDeletesArePassed(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes = 4 << 20 // a compaction would drop what is deleted
	db := openTest(t, opts)
	const n = 600
	key := func(i int) []byte { return fmt.Appendf(nil, "\x00%06d", i) }
	for i := range n {
		must(t, db.Commits().Set(nil, nil, key(i), []byte("x"), commit.Async))
	}
	const alive = 7
	for i := range n {
		if i != alive {
			must(t, db.Commits().Delete(nil, nil, key(i), commit.Async))
		}
	}
	for db.reads.Dead.Find(key(alive-1), base.SeqNumMax, base.InstantMax) == nil {
		must(t, db.commits.Alone(t.Context(), func() error { return nil })) // the worker is about to prove it
	}
	if got, want := firstKey(t, db, "\x00"), string(key(alive)); got != want {
		t.Errorf("the first key is %q, want %q", got, want)
	}
	must(t, db.Close())
}

// What was deleted in no order is walked over once: who comes next finds what the first
// one has proved, beside writers too.
func TestDeletesInNoOrderArePassedOnce(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes = 4 << 20 // a compaction would drop what is deleted
	db := openTest(t, opts)
	const n, left = 3000, 1
	key := func(i int) []byte { return fmt.Appendf(nil, "\x00%06d", i) }
	for i := range n {
		must(t, db.Commits().Set(nil, nil, key(i), []byte("x"), commit.Async))
	}
	for _, i := range rand.Perm(n - left) {
		must(t, db.Commits().Delete(nil, nil, key(i), commit.Async))
	}
	if got, want := firstKey(t, db, "\x00"), string(key(n-left)); got != want {
		t.Errorf("the first key is %q, want %q", got, want)
	}
	r := db.reads.Dead.Find([]byte("\x00"), db.reads.VisibleSeq(), base.InstantMax)
	if r == nil || string(r.Hi) != string(key(n-left)) {
		t.Errorf("dead is %v", r)
	}
	must(t, db.Close())
}

// Goroutines walk over a dead range, so that it is proved again and again, while others
// write there, single records and large commits, and look at once whether they find it.
func TestWritesIntoWhatIsBeingProved(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.MemtableBytes = 64 << 10
	db := openTest(t, opts)
	const n, writers = 300, 2
	key := func(i int) []byte { return fmt.Appendf(nil, "\x00%06d", i) }
	for i := range n {
		must(t, db.Commits().Set(nil, nil, key(i), []byte("x"), commit.Async))
	}
	for _, i := range rand.Perm(n) {
		must(t, db.Commits().Delete(nil, nil, key(i), commit.Async))
	}
	rounds := 3000
	if testing.Short() || invariant.Enabled {
		rounds = 300
	}
	var reading, writing sync.WaitGroup
	var done atomic.Bool
	for range 2 {
		reading.Go(func() {
			for !done.Load() {
				ends(t, db, "\x00")
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 5))
			for round := range rounds {
				k, value := key(rng.IntN(n/writers)*writers+w), []byte("x")
				if round%50 == 0 {
					value = make([]byte, 70<<10) // goes into no memtable
				}
				if err := db.Commits().Set(nil, nil, k, value, commit.Async); err != nil {
					t.Error(err)
					return
				}
				if !isThere(t, db, k) {
					t.Errorf("%q was written, and a scan passes it in round %d", k, round)
					return
				}
				if err := db.Commits().Delete(nil, nil, k, commit.Async); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
	must(t, db.Close())
}

// isThere reports whether a scan over a prefix meets a key.
func isThere(t *testing.T, db *DB, key []byte) bool {
	it, err := db.reads.NewIterator(view.IterOptions{Lower: key[:1], Upper: []byte{key[0] + 1}})
	if err != nil {
		t.Error(err)
		return false
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if string(it.Key()) == string(key) {
			return true
		}
	}
	return false
}
