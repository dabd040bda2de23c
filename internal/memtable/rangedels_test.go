package memtable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// deleteModel is all range deletes that were added, and where groups end.
type deleteModel struct {
	all  []rangedel.Tombstone
	ends []base.SeqNum
}

func (m *deleteModel) covering(key []byte, seq base.SeqNum) (newest base.SeqNum) {
	for _, d := range m.all {
		if d.Seq <= seq && bytes.Compare(d.Lo, key) <= 0 && bytes.Compare(key, d.Hi) < 0 {
			newest = max(newest, d.Seq)
		}
	}
	return newest
}

// addGroup adds some range deletes to both as one group, and a record now and then.
func (m *deleteModel) addGroup(t *testing.T, table *Table, rng *rand.Rand) {
	t.Helper()
	first := base.SeqNum(1)
	if len(m.ends) > 0 {
		first = m.ends[len(m.ends)-1] + 1
	}
	last := first + base.SeqNum(rng.IntN(4))
	for seq := first; seq <= last; seq++ {
		lo, hi := randomBytes(rng, rng.IntN(4), 3), randomBytes(rng, rng.IntN(4), 3)
		if rng.IntN(3) > 0 { // over one key, which most likely no other one covers
			hi = append(slices.Clone(lo), 0)
		}
		if err := table.AddRangeDelete(lo, hi, seq, first); err != nil {
			t.Fatal(err)
		}
		m.all = append(m.all, rangedel.Tombstone{Lo: bytes.Clone(lo), Hi: bytes.Clone(hi), Seq: seq})
		clear(lo)
		clear(hi)
	}
	m.ends = append(m.ends, last)
}

// shortKeys are all keys of up to three of three letters, as randomBytes makes them, and
// one behind each.
func shortKeys() (keys [][]byte) {
	keys = append(keys, []byte{})
	for at := 0; len(keys[at]) < 3; at++ {
		for letter := range byte(3) {
			keys = append(keys, append(slices.Clone(keys[at]), letter))
		}
	}
	for _, key := range slices.Clone(keys) {
		keys = append(keys, append(slices.Clone(key), 0))
	}
	return keys
}

func TestRangeDeletesModel(t *testing.T) {
	keys := shortKeys()
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 4))
		table, m := newTable(t, 1<<20), &deleteModel{}
		for range 40 {
			m.addGroup(t, table, rng)
		}
		if table.Len() != 0 || table.RangeDeletes().Count() != len(m.all) {
			t.Fatalf("%d records and %d range deletes counted", table.Len(), table.RangeDeletes().Count())
		}
		for _, seq := range append([]base.SeqNum{0, base.SeqNumMax}, m.ends...) {
			for _, key := range keys {
				m.compare(t, table, key, seq, keys)
			}
			m.compareWalk(t, table, seq, rng)
		}
	}
}

// compare compares what is said of a key, and between which bounds.
func (m *deleteModel) compare(t *testing.T, table *Table, key []byte, seq base.SeqNum, keys [][]byte) {
	t.Helper()
	want := m.covering(key, seq)
	p, err := table.RangeDeletes().Around(key, seq)
	if got := table.RangeDeletes().Covering(key, seq); got != want || p.Seq != want || err != nil {
		t.Fatalf("%x at %d is covered by %d and %d, %v, want %d", key, seq, got, p.Seq, err, want)
	}
	if bytes.Compare(p.Lo, key) > 0 || p.Hi != nil && bytes.Compare(key, p.Hi) >= 0 {
		t.Fatalf("%x..%x is not around %x", p.Lo, p.Hi, key)
	}
	other := keys[int(seq+base.SeqNum(len(key)))%len(keys)]
	within := bytes.Compare(p.Lo, other) <= 0 && (p.Hi == nil || bytes.Compare(other, p.Hi) < 0)
	if within && m.covering(other, seq) != want {
		t.Fatalf("%x..%x around %x at %d holds %x, which differs", p.Lo, p.Hi, key, seq, other)
	}
}

