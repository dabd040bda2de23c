package block

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// entry is a record of the model: a sorted slice of them is what a block is.
type entry struct {
	key     []byte
	trailer base.Trailer
	value   []byte
}

func compareEntries(a, b entry) int { return base.Compare(a.key, a.trailer, b.key, b.trailer) }

func sortEntries(entries []entry) []entry {
	slices.SortFunc(entries, compareEntries)
	return slices.CompactFunc(entries, func(a, b entry) bool { return compareEntries(a, b) == 0 })
}

func build(b *Builder, entries []entry) []byte {
	b.Reset()
	for _, e := range entries {
		b.Add(e.key, e.trailer, e.value, base.Hash(e.key))
	}
	return b.Finish()
}

func find(v *View, key []byte, seq base.SeqNum) (int, bool, bool) {
	return v.Find(key, Fingerprint(base.Hash(key)), seq)
}

// modelSeekGE is SeekGE over the model.
func modelSeekGE(entries []entry, key []byte) int {
	i, _ := slices.BinarySearchFunc(entries, key, func(e entry, key []byte) int {
		return cmp.Or(bytes.Compare(e.key, key), 1) // the first of equal ones
	})
	return i
}

// modelFind is Find over the model.
func modelFind(entries []entry, key []byte, seq base.SeqNum) (slot int, found, more bool) {
	i := modelSeekGE(entries, key)
	for ; i < len(entries) && bytes.Equal(entries[i].key, key); i++ {
		if entries[i].trailer.Seq() <= seq {
			return i, true, false
		}
		more = i == len(entries)-1
	}
	return 0, false, more
}

func sameRecord(r *base.Record, e entry) bool {
	return bytes.Equal(r.Key, e.key) && r.Trailer == e.trailer && bytes.Equal(r.Value, e.value)
}

// probes returns keys to ask for: those present and their close neighbours.
func probes(entries []entry, rng *rand.Rand) [][]byte {
	out := [][]byte{nil, {}, {0}, {0xff}, bytes.Repeat([]byte{0xff}, 40)}
	for _, i := range rng.Perm(len(entries)) {
		k := entries[i].key
		out = append(out, k, append(bytes.Clone(k), 0), append(bytes.Clone(k), 0xff))
		if len(k) > 0 {
			out = append(out, k[:len(k)-1], k[:rng.IntN(len(k))])
			other := bytes.Clone(k)
			other[rng.IntN(len(k))] ^= 1 << rng.IntN(8)
			out = append(out, other)
		}
		if len(out) > 150 {
			break
		}
	}
	return out
}

// check compares everything that a block answers with the model.
func check(t *testing.T, data []byte, entries []entry, rng *rand.Rand) {
	t.Helper()
	v, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if v.Len() != len(entries) {
		t.Fatalf("%d records, want %d", v.Len(), len(entries))
	}
	if trusted := Trusted(data); trusted != v {
		t.Fatalf("Trusted gives %+v, Parse %+v", trusted, v)
	}
	var it Iter
	it.Init(v)
	for i, e := range entries {
		if got := v.AppendKey([]byte("x"), i); !bytes.Equal(got, append([]byte("x"), e.key...)) {
			t.Fatalf("slot %d: key %x, want %x", i, got[1:], e.key)
		}
		if v.Trailer(i) != e.trailer || !bytes.Equal(v.Value(i), e.value) {
			t.Fatalf("slot %d: %v %x, want %v %x", i, v.Trailer(i), v.Value(i), e.trailer, e.value)
		}
		if r := it.Next(); r == nil || !sameRecord(r, e) {
			t.Fatalf("slot %d: Next gives %v, want %v", i, r, e)
		}
	}
	for range 2 {
		if it.Next() != nil {
			t.Fatal("Next gives a record past the last")
		}
	}
	for i, e := range slices.Backward(entries) {
		if r := it.Prev(); r == nil || !sameRecord(r, e) {
			t.Fatalf("slot %d: Prev gives %v, want %v", i, r, e)
		}
	}
	if it.Prev() != nil || it.Prev() != nil {
		t.Fatal("Prev gives a record before the first")
	}
	for _, key := range probes(entries, rng) {
		checkProbe(t, &v, &it, entries, key, rng)
	}
	if err := cmp.Or(it.Err(), it.Close()); err != nil {
		t.Fatal(err)
	}
}

