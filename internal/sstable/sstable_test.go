package sstable

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sort"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// memFile is a vfs.File in memory that fails on demand. Its bytes do not
// change while it is read.
type memFile struct {
	data      []byte
	readFault func(offset int64, n int) error
	failWrite error
	failSync  error
	failClose error
	syncs     int
	closes    int
	reads     atomic.Int64
}

func (f *memFile) ReadAt(p []byte, offset int64) (int, error) {
	f.reads.Add(1)
	if f.readFault != nil {
		if err := f.readFault(offset, len(p)); err != nil {
			return 0, err
		}
	}
	if offset >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, offset int64) (int, error) {
	if f.failWrite != nil {
		return 0, f.failWrite
	}
	if offset != int64(len(f.data)) {
		return 0, fmt.Errorf("write at %d behind %d bytes is not sequential", offset, len(f.data))
	}
	f.data = append(f.data, p...)
	return len(p), nil
}

func (f *memFile) Close() error            { f.closes++; return f.failClose }
func (f *memFile) Size() (int64, error)    { return int64(len(f.data)), nil }
func (f *memFile) Truncate(n int64) error  { f.data = f.data[:n]; return nil }
func (f *memFile) Sync() error             { return f.SyncData() }
func (f *memFile) SyncData() error         { f.syncs++; return f.failSync }
func (f *memFile) Preallocate(int64) error { return nil }

var testID = base.DBID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

const testFile base.FileNum = 42

// thin is by how much exhaustive tests are thinned out where the checks of the
// program itself, or of the race detector, make each step slow.
func thin() int {
	if invariant.Enabled {
		return 17
	}
	return 1
}

// entry is a record that owns its bytes.
type entry struct {
	key   []byte
	tr    base.Trailer
	value []byte
}

func set(key string, seq base.SeqNum, value string) entry {
	return entry{[]byte(key), base.MakeTrailer(seq, base.KindSet), []byte(value)}
}