// compareWalk compares a walk within random bounds over what is newer than another group.
func (m *deleteModel) compareWalk(t *testing.T, table *Table, seq base.SeqNum, rng *rand.Rand) {
	t.Helper()
	since := m.ends[rng.IntN(len(m.ends))]
	lo, hi := randomBytes(rng, rng.IntN(4), 3), randomBytes(rng, rng.IntN(4), 3)
	if bytes.Compare(lo, hi) > 0 {
		lo, hi = hi, lo
	}
	if rng.IntN(3) == 0 {
		lo = nil
	}
	if rng.IntN(3) == 0 {
		hi = nil
	}
	if lo != nil && bytes.Equal(lo, hi) {
		return
	}
	var got []rangedel.Tombstone
	it := table.RangeDeletes().Iter(seq, since, lo, hi)
	for f, _ := it.Next(); f != nil; f, _ = it.Next() {
		if len(f.Seqs) != 1 || f.Seqs[0] <= since || bytes.Compare(f.Lo, f.Hi) >= 0 ||
			len(got) > 0 && bytes.Compare(got[len(got)-1].Hi, f.Lo) > 0 {
			t.Fatalf("the walk yields %v after %v", f, got)
		}
		got = append(got, rangedel.Tombstone{Lo: f.Lo, Hi: f.Hi, Seq: f.Seqs[0]})
	}
	walked := deleteModel{all: got}
	any := false
	for _, key := range shortKeys() {
		want := m.covering(key, seq)
		any = any || want > since
		if bytes.Compare(key, lo) < 0 || hi != nil && bytes.Compare(key, hi) >= 0 || want <= since {
			want = 0
		}
		if at := walked.covering(key, base.SeqNumMax); at != want {
			t.Fatalf("the walk over (%d, %d] in %x..%x has %d over %x, want %d", since, seq, lo, hi, at, key, want)
		}
	}
	if table.RangeDeletes().Newer(seq, since) != any {
		t.Fatalf("there are range deletes in (%d, %d]: %v", since, seq, any)
	}
}

func deleteBounds(at int) (lo, hi []byte) {
	return fmt.Appendf(nil, "key%09d", at), fmt.Appendf(nil, "key%09d", at+5)
}

// Keys have less and less in common with one another; what lies where does not depend on it.
func TestRangeDeletesOfKeysWithLessInCommon(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		table, m := newTable(t, 1<<20), &deleteModel{}
		var keys [][]byte
		for _, common := range []int{20, 11, 3, 0} {
			for range 30 {
				key := append(bytes.Repeat([]byte("m"), common), randomBytes(rng, rng.IntN(12), 255)...)
				keys = append(keys, key)
				seq := base.SeqNum(len(keys))
				d := rangedel.Tombstone{Lo: key, Hi: append(bytes.Clone(key), 0), Seq: seq}
				if rng.IntN(20) == 0 {
					d.Hi = append(bytes.Clone(key), 0xff)
				}
				if err := table.AddRangeDelete(d.Lo, d.Hi, seq, seq); err != nil {
					t.Fatal(err)
				}
				m.all = append(m.all, d)
			}
			for _, seq := range []base.SeqNum{base.SeqNum(rng.IntN(len(keys))), base.SeqNumMax} {
				for _, key := range keys {
					m.compare(t, table, key, seq, keys)
				}
			}
		}
	}
}