func checkProbe(
	t *testing.T, v *View, it *Iter, entries []entry, key []byte, rng *rand.Rand,
) {
	t.Helper()
	at := modelSeekGE(entries, key)
	if got := v.SeekGE(key); got != at {
		t.Fatalf("SeekGE(%x) = %d, want %d", key, got, at)
	}
	seqs := []base.SeqNum{0, 1, base.SeqNumMax, base.SeqNum(rng.IntN(64))}
	if at < len(entries) {
		seq := entries[at].trailer.Seq()
		seqs = append(seqs, seq, seq+1, seq-min(seq, 1))
	}
	for _, seq := range seqs {
		slot, found, more := find(v, key, seq)
		wantSlot, wantFound, wantMore := modelFind(entries, key, seq)
		if found != wantFound || more != wantMore || found && slot != wantSlot {
			t.Fatalf("Find(%x, %d) = %d %v %v, want %d %v %v",
				key, seq, slot, found, more, wantSlot, wantFound, wantMore)
		}
	}
	expect := func(what string, r *base.Record, i int) {
		t.Helper()
		if 0 <= i && i < len(entries) {
			if r == nil || !sameRecord(r, entries[i]) {
				t.Fatalf("%s(%x) gives %v, want slot %d %v", what, key, r, i, entries[i])
			}
		} else if r != nil {
			t.Fatalf("%s(%x) gives %v, want nothing", what, key, r)
		}
	}
	expect("SeekLT", it.SeekLT(key), at-1)
	expect("Next after SeekLT", it.Next(), at)
	expect("SeekGE", it.SeekGE(key), at)
	expect("Prev after SeekGE", it.Prev(), at-1)
	expect("First", it.First(), 0)
	expect("Last", it.Last(), len(entries)-1)
}

// shapes make the key sets that the layout treats differently.
var shapes = map[string]func(rng *rand.Rand) []byte{
	"fixed": func(rng *rand.Rand) []byte {
		return fmt.Appendf(nil, "user%012d", rng.Int64N(1e12))
	},
	"dense": func(rng *rand.Rand) []byte {
		return fmt.Appendf(nil, "user%012d", rng.IntN(300))
	},
	"equalHeads": func(rng *rand.Rand) []byte { // after a short prefix, a long shared middle
		return fmt.Appendf(nil, "%c-the-same-middle-%x", "ab"[rng.IntN(2)], rng.Int64N(1<<(4*rng.IntN(12))))
	},
	"zeroes": func(rng *rand.Rand) []byte {
		b := make([]byte, 1+rng.IntN(20))
		if rng.IntN(3) == 0 {
			b[rng.IntN(len(b))] = byte(rng.IntN(2))
		}
		return b
	},
	"tiny": func(rng *rand.Rand) []byte {
		b := make([]byte, 1+rng.IntN(3))
		for i := range b {
			b[i] = byte(rng.IntN(3)) * 0x7f
		}
		return b
	},
	"prefixes": func(rng *rand.Rand) []byte { // each a prefix of the longer ones
		return bytes.Repeat([]byte("ab"), 40)[:1+rng.IntN(80)]
	},
	"rests": func(rng *rand.Rand) []byte { // suffixes around the steps of the copying code
		return append([]byte("p"), bytes.Repeat([]byte{byte(rng.IntN(3))}, rng.IntN(36))...)
	},
	"binary": func(rng *rand.Rand) []byte {
		b := make([]byte, 1+rng.IntN(40))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	},
}

func randomEntries(rng *rand.Rand, key func(*rand.Rand) []byte) []entry {
	seqBits := rng.IntN(50)
	versions := 1 + rng.IntN(3)*rng.IntN(8)
	var entries []entry
	for range 1 + rng.IntN(120) {
		k := key(rng)
		for range 1 + rng.IntN(versions) {
			kind := base.KindSet
			if rng.IntN(4) == 0 {
				kind = base.KindDelete
			}
			value := make([]byte, rng.IntN(3)*rng.IntN(60))
			for i := range value {
				value[i] = byte(rng.Uint32())
			}
			tr := base.MakeTrailer(base.SeqNum(rng.Uint64N(1<<seqBits)), kind)
			entries = append(entries, entry{k, tr, value})
		}
	}
	return sortEntries(entries)
}

func TestModel(t *testing.T) {
	for name, key := range shapes {
		t.Run(name, func(t *testing.T) {
			var b Builder
			for seed := range uint64(50) {
				rng := rand.New(rand.NewPCG(seed, 1))
				entries := randomEntries(rng, key)
				data := build(&b, entries)
				size := b.SizeBytes()
				if size < len(data) || name == "fixed" && size != len(data) {
					t.Fatalf("seed %d: SizeBytes %d, block of %d", seed, size, len(data))
				}
				var fresh Builder // what a builder did before leaves no trace
				if !bytes.Equal(build(&fresh, entries), data) {
					t.Fatalf("seed %d: a used builder makes other bytes", seed)
				}
				// At an odd address, right at the end of its allocation.
				moved := append([]byte{0}, data...)[1:]
				t.Logf("seed %d", seed)
				check(t, moved, entries, rng)
			}
		})
	}
}

func TestEmptyBlock(t *testing.T) {
	var b Builder
	data := bytes.Clone(b.Finish())
	if b.SizeBytes() != len(data) || b.Len() != 0 {
		t.Fatalf("SizeBytes %d, block of %d", b.SizeBytes(), len(data))
	}
	check(t, data, nil, rand.New(rand.NewPCG(1, 1)))
	var it Iter // a zero iterator is one over an empty block
	if it.Next() != nil || it.Prev() != nil || it.First() != nil || it.SeekGE(nil) != nil {
		t.Fatal("a record in the zero iterator")
	}
	// A builder that was used before makes the same empty block.
	build(&b, []entry{{[]byte("key"), base.MakeTrailer(5, base.KindSet), nil}})
	b.Reset()
	if !bytes.Equal(b.Finish(), data) {
		t.Fatal("an empty block after Reset differs")
	}
}

