package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// examine calls every accessor on a block that Parse accepted and checks that
// the answers fit together. It returns what the block holds.
func examine(t *testing.T, data []byte, v View) []entry {
	t.Helper()
	var entries []entry
	for i := range v.Len() {
		e := entry{v.AppendKey(nil, i), v.Trailer(i), v.Value(i)}
		if !e.trailer.Kind().Valid() {
			t.Fatalf("slot %d: kind %v", i, e.trailer.Kind())
		}
		if i > 0 && compareEntries(entries[i-1], e) > 0 {
			t.Fatalf("slot %d: %v after %v", i, e, entries[i-1])
		}
		entries = append(entries, e)
	}
	var it Iter
	it.Init(v)
	for i, e := range entries {
		if r := it.Next(); r == nil || !sameRecord(r, e) {
			t.Fatalf("slot %d: Next gives %v, want %v", i, r, e)
		}
	}
	if it.Next() != nil || it.First() == nil != (len(entries) == 0) ||
		it.Last() == nil != (len(entries) == 0) {
		t.Fatal("wrong ends")
	}
	for i, e := range entries {
		at := modelSeekGE(entries, e.key)
		if got := v.SeekGE(e.key); got != at {
			t.Fatalf("SeekGE(%x) = %d, want %d", e.key, got, at)
		}
		if r := it.SeekLT(e.key); r == nil != (at == 0) {
			t.Fatalf("SeekLT(%x) gives %v, its key is at %d", e.key, r, at)
		}
		// The stored fingerprint need not belong to the key.
		slot, found, _ := v.Find(e.key, printsOf(v)[i], base.SeqNumMax)
		if !found || !bytes.Equal(entries[slot].key, e.key) {
			t.Fatalf("Find(%x) = %d, %v", e.key, slot, found)
		}
		v.Find(e.key, byte(i), e.trailer.Seq())
		v.SeekGE(append(e.key, 0))
	}
	return entries
}

// parseHostile parses bytes of any origin and, if they pass, examines them and
// builds the block again from its records.
func parseHostile(t *testing.T, data []byte) error {
	t.Helper()
	v, err := Parse(data)
	if err != nil {
		return err
	}
	entries := examine(t, data, v)
	var b Builder
	again := build(&b, entries)
	w, err := Parse(again)
	if err != nil {
		t.Fatalf("built again: %v", err)
	}
	if w.Len() != len(entries) {
		t.Fatalf("built again: %d records, want %d", w.Len(), len(entries))
	}
	for i, e := range examine(t, again, w) {
		if compareEntries(e, entries[i]) != 0 || !bytes.Equal(e.value, entries[i].value) {
			t.Fatalf("built again: slot %d is %v, want %v", i, e, entries[i])
		}
	}
	return nil
}

// TestReadsStayInside puts blocks of all shapes against an unreadable page.
func TestReadsStayInside(t *testing.T) {
	var b Builder
	for name, key := range shapes {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				rng := rand.New(rand.NewPCG(seed, 2))
				entries := randomEntries(rng, key)[:1]
				if seed%2 == 0 {
					entries = randomEntries(rng, key)
				}
				t.Logf("seed %d", seed)
				check(t, fenced(t, build(&b, entries)), entries, rng)
			}
		})
	}
}

// TestSmallestBlocks does so with the shortest keys and values there are.
func TestSmallestBlocks(t *testing.T) {
	var b Builder
	rng := rand.New(rand.NewPCG(1, 1))
	for keyLen := range 20 {
		for valueLen := range 10 {
			e := entry{make([]byte, keyLen), base.MakeTrailer(1, base.KindSet), make([]byte, valueLen)}
			check(t, fenced(t, build(&b, []entry{e})), []entry{e}, rng)
			more := entry{append([]byte("z"), e.key...), base.MakeTrailer(2, base.KindDelete), e.value}
			check(t, fenced(t, build(&b, []entry{e, more})), []entry{e, more}, rng)
		}
	}
}

func TestDamagedBlocks(t *testing.T) {
	var b Builder
	for name, key := range shapes {
		t.Run(name, func(t *testing.T) {
			const seed = 3
			rng := rand.New(rand.NewPCG(seed, 3))
			entries := randomEntries(rng, key)
			data := bytes.Clone(build(&b, entries[:min(40, len(entries))]))
			room := fenced(t, data)
			accepted := 0
			for range 400 {
				copy(room, data)
				for range 1 + rng.IntN(3) {
					at := rng.IntN(len(room))
					if rng.IntN(2) == 0 { // the structure is in front
						at = rng.IntN(min(len(room), 200))
					}
					room[at] = byte(rng.Uint32()) >> rng.IntN(8)
				}
				if parseHostile(t, room) == nil {
					accepted++
				}
			}
			t.Logf("seed %d: %d of 400 accepted", seed, accepted)
			copy(room, data)
			for n := range len(data) {
				_, errFront := Parse(room[len(room)-n:])
				if _, err := Parse(data[:n]); err == nil || errFront == nil {
					t.Fatalf("%d of %d bytes accepted", n, len(data))
				}
			}
		})
	}
}