// A range delete takes a logarithm of memory and of looks, however many there are and
// whatever their order, and no allocation; one that covers many others takes less.
func TestRangeDeletesAreSmall(t *testing.T) {
	const count = 20_000
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name      string
		at        func(i int) (lo, hi []byte)
		bytesMost int
	}{
		{"ascending", func(i int) (lo, hi []byte) { return deleteBounds(10 * i) }, 120},
		{"descending", func(i int) (lo, hi []byte) { return deleteBounds(10 * (count - i)) }, 120},
		{"random", func(int) (lo, hi []byte) { return deleteBounds(10 * rng.IntN(10*count)) }, 200},
		{"overlapping", func(int) (lo, hi []byte) { return deleteBounds(rng.IntN(2 * count)) }, 700},
		{"a queue that is trimmed", func(i int) (lo, hi []byte) {
			lo, _ = deleteBounds(0)
			_, hi = deleteBounds(10 * i)
			return lo, hi
		}, 200},
	} {
		table := newTable(t, 16<<20)
		bounds := make([][2][]byte, count)
		for i := range bounds {
			bounds[i][0], bounds[i][1] = c.at(i)
		}
		i := 0
		allocations := testing.AllocsPerRun(count-1, func() {
			if err := table.AddRangeDelete(bounds[i][0], bounds[i][1], base.SeqNum(i+1), base.SeqNum(i+1)); err != nil {
				t.Fatal(err)
			}
			i++
		})
		each, depth := table.UsedBytes()/count, depthOf(table, table.rangeDeletes.piecesAt(base.SeqNumMax))
		t.Logf("%s: %d B each, the map is %d deep", c.name, each, depth)
		if allocations > 0 || each > c.bytesMost || depth > 4*bits.Len(count) {
			t.Errorf("%s: %.1f allocations, %d B each, %d deep", c.name, allocations, each, depth)
		}
	}
}

func depthOf(t *Table, at uint32) int {
	if at == 0 {
		return 0
	}
	p := pieceAt(t.mem, at)
	return 1 + max(depthOf(t, p.left), depthOf(t, p.right))
}

// In one group range deletes take few copies, so that LoadBound holds for them.
func TestRangeDeletesOfOneGroup(t *testing.T) {
	const count = 5_000
	rng := rand.New(rand.NewPCG(1, 2))
	bounds, keyBytes := make([][2][]byte, count), 0
	for i := range bounds {
		bounds[i][0], bounds[i][1] = deleteBounds(rng.IntN(4 * count))
		keyBytes += len(bounds[i][0]) + len(bounds[i][1])
	}
	table := newTable(t, LoadBound(count, keyBytes))
	for i := range bounds {
		if err := table.AddRangeDelete(bounds[i][0], bounds[i][1], base.SeqNum(i+1), 1); err != nil {
			t.Fatalf("range delete %d of a group that must fit: %v", i, err)
		}
	}
}

// A group whose AddBounds are within AvailableBytes fits, whatever it must copy.
func TestAvailableBytesHoldForGroups(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 3))
		table := newTable(t, 32<<10+rng.IntN(64<<10))
		for seq := base.SeqNum(1); ; {
			size := 1 + rng.IntN(20)
			bounds, bound := make([][2][]byte, size), 0
			for i := range bounds {
				bounds[i][0], bounds[i][1] = deleteBounds(rng.IntN(3_000))
				bound += AddBound(len(bounds[i][0]), len(bounds[i][1]))
			}
			if bound > table.AvailableBytes() {
				break
			}
			first := seq
			for _, b := range bounds {
				if err := table.AddRangeDelete(b[0], b[1], seq, first); err != nil {
					t.Fatalf("seed %d: range delete %d: %v", seed, seq, err)
				}
				seq++
			}
		}
	}
	table := newTable(t, 1<<20)
	if err := table.AddRangeDelete([]byte("a"), make([]byte, 1<<20), 999, 999); err != ErrFull {
		t.Fatalf("a range delete larger than the table: %v", err)
	}
}