func TestZeroPaddedHeads(t *testing.T) {
	// All have the same head; only their lengths and rests tell them apart.
	var entries []entry
	for n := range 20 {
		key := append([]byte("a"), make([]byte, n)...)
		entries = append(entries, entry{key, base.MakeTrailer(1, base.KindSet), []byte{byte(n)}})
	}
	entries = append(entries, entry{[]byte("b"), base.MakeTrailer(1, base.KindSet), nil})
	var b Builder
	check(t, build(&b, entries), entries, rand.New(rand.NewPCG(1, 1)))
}

func TestVersionsToTheEndOfTheBlock(t *testing.T) {
	var entries []entry
	for seq := base.SeqNum(300); seq > 100; seq-- {
		entries = append(entries, entry{[]byte("key"), base.MakeTrailer(seq, base.KindSet), nil})
	}
	var b Builder
	v, err := Parse(build(&b, entries))
	if err != nil {
		t.Fatal(err)
	}
	if _, found, more := find(&v, []byte("key"), 100); found || !more {
		t.Errorf("below all versions: found %v, more %v", found, more)
	}
	if slot, found, more := find(&v, []byte("key"), 101); !found || more || slot != 199 {
		t.Errorf("the oldest: slot %d, found %v, more %v", slot, found, more)
	}
	if _, found, more := find(&v, []byte("kez"), 100); found || more {
		t.Errorf("another key: found %v, more %v", found, more)
	}
}

func TestRepeatedSeparators(t *testing.T) {
	// Index blocks may hold a key twice with the same trailer.
	tr := base.MakeTrailer(0, base.KindSet)
	entries := []entry{
		{[]byte("k"), tr, []byte{1}}, {[]byte("m"), tr, []byte{2}},
		{[]byte("m"), tr, []byte{3}}, {[]byte("q"), tr, []byte{4}},
	}
	var b Builder
	check(t, build(&b, entries), entries, rand.New(rand.NewPCG(1, 1)))
}

func TestWideBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	huge := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	longKey := bytes.Repeat([]byte("k"), base.MaxKeyBytes+base.MaxPrefixBytes)
	var many []entry
	for i := range 3000 {
		key := fmt.Appendf(nil, "row%09d", i*7)
		many = append(many, entry{key, base.MakeTrailer(base.SeqNum(i), base.KindSet), huge[:100+i%50]})
	}
	one := base.MakeTrailer(9, base.KindSet)
	var b Builder
	for name, entries := range map[string][]entry{
		"many":     many,
		"huge":     {{[]byte("key"), one, huge}},
		"longKey":  {{longKey, one, []byte("v")}},
		"longKeys": {{longKey[:1], one, nil}, {longKey[:60000], one, nil}, {longKey, one, huge[:70]}},
	} {
		t.Run(name, func(t *testing.T) { check(t, build(&b, entries), entries, rng) })
	}
	b.Reset()
	if cap(b.bytes)+cap(b.out) > 2*keptBytes {
		t.Errorf("Reset keeps buffers of %d and %d bytes", cap(b.bytes), cap(b.out))
	}
}

func TestOverheadPerRecord(t *testing.T) {
	var b Builder
	raw := 0
	rng := rand.New(rand.NewPCG(6, 6))
	entries := randomFixed(rng, 70)
	for _, e := range entries {
		raw += len(e.key) + len(e.value)
	}
	size := len(build(&b, entries))
	if perRecord := float64(size-raw) / float64(len(entries)); perRecord > 4 {
		t.Errorf("%.2f bytes per record beyond key and value", perRecord)
	}
}

// randomFixed returns n records of 16 B random keys and 100 B values, all of
// the same trailer.
func randomFixed(rng *rand.Rand, n int) []entry {
	var entries []entry
	for range n {
		e := entry{make([]byte, 16), base.MakeTrailer(0, base.KindSet), make([]byte, 100)}
		for i := range e.key {
			e.key[i] = byte(rng.Uint32())
		}
		for i := range e.value {
			e.value[i] = byte(rng.Uint32())
		}
		entries = append(entries, e)
	}
	return sortEntries(entries)
}

func TestNoAllocations(t *testing.T) {
	entries := randomFixed(rand.New(rand.NewPCG(8, 8)), 70)
	var b Builder
	data := build(&b, entries)
	var it Iter
	it.Init(Trusted(data))
	buf := make([]byte, 0, 64)
	allocations := testing.AllocsPerRun(20, func() {
		build(&b, entries)
		v := Trusted(data)
		it.Init(v)
		for r := it.First(); r != nil; r = it.Next() {
			slot, _, _ := find(&v, r.Key, 1)
			buf = v.AppendKey(buf[:0], slot)
		}
		it.SeekLT(entries[9].key)
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