// TestParseFindings damages one field at a time and names the finding.
func TestParseFindings(t *testing.T) {
	tr := base.MakeTrailer(7, base.KindSet)
	var b Builder
	good := bytes.Clone(build(&b, []entry{
		{[]byte("ka"), tr, []byte("v0")},
		{[]byte("kb-0123456789"), tr + 1<<8, []byte("v1")},
		{[]byte("kb-0123456789"), tr, []byte("v2")},
		{[]byte("kb-0123456x"), tr, nil},
	}))
	v, err := Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	heads, slots := int(v.heads), int(v.slots())
	for _, c := range []struct {
		name   string
		want   error
		damage func(data []byte) []byte
	}{
		{"cut", errShort, func(d []byte) []byte { return d[:headerBytes] }},
		{"longer", errLength, func(d []byte) []byte { return append(d, 0) }},
		{"shorter", errLength, func(d []byte) []byte { return d[:len(d)-1] }},
		{"count", errShort, func(d []byte) []byte { d[countAt+3] = 0xff; return d }},
		{"prefix", errShort, func(d []byte) []byte { d[prefixLenAt+3] = 0xff; return d }},
		{"trailer width", errHeader, func(d []byte) []byte { d[trailerWidthAt] = 9; return d }},
		{"offset width 0", errHeader, func(d []byte) []byte { d[offsetWidthAt] = 0; return d }},
		{"offset width 5", errHeader, func(d []byte) []byte { d[offsetWidthAt] = 5; return d }},
		{"length width", errHeader, func(d []byte) []byte { d[lengthWidthAt] = 4; return d }},
		{"reserved", errHeader, func(d []byte) []byte { d[reservedAt] = 1; return d }},
		{"base length", errSlots, func(d []byte) []byte { d[baseLengthAt+3] = 0xff; return d }},
		{"first offset", errSlots, func(d []byte) []byte { d[slots] = 1; return d }},
		{"offset", errSlots, func(d []byte) []byte { d[slots+2] = 0xff; return d }},
		{"length", errSlots, func(d []byte) []byte { d[slots+1] = 200; return d }},
		{"padding", errPadding, func(d []byte) []byte { d[heads] = 1; return d }},
		{"kind", errTrailers, func(d []byte) []byte { d[baseTrailerAt] = 200; return d }},
		{"heads", errOrder, func(d []byte) []byte { d[heads+7] = 0xff; return d }},
		{"rests", errOrder, func(d []byte) []byte { d[v.records()+2] = 'z'; return d }},
		{"versions", errOrder, func(d []byte) []byte {
			at := int(v.trailers())
			d[at+2], d[at+4] = d[at+4], d[at+2]
			d[at+3], d[at+5] = d[at+5], d[at+3]
			return d
		}},
	} {
		if _, err := Parse(c.damage(bytes.Clone(good))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// Keys shorter than a head leave slack in the check for room; descending
	// offsets must not hide in it.
	short := build(&b, []entry{{[]byte("a"), tr, []byte("12")}, {[]byte("b"), tr, []byte("345")}})
	if v, err = Parse(short); err != nil {
		t.Fatal(err)
	}
	short[v.slots()+1] = 6
	if _, err := Parse(short); !errors.Is(err, errSlots) {
		t.Errorf("descending offsets: %v, want %v", err, errSlots)
	}
	// 256 bytes more than one byte of offset can tell.
	wide := build(&b, []entry{{[]byte("a"), tr, make([]byte, 200)}})
	if v, err = Parse(wide); err != nil {
		t.Fatal(err)
	}
	sentinel := int(v.records()) - sentinelBytes
	wide = append(wide, make([]byte, 256)...)
	binary.LittleEndian.PutUint64(wide[sentinel:], 456)
	if _, err := Parse(wide); !errors.Is(err, errLength) {
		t.Errorf("more bytes than offsets reach: %v, want %v", err, errLength)
	}
	// A block without records has neither prefix nor lengths: an iterator
	// would make room for them.
	empty := make([]byte, headerBytes+sentinelBytes)
	empty[offsetWidthAt] = 1
	if _, err := Parse(empty); err != nil {
		t.Errorf("empty: %v", err)
	}
	binary.LittleEndian.PutUint32(empty[baseLengthAt:], 1<<31)
	if _, err := Parse(empty); !errors.Is(err, errHeader) {
		t.Errorf("empty with a base length: %v, want %v", err, errHeader)
	}
}

func FuzzParse(f *testing.F) {
	var b Builder
	f.Add([]byte{})
	f.Add(bytes.Clone(b.Finish()))
	rng := rand.New(rand.NewPCG(4, 4))
	for _, key := range shapes {
		entries := randomEntries(rng, key)
		f.Add(bytes.Clone(build(&b, entries)))
		f.Add(bytes.Clone(build(&b, entries[:min(3, len(entries))])))
	}
	f.Fuzz(func(t *testing.T, data []byte) { _ = parseHostile(t, fenced(t, data)) })
}

// FuzzBuild cuts its input into records and compares the block with the model.
func FuzzBuild(f *testing.F) {
	f.Add([]byte("abcabdabe\x00\x00\x00"), byte(3), byte(1))
	f.Add(make([]byte, 200), byte(9), byte(0))
	f.Fuzz(func(t *testing.T, input []byte, keyLen, valueLen byte) {
		rng := rand.New(rand.NewPCG(uint64(keyLen), uint64(valueLen)))
		var entries []entry
		for len(input) > 0 && len(entries) < 200 {
			n := min(1+rng.IntN(int(keyLen)+1), len(input))
			key := input[:n]
			input = input[n:]
			value := input[:min(rng.IntN(int(valueLen)+1), len(input))]
			input = input[len(value):]
			tr := base.MakeTrailer(base.SeqNum(rng.Uint32N(9)), base.KindSet)
			entries = append(entries, entry{key, tr, value})
		}
		entries = sortEntries(entries)
		var b Builder
		check(t, fenced(t, build(&b, entries)), entries, rng)
	})
}
