package memtable

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
)

func newTable(t testing.TB, capBytes int) *Table {
	t.Helper()
	table, err := New(new(offheap.Accountant), capBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Free)
	return table
}

// shapes are the kinds of keys that the tree has to cope with.
var shapes = map[string]func(rng *rand.Rand) []byte{
	"random 16 bytes": func(rng *rand.Rand) []byte { return randomBytes(rng, 16, 256) },
	"two letters":     func(rng *rand.Rand) []byte { return randomBytes(rng, 1+rng.IntN(12), 2) },
	"zeroes and 0xff": func(rng *rand.Rand) []byte {
		key := randomBytes(rng, 1+rng.IntN(9), 2)
		for i := range key {
			key[i] = -key[i]
		}
		return key
	},
	"nested prefixes": func(rng *rand.Rand) []byte { return bytes.Repeat([]byte("n"), 1+rng.IntN(2000)) },
	"nested zeroes":   func(rng *rand.Rand) []byte { return make([]byte, 1+rng.IntN(300)) },
	"short":           func(rng *rand.Rand) []byte { return randomBytes(rng, 1+rng.IntN(2), 256) },
	"decimal":         func(rng *rand.Rand) []byte { return fmt.Appendf(nil, "user%010d", rng.IntN(3000)) },
	"long shared prefixes": func(rng *rand.Rand) []byte {
		key := bytes.Repeat([]byte{'p'}, []int{7, 8, 9, 15, 16, 17, 100, 1000}[rng.IntN(8)])
		return append(key, randomBytes(rng, rng.IntN(3), 4)...)
	},
	"same low bits": func(rng *rand.Rand) []byte {
		key := randomBytes(rng, 1+rng.IntN(3), 32)
		for i := range key {
			key[i] *= 8
		}
		return key
	},
	"differing early": func(rng *rand.Rand) []byte {
		key := bytes.Repeat([]byte{0}, 40)
		key[rng.IntN(40)] = byte(rng.IntN(3))
		key[rng.IntN(40)] = 0xff
		return key
	},
}

func randomBytes(rng *rand.Rand, n, letters int) []byte {
	key := make([]byte, n)
	for i := range key {
		key[i] = byte(rng.IntN(letters))
	}
	return key
}

// model holds the same records as a table, in internal order.
type model struct{ records []base.Record }

// firstAt returns the index of the first record that does not come before key.
func (m *model) firstAt(key []byte) int {
	i, _ := slices.BinarySearchFunc(m.records, key, func(r base.Record, key []byte) int {
		return bytes.Compare(r.Key, key)
	})
	return i
}

func (m *model) add(key []byte, tr base.Trailer, value []byte) {
	m.records = slices.Insert(m.records, m.firstAt(key), base.Record{Key: key, Trailer: tr, Value: value})
}

func (m *model) at(i int) *base.Record {
	if i < 0 || i >= len(m.records) {
		return nil
	}
	return &m.records[i]
}

func sameRecord(a, b *base.Record) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(a.Key, b.Key) && a.Trailer == b.Trailer && bytes.Equal(a.Value, b.Value)
}

func describe(r *base.Record) string {
	if r == nil {
		return "nothing"
	}
	return fmt.Sprintf("%.60x (%d bytes) at %v", r.Key, len(r.Key), r.Trailer)
}

// TestModel adds records of each key shape and compares every read with a
// sorted slice.
func TestModel(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				rng := rand.New(rand.NewPCG(seed, 11))
				table, m := newTable(t, 16<<20), &model{}
				n := []int{1, 20, 300, 1500}[seed]
				for i := range n {
					key := shape(rng)
					if i%7 == 3 && i > 10 { // the same key again, or one that is close
						key = slices.Clone(m.records[rng.IntN(len(m.records))].Key)
					}
					addBoth(t, table, m, key, base.SeqNum(10+2*i), rng)
				}
				t.Logf("seed %d: %d records in %d bytes", seed, table.Len(), table.UsedBytes())
				if table.Len() != n {
					t.Fatalf("%d records counted, %d added", table.Len(), n)
				}
				compareGets(t, table, m, shape, rng)
				compareWalks(t, table, m)
				compareSeeks(t, table, m, shape, rng)
			}
		})
	}
}