// Readers see whole groups, as they were, while more are added.
func TestRangeDeletesConcurrently(t *testing.T) {
	table := newTable(t, 4<<20)
	const groups, spread = 1_500, 97
	key := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
	// Group g is the numbers 2g-1 and 2g: it covers all up to a place, and then one key.
	var published atomic.Int64
	var wg sync.WaitGroup
	for reader := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(reader), 1))
			for {
				newest := int(published.Load())
				g := newest
				if g > 0 && reader > 0 {
					g = 1 + rng.IntN(newest) // an old snapshot
				}
				if g > 0 {
					place := g * 7919 % spread
					seq := base.SeqNum(2 * g)
					one, rest := table.RangeDeletes().Covering(key(place), seq), table.RangeDeletes().Covering(key(0), seq)
					if one != seq || place > 0 && rest != seq-1 {
						t.Errorf("at group %d: %d covers its key, %d the first", g, one, rest)
						return
					}
				}
				if newest == groups {
					return
				}
			}
		})
	}
	for g := 1; g <= groups; g++ {
		place, first := g*7919%spread, base.SeqNum(2*g-1)
		err := table.AddRangeDelete(key(0), key(place), first, first)
		if err == nil {
			err = table.AddRangeDelete(key(place), key(place+1), first+1, first)
		}
		if err != nil {
			t.Error(err)
			break
		}
		published.Store(int64(g))
	}
	wg.Wait()
}

// Small range deletes are put into the map that readers of the past are in, and those do
// not see them; now and then one lies over many others.
func TestSmallRangeDeletesConcurrently(t *testing.T) {
	const groups, places = 4_000, 1 << 14
	table := newTable(t, 8<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	key := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
	bounds := make([][2]int, groups+1)
	covered := make([][]base.SeqNum, places) // by which, ascending
	for g := 1; g <= groups; g++ {
		lo := rng.IntN(places - 64)
		hi := lo + 1
		if g%50 == 0 {
			hi += rng.IntN(60)
		}
		bounds[g] = [2]int{lo, hi}
		for i := lo; i < hi; i++ {
			covered[i] = append(covered[i], base.SeqNum(g))
		}
	}
	var published atomic.Int64
	var wg sync.WaitGroup
	for reader := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(reader), 1))
			for newest := 0; newest < groups; {
				newest = int(published.Load())
				seq := base.SeqNum(rng.IntN(newest + 1))
				place := bounds[1+rng.IntN(min(newest+5, groups))][0]
				at, found := slices.BinarySearch(covered[place], seq)
				want := base.SeqNum(0)
				if found {
					want = seq
				} else if at > 0 {
					want = covered[place][at-1]
				}
				if got := table.RangeDeletes().Covering(key(place), seq); got != want {
					t.Errorf("%d is covered by %d at %d of %d, want %d", place, got, seq, newest, want)
					return
				}
			}
		})
	}
	for g := 1; g <= groups; g++ {
		if err := table.AddRangeDelete(key(bounds[g][0]), key(bounds[g][1]), base.SeqNum(g), base.SeqNum(g)); err != nil {
			t.Error(err)
			published.Store(groups)
			break
		}
		published.Store(int64(g))
	}
	wg.Wait()
}

func BenchmarkAddRangeDelete(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			bounds := make([][2][]byte, n)
			for i := range bounds {
				bounds[i][0], bounds[i][1] = deleteBounds(10 * rng.IntN(100*n))
			}
			var table *Table
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%n == 0 {
					b.StopTimer()
					table = benchTable(b, 4*n)
					b.StartTimer()
				}
				at, seq := bounds[i%n], base.SeqNum(i%n+1)
				if err := table.AddRangeDelete(at[0], at[1], seq, seq); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCovering(b *testing.B) {
	table := benchTable(b, 100_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for seq := base.SeqNum(1); seq <= 10_000; seq++ {
		lo, hi := deleteBounds(10 * rng.IntN(1_000_000))
		if err := table.AddRangeDelete(lo, hi, seq, seq); err != nil {
			b.Fatal(err)
		}
	}
	keys := make([][]byte, 1<<12)
	for i := range keys {
		keys[i], _ = deleteBounds(rng.IntN(10_000_000))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.RangeDeletes().Covering(keys[i%len(keys)], base.SeqNumMax)
	}
}