// build writes a table.
func build(tb testing.TB, o WriterOptions, entries []entry, dels []rangedel.Fragment) (*memFile, Properties) {
	tb.Helper()
	f := &memFile{}
	o.DBID, o.FileNum = testID, testFile
	w := NewWriter(f, o)
	for _, e := range entries {
		if err := w.Add(e.key, e.tr, e.value); err != nil {
			tb.Fatal(err)
		}
	}
	for _, d := range dels {
		if err := w.AddRangeDelete(d); err != nil {
			tb.Fatal(err)
		}
	}
	p, err := w.Finish(nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return f, p
}

// testCache is a cache with what it needs.
type testCache struct {
	*framecache.Cache
	epochs *epoch.Domain
	memory *offheap.Accountant
}

func newTestCache(tb testing.TB, capacityBytes int64) testCache {
	c := testCache{epochs: new(epoch.Domain), memory: new(offheap.Accountant)}
	c.Cache = framecache.New(framecache.Config{
		CapacityBytes: capacityBytes, Epochs: c.epochs, Memory: c.memory,
	})
	tb.Cleanup(func() {
		if n := c.Close(); n != 0 {
			tb.Errorf("%d bytes of frames are still pinned", n)
		}
	})
	return c
}

func (c testCache) options() ReaderOptions {
	return ReaderOptions{
		Name: "000042.sst", DBID: testID, FileNum: testFile, Cache: c.Cache, Epochs: c.epochs,
	}
}

// open opens a table with a cache, or without one for a zero capacity.
func open(tb testing.TB, f *memFile, capacityBytes int64) *Reader {
	tb.Helper()
	return openRaised(tb, f, capacityBytes, 0)
}

// openRaised is open with a base for the sequence numbers.
func openRaised(tb testing.TB, f *memFile, capacityBytes int64, seqBase base.SeqNum) *Reader {
	tb.Helper()
	var c testCache
	if capacityBytes > 0 {
		c = newTestCache(tb, capacityBytes)
	}
	o := c.options()
	o.SeqBase = seqBase
	r, err := OpenReader(f, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// get is Get inside a guard, with a copied value.
func get(r *Reader, key []byte, seq base.SeqNum) (base.Trailer, []byte, bool, error) {
	if r.o.Epochs != nil {
		defer r.o.Epochs.Enter().Exit()
	}
	tr, value, found, err := r.Get(key, base.Hash(key), seq)
	return tr, bytes.Clone(value), found, err
}

func mayContain(r *Reader, key []byte) bool {
	if r.o.Epochs != nil {
		defer r.o.Epochs.Enter().Exit()
	}
	may, _ := r.MayContain(base.Hash(key))
	return may
}

// model answers from a sorted slice.
type model []entry

func (m model) get(key []byte, seq base.SeqNum) (entry, bool) {
	i := m.seekGE(key)
	for ; i < len(m) && bytes.Equal(m[i].key, key); i++ {
		if m[i].tr.Seq() <= seq {
			return m[i], true
		}
	}
	return entry{}, false
}

func (m model) seekGE(key []byte) int {
	return sort.Search(len(m), func(i int) bool { return bytes.Compare(m[i].key, key) >= 0 })
}

// randomModel makes records with several versions per key, shared prefixes,
// prefixes of one another, and some long keys and values.
func randomModel(rng *rand.Rand, count int) model {
	var m model
	prefixes := make([][]byte, 1+rng.IntN(4))
	for i := range prefixes {
		prefixes[i] = randomBytes(rng, rng.IntN(12))
	}
	versionsMax := 1 << rng.IntN(6)
	for len(m) < count {
		key := append(bytes.Clone(prefixes[rng.IntN(len(prefixes))]), randomBytes(rng, 1+rng.IntN(8))...)
		if rng.IntN(100) == 0 {
			key = append(key, randomBytes(rng, rng.IntN(3000))...)
		}
		for range 1 + rng.IntN(versionsMax) {
			seq := base.SeqNum(rng.IntN(1000))
			kind, value := base.KindSet, randomBytes(rng, rng.IntN(60))
			switch rng.IntN(60) {
			case 0:
				value = bytes.Repeat([]byte("compressible "), rng.IntN(2000))
			case 1, 2, 3:
				kind, value = base.KindDelete, nil
			}
			m = append(m, entry{key, base.MakeTrailer(seq, kind), value})
		}
	}
	return slices.CompactFunc(sorted(m), func(a, b entry) bool {
		return bytes.Equal(a.key, b.key) && a.tr.Seq() == b.tr.Seq()
	})
}

func sorted(m model) model {
	slices.SortFunc(m, func(a, b entry) int { return base.Compare(a.key, a.tr, b.key, b.tr) })
	return m
}

// randomBytes draws from few values, so that collisions and extremes occur.
func randomBytes(rng *rand.Rand, n int) []byte {
	const alphabet = "\x00\x01ab\xfe\xff"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return b
}

func randomOptions(rng *rand.Rand) WriterOptions {
	return WriterOptions{
		BlockSizeBytes:   []int{64, 200, 1000, 4096, 0, 100 << 10}[rng.IntN(6)],
		Compression:      compress.Codec(rng.IntN(3)),
		FilterBitsPerKey: []int{0, 10}[rng.IntN(2)],
	}
}

// probe returns a key that is in the model, near one that is, or anywhere.
func (m model) probe(rng *rand.Rand) []byte {
	key := bytes.Clone(m[rng.IntN(len(m))].key)
	switch rng.IntN(4) {
	case 0:
		key = append(key, 0)
	case 1:
		key[len(key)-1]++
	case 2:
		key = randomBytes(rng, 1+rng.IntN(10))
	}
	return key
}

func (e entry) is(rec *base.Record) bool {
	return rec != nil && bytes.Equal(e.key, rec.Key) && e.tr == rec.Trailer && bytes.Equal(e.value, rec.Value)
}

// checkGets compares random reads with the model.
func (m model) checkGets(t *testing.T, rng *rand.Rand, r *Reader, count int) {
	t.Helper()
	for range count {
		key, seq := m.probe(rng), base.SeqNum(rng.IntN(1100))
		if rng.IntN(2) == 0 {
			seq = base.SeqNumMax
		}
		want, wantFound := m.get(key, seq)
		tr, value, found, err := get(r, key, seq)
		if err != nil || found != wantFound || tr != want.tr || !bytes.Equal(value, want.value) {
			t.Fatalf("get %x at %d: %v %x %v %v, want %v %x %v",
				key, seq, tr, value, found, err, want.tr, want.value, wantFound)
		}
		if wantFound && !mayContain(r, key) {
			t.Fatalf("filter misses %x", key)
		}
	}
}

// checkWalk compares random movements with the model.
func (m model) checkWalk(t *testing.T, rng *rand.Rand, it base.Iterator, count int) {
	t.Helper()
	at := -1
	move := 0
	for step := range count {
		if rng.IntN(5) == 0 {
			move = rng.IntN(6)
		}
		var rec *base.Record
		var name string
		switch move {
		case 0:
			name, rec, at = "first", it.First(), 0
			move = 4
		case 1:
			name, rec, at = "last", it.Last(), len(m)-1
			move = 5
		case 2:
			key := m.probe(rng)
			name, rec, at = fmt.Sprintf("seekGE %x", key), it.SeekGE(key), m.seekGE(key)
		case 3:
			key := m.probe(rng)
			name, rec, at = fmt.Sprintf("seekLT %x", key), it.SeekLT(key), m.seekGE(key)-1
		case 4:
			name, rec, at = "next", it.Next(), min(at+1, len(m))
		case 5:
			name, rec, at = "prev", it.Prev(), max(at-1, -1)
		}
		inside := at >= 0 && at < len(m)
		if it.Err() != nil || inside != (rec != nil) || inside && !m[at].is(rec) {
			t.Fatalf("step %d, %s: %v, error %v, want index %d of %d", step, name, rec, it.Err(), at, len(m))
		}
	}
}

// checkScan walks the whole table in both directions.
func (m model) checkScan(t *testing.T, it base.Iterator) {
	t.Helper()
	i := 0
	for rec := it.First(); rec != nil; rec = it.Next() {
		if i == len(m) || !m[i].is(rec) {
			t.Fatalf("record %d is %v", i, rec)
		}
		i++
	}
	if i != len(m) || it.Err() != nil {
		t.Fatalf("scan ends at %d of %d: %v", i, len(m), it.Err())
	}
	for rec := it.Last(); rec != nil; rec = it.Prev() {
		i--
		if i < 0 || !m[i].is(rec) {
			t.Fatalf("backward, record %d is %v", i, rec)
		}
	}
	if i != 0 || it.Err() != nil {
		t.Fatalf("backward scan ends at %d: %v", i, it.Err())
	}
}