func addBoth(t *testing.T, table *Table, m *model, key []byte, seq base.SeqNum, rng *rand.Rand) {
	t.Helper()
	tr, value := base.MakeTrailer(seq, base.KindSet), randomBytes(rng, rng.IntN(30), 256)
	if rng.IntN(5) == 0 {
		tr, value = base.MakeTrailer(seq, base.KindDelete), nil
	}
	// The table must copy: what it was given is wiped afterwards.
	keyCopy, valueCopy := slices.Clone(key), slices.Clone(value)
	// What is expected has no effect, whether it comes or not.
	expected := [][]byte{keyCopy}
	for range rng.IntN(ExpectMax + 3) {
		expected = append(expected, randomBytes(rng, rng.IntN(20), 256))
		if len(m.records) > 0 && rng.IntN(2) == 0 {
			expected = append(expected, m.records[rng.IntN(len(m.records))].Key)
		}
	}
	table.Expect(expected)
	ExpectGets(table, expected)
	if err := table.Add(keyCopy, base.Hash(keyCopy), tr, valueCopy); err != nil {
		t.Fatal(err)
	}
	clear(keyCopy)
	clear(valueCopy)
	m.add(key, tr, value)
}

func compareGets(t *testing.T, table *Table, m *model, shape func(*rand.Rand) []byte, rng *rand.Rand) {
	t.Helper()
	check := func(key []byte, seq base.SeqNum) {
		t.Helper()
		i := m.firstAt(key)
		for i < len(m.records) && bytes.Equal(m.records[i].Key, key) && m.records[i].Trailer.Seq() > seq {
			i++
		}
		want := m.at(i)
		if want != nil && !bytes.Equal(want.Key, key) {
			want = nil
		}
		tr, value, found := table.Get(key, seq)
		var got *base.Record
		if found {
			got = &base.Record{Key: key, Trailer: tr, Value: value}
		}
		if !sameRecord(got, want) {
			t.Fatalf("Get(%.60x, %d) = %s, want %s", key, seq, describe(got), describe(want))
		}
	}
	for _, r := range m.records {
		check(r.Key, base.SeqNumMax)
		check(r.Key, r.Trailer.Seq())
		check(r.Key, r.Trailer.Seq()-1)
		check(append(slices.Clone(r.Key), 0), base.SeqNumMax)
		if len(r.Key) > 1 {
			check(r.Key[:len(r.Key)-1], base.SeqNumMax)
			check(r.Key[:rng.IntN(len(r.Key))], base.SeqNumMax)
			mutated := slices.Clone(r.Key)
			mutated[rng.IntN(len(mutated))] ^= 1 << rng.IntN(8)
			check(mutated, base.SeqNumMax)
		}
	}
	for range 200 {
		check(shape(rng), base.SeqNumMax)
	}
}

func compareWalks(t *testing.T, table *Table, m *model) {
	t.Helper()
	it := table.NewIter()
	i := 0
	for r := it.First(); r != nil || i < len(m.records); r = it.Next() {
		if !sameRecord(r, m.at(i)) {
			t.Fatalf("forward walk: record %d is %s, want %s", i, describe(r), describe(m.at(i)))
		}
		i++
	}
	for r := it.Prev(); r != nil || i > 0; r = it.Prev() {
		i--
		if !sameRecord(r, m.at(i)) {
			t.Fatalf("backward walk: record %d is %s, want %s", i, describe(r), describe(m.at(i)))
		}
	}
	if !sameRecord(it.Next(), m.at(0)) || !sameRecord(it.Last(), m.at(len(m.records)-1)) ||
		it.Next() != nil || it.Next() != nil || !sameRecord(it.Prev(), m.at(len(m.records)-1)) {
		t.Fatal("wrong records around the ends")
	}
	if it.Err() != nil || it.Close() != nil {
		t.Fatal("an iterator over memory failed")
	}
}

func compareSeeks(t *testing.T, table *Table, m *model, shape func(*rand.Rand) []byte, rng *rand.Rand) {
	t.Helper()
	it := table.NewIter()
	defer it.Close()
	for range 600 {
		key := shape(rng)
		switch r := m.records[rng.IntN(len(m.records))]; rng.IntN(6) {
		case 0:
			key = r.Key
		case 1:
			key = base.Successor(nil, r.Key)
		case 2:
			key = r.Key[:rng.IntN(len(r.Key)+1)]
		case 3:
			key = slices.Clone(r.Key)
			key[rng.IntN(len(key))] += byte(rng.IntN(3) - 1)
		}
		i := m.firstAt(key)
		got := it.SeekGE(key)
		what := "SeekGE"
		if rng.IntN(2) == 0 {
			got, what = it.SeekLT(key), "SeekLT"
			i--
		}
		for step := range 8 {
			if !sameRecord(got, m.at(i)) {
				t.Fatalf("%s(%.60x), step %d: %s, want %s", what, key, step, describe(got), describe(m.at(i)))
			}
			if rng.IntN(2) == 0 {
				got, i = it.Next(), min(i+1, len(m.records))
			} else {
				got, i = it.Prev(), max(i-1, -1)
			}
		}
	}
}

func TestEmptyTable(t *testing.T) {
	table := newTable(t, 1<<20)
	it := table.NewIter()
	defer it.Close()
	key := []byte("k")
	for i, r := range []*base.Record{
		it.Next(), it.Prev(), it.First(), it.Next(), it.Prev(), it.Last(),
		it.SeekGE(key), it.Prev(), it.SeekLT(key), it.Next(),
	} {
		if r != nil {
			t.Fatalf("step %d found %s in an empty table", i, describe(r))
		}
	}
	if _, _, found := table.Get(key, base.SeqNumMax); found || table.Len() != 0 || table.RangeDeletes().Covering(key, base.SeqNumMax) != 0 {
		t.Fatal("an empty table is not empty")
	}
}

// TestHugeKeys uses keys of the largest size: with a common prefix of almost
// all of it, and a chain of nested prefixes, which makes the tree as deep as it
// can be.
func TestHugeKeys(t *testing.T) {
	table, m := newTable(t, 64<<20), &model{}
	rng := rand.New(rand.NewPCG(5, 5))
	const size = base.MaxPrefixBytes + base.MaxKeyBytes
	prefix := bytes.Repeat([]byte{0xfe}, size)
	for i := range 200 {
		key := slices.Clone(prefix[:size-rng.IntN(10)])
		for range 2 {
			key[len(key)-1-rng.IntN(10)] = byte(rng.IntN(256))
		}
		if i%20 == 0 {
			key[rng.IntN(len(key))]--
		}
		addBoth(t, table, m, key, base.SeqNum(i+1), rng)
	}
	for i := range 1500 {
		addBoth(t, table, m, prefix[:1+i*6], base.SeqNum(1000+i), rng)
	}
	compareWalks(t, table, m)
	compareSeeks(t, table, m, func(rng *rand.Rand) []byte { return prefix[:1+rng.IntN(size-1)] }, rng)
	for _, r := range m.records {
		if tr, _, found := table.Get(r.Key, r.Trailer.Seq()); !found || tr != r.Trailer {
			t.Fatalf("%s is not found", describe(&r))
		}
	}
}

// TestManyVersions makes sure that neither a walk over the versions of a busy
// key nor a read of an old one takes time in proportion to their square.
func TestManyVersions(t *testing.T) {
	const n = 200_000
	table := newTable(t, 16<<20)
	key := []byte("counter")
	for i := range n {
		if err := table.Add(key, base.Hash(key), base.MakeTrailer(base.SeqNum(2*i+2), base.KindSet), nil); err != nil {
			t.Fatal(err)
		}
	}
	it := table.NewIter()
	defer it.Close()
	seq := base.SeqNum(0)
	for r := it.Last(); r != nil; r = it.Prev() {
		if seq += 2; r.Trailer.Seq() != seq {
			t.Fatalf("backward walk came to %v, want %d", r.Trailer, seq)
		}
	}
	if seq != 2*n {
		t.Fatalf("backward walk ended at %d", seq)
	}
	for i := range n {
		tr, _, found := table.Get(key, base.SeqNum(2*i+3))
		if !found || tr.Seq() != base.SeqNum(2*i+2) {
			t.Fatalf("Get at %d found %v", 2*i+3, tr)
		}
	}
	if _, _, found := table.Get(key, 1); found {
		t.Fatal("found a version older than all")
	}
}

// TestAddBound fills tables of all key shapes to the brim: Add succeeds when
// its bound is available, and when it fails nothing has changed.
func TestAddBound(t *testing.T) {
	for name, shape := range shapes {
		rng := rand.New(rand.NewPCG(9, 9))
		for round := range 20 {
			table := newTable(t, 10_000+rng.IntN(40_000))
			for seq := base.SeqNum(1); ; seq++ {
				key, value := shape(rng), make([]byte, rng.IntN(100))
				if round%4 == 0 && seq > 3 {
					key = []byte("again")
				}
				available := table.AvailableBytes()
				boundBytes := AddBound(len(key), len(value))
				err := table.Add(key, base.Hash(key), base.MakeTrailer(seq, base.KindSet), value)
				if took := available - table.AvailableBytes(); took > boundBytes {
					t.Fatalf("%s: an Add took %d bytes, its bound is %d", name, took, boundBytes)
				}
				if err == nil {
					continue
				}
				if !errors.Is(err, ErrFull) || boundBytes <= available || table.AvailableBytes() != available ||
					table.Len() != int(seq-1) {
					t.Fatalf("%s: bound %d, available %d, error %v", name, boundBytes, available, err)
				}
				break
			}
		}
	}
	table := newTable(t, 1<<20)
	for _, valueBytes := range []int{1 << 20, 1<<31 - 1} {
		if table.fits(1, valueBytes) {
			t.Errorf("a value of %d bytes fits in 1 MiB", valueBytes)
		}
	}
	if slack := AddBound(16, 100) - 116; slack > 1100 {
		t.Errorf("the bound is %d bytes above the record", slack)
	}
}

// TestLoadBound fills empty tables of the size that LoadBound says with records
// of all key shapes, and with keys that make nodes grow as early as they can.
func TestLoadBound(t *testing.T) {
	sameLowBits := func(rng *rand.Rand) []byte {
		key := make([]byte, 3)
		for i := range key {
			key[i] = byte(rng.IntN(32)) * 8
		}
		return key
	}
	all := maps.Clone(shapes)
	all["bytes with the same low bits"] = sameLowBits
	for name, shape := range all {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 10))
			var keys, values [][]byte
			size := 0
			for range 1 + rng.IntN(600) {
				keys, values = append(keys, shape(rng)), append(values, make([]byte, rng.IntN(20)))
				size += len(keys[len(keys)-1]) + len(values[len(values)-1])
			}
			table := newTable(t, LoadBound(len(keys), size))
			for i, key := range keys {
				if err := table.Add(key, base.Hash(key), base.MakeTrailer(base.SeqNum(i+1), base.KindSet), values[i]); err != nil {
					t.Fatalf("%s, seed %d: record %d of %d: %v", name, seed, i, len(keys), err)
				}
			}
		}
	}
}

func TestReadsAndAddsDoNotAllocate(t *testing.T) {
	table := newTable(t, 8<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	key, value, seq := make([]byte, 16), make([]byte, 50), base.SeqNum(0)
	add := func() {
		seq++
		key[rng.IntN(16)] = byte(rng.Uint32())
		if err := table.Add(key, base.Hash(key), base.MakeTrailer(seq, base.KindSet), value); err != nil {
			t.Fatal(err)
		}
	}
	for range 5000 {
		add()
	}
	it := table.NewIter()
	defer it.Close()
	it.Last()
	one, many := [][]byte{key}, slices.Repeat([][]byte{key}, ExpectMax)
	for name, step := range map[string]func(){
		"Add":    add,
		"Expect": func() { table.Expect(nil); table.Expect(one); table.Expect(many) },
		"Get":    func() { table.Get(key, base.SeqNumMax) },
		"SeekGE": func() { it.SeekGE(key) },
		"SeekLT": func() { it.SeekLT(key) },
		"Next":   func() { it.Next() },
		"Prev":   func() { it.Prev() },
	} {
		if allocs := testing.AllocsPerRun(500, step); allocs != 0 {
			t.Errorf("%s allocates %.1f times", name, allocs)
		}
	}
}

// FuzzModel makes keys of the input, cut where a byte says how long the next
// key is, and compares all reads with a sorted slice.
func FuzzModel(f *testing.F) {
	f.Add([]byte("\x01a\x02ab\x03abc\x02ac"))
	f.Add([]byte("\x04\x00\x00\x00\x00\x02\x00\x00\x04\x00\x00\x00\xff\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rng := rand.New(rand.NewPCG(1, 1))
		table, m := newTable(t, 4<<20), &model{}
		for len(data) > 1 && table.AvailableBytes() > 10_000 {
			n := min(1+int(data[0])%20, len(data)-1)
			addBoth(t, table, m, slices.Clone(data[1:1+n]), base.SeqNum(10+table.Len()), rng)
			data = data[1+n:]
		}
		if table.Len() == 0 {
			return
		}
		shape := func(rng *rand.Rand) []byte { return randomBytes(rng, 1+rng.IntN(4), 256) }
		compareGets(t, table, m, shape, rng)
		compareWalks(t, table, m)
		compareSeeks(t, table, m, shape, rng)
	})
}

// TestAppendNewestIsWhatWasAdded writes into the values of both kinds of versions, and
// into the key.
func TestAppendNewestIsWhatWasAdded(t *testing.T) {
	table := newTable(t, 1<<16)
	key := []byte("key")
	for seq, value := range []string{"oldest", "", "newest"} {
		if err := table.Add(key, base.Hash(key), base.MakeTrailer(base.SeqNum(seq+1), base.KindSet), []byte(value)); err != nil {
			t.Fatal(err)
		}
		tr, got, found := table.AppendNewest([]byte("dst"), key)
		if !found || string(got) != "dst"+value || tr.Seq() != base.SeqNum(seq+1) {
			t.Fatalf("%v %q, %t", tr, got, found)
		}
		_, stored, _ := table.Get(key, base.SeqNumMax)
		for i := range stored {
			stored[i] ^= 1
			if _, got, found := table.AppendNewest([]byte("dst"), key); found || string(got) != "dst" {
				t.Errorf("%q found, with byte %d of %q changed", got, i, value)
			}
			stored[i] ^= 1
		}
	}
	it := table.NewIter()
	it.First().Key[0] ^= 1
	if _, _, found := table.AppendNewest(nil, []byte("jey")); found {
		t.Error("found under another key")
	}
}
