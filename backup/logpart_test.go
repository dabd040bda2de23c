package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// batchOf returns what looks like a batch of some records to who does not read them.
func batchOf(records uint32, content string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, records), content...)
}

var partTime = time.Date(2026, 11, 30, 18, 0, 0, 123456789, time.UTC)

// samplePart returns a part of two commits, 7 to 8 and 9, and its object.
func samplePart(t testing.TB) (*partHead, []byte) {
	h := &partHead{
		Database: strings.Repeat("a1", 16), History: strings.Repeat("b2", 16), Continues: true, First: 7, Last: 9, Time: partTime,
	}
	commits := appendCommit(nil, partTime.Add(-time.Second), batchOf(2, "two"))
	commits = appendCommit(commits, partTime, batchOf(1, ""))
	object, err := encodePart(newTestCodec(t), h, commits)
	must(t, err)
	return h, object
}

func TestPartRoundTrip(t *testing.T) {
	h, object := samplePart(t)
	p, err := decodePart(newTestCodec(t), h.name(), object, chunkBytes)
	must(t, err)
	if !reflect.DeepEqual(p.partHead, *h) {
		t.Errorf("the head is %+v, want %+v", p.partHead, *h)
	}
	var got []string
	must(t, p.each(func(first, last uint64, at time.Time, batch []byte) error {
		got = append(got, fmt.Sprintf("%d %d %v %s", first, last, at.Sub(partTime), batch[4:]))
		return nil
	}))
	if want := []string{"7 8 -1s two", "9 9 0s "}; !slices.Equal(got, want) {
		t.Errorf("the commits are %q, want %q", got, want)
	}
	named, dir, ok := parsePart(Object{Name: h.name(), SizeBytes: 5})
	want := part{name: h.name(), first: 7, last: 9, time: partTime.Truncate(time.Millisecond), sizeBytes: 5}
	if !ok || named != want || dir != logDir(h.Database, h.History) || !validLogDir(dir) {
		t.Errorf("the name says %+v in %s", named, dir)
	}
	if database, history := ofLogDir(dir); database != h.Database || history != h.History {
		t.Errorf("%s is of %s, %s", dir, database, history)
	}
	if _, history := ofLogDir(logDir(h.Database, "")); history != "" {
		t.Errorf("the first history is %q", history)
	}
}

// What is whole and says something impossible is damage, and so is a part under the name of another.
func TestPartsThatCannotBe(t *testing.T) {
	with := newTestCodec(t)
	good, _ := samplePart(t)
	commits := appendCommit(appendCommit(nil, partTime, batchOf(2, "two")), partTime, batchOf(1, ""))
	for what, change := range map[string]func(h *partHead, commits []byte) []byte{
		"too few commits":   func(h *partHead, c []byte) []byte { h.Last++; return c },
		"too many commits":  func(h *partHead, c []byte) []byte { h.Last--; return c },
		"a cut commit":      func(h *partHead, c []byte) []byte { return c[:len(c)-1] },
		"an empty batch":    func(h *partHead, c []byte) []byte { return appendCommit(nil, partTime, batchOf(0, "")) },
		"no commits":        func(h *partHead, c []byte) []byte { return nil },
		"number 0":          func(h *partHead, c []byte) []byte { h.First, h.Last = 0, 2; return c },
		"numbers too large": func(h *partHead, c []byte) []byte { h.First, h.Last = 1<<56-2, 1<<56; return c },
		"another database":  func(h *partHead, c []byte) []byte { h.Database = strings.Repeat("c3", 16); return c },
		"another time":      func(h *partHead, c []byte) []byte { h.Time = h.Time.Add(time.Second); return c },
		"files and commits": func(h *partHead, c []byte) []byte { h.Files, h.ChunkBytes = []file{{Name: batchName}}, 8; return c },
		"no chunks":         func(h *partHead, c []byte) []byte { h.Files = []file{{Name: batchName, SizeBytes: 9}}; return nil },
		"an unknown file":   func(h *partHead, c []byte) []byte { h.Files, h.ChunkBytes = []file{{Name: "../x"}}, 8; return nil },
		"two batches":       func(h *partHead, c []byte) []byte { h.Files, h.ChunkBytes = make([]file, 2), 8; return nil },
		"no ingest": func(h *partHead, c []byte) []byte {
			h.Files, h.ChunkBytes, h.Ingest = make([]file, 1), 8, []byte("x")
			return nil
		},
		"an ingest of other": func(h *partHead, c []byte) []byte {
			h.Files, h.ChunkBytes, h.Ingest = make([]file, 1), 8, ingest(9)
			return nil
		},
		"other tables": func(h *partHead, c []byte) []byte {
			h.Files, h.ChunkBytes, h.Ingest = make([]file, 1), 8, ingest(7)
			return nil
		},
	} {
		h := *good
		object, err := encodePart(with, &h, change(&h, bytes.Clone(commits)))
		must(t, err)
		name := good.name()
		if len(h.Files) > 0 {
			name = h.name()
		}
		if _, err := decodePart(with, name, object, chunkBytes); !isDamage(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// ingest returns an encoded commit past the log from a number to 9.
func ingest(first base.SeqNum) []byte {
	return manifest.EncodeIngest(&manifest.IngestCommit{First: first, Last: 9, Tables: []*manifest.FileMeta{{
		Num: 4, SizeBytes: 100, Lo: []byte("a"), Hi: []byte("b"), SmallestSeq: first, LargestSeq: 9, Count: 1, SeqBase: first,
	}}})
}

func TestNamesOfNoParts(t *testing.T) {
	h, _ := samplePart(t)
	name := h.name()
	for _, bad := range []string{
		"", "seen", name[:len(name)-1], name + "x", strings.ToUpper(name[len(name)-54:]), strings.Replace(name, "-", "_", 1),
		strings.Replace(name, "0000000000000007", "0000000000000000", 1), strings.Replace(name, "0000000000000007", "000000000000000a", 1),
		strings.Replace(name, "0000000000000007", "000000000000000g", 1),
	} {
		if p, _, ok := parsePart(Object{Name: bad}); ok && p.first != 7 {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

// Parts that follow one another are found whatever overlaps; a model has the numbers one by one.
func TestFollow(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		var parts []part
		has := map[uint64]bool{}
		for range rng.IntN(8) {
			first := 1 + rng.Uint64N(30)
			p := part{first: first, last: first + rng.Uint64N(6)}
			parts = append(parts, p)
			for n := p.first; n <= p.last; n++ {
				has[n] = true
			}
		}
		slices.SortFunc(parts, func(a, b part) int { return int(a.first) - int(b.first) })
		from := 1 + rng.Uint64N(30)
		want := from
		for has[want] {
			want++
		}
		chain, end := follow(parts, from)
		if end != want {
			t.Fatalf("%+v from %d lead to %d, want %d", parts, from, end, want)
		}
		next := from
		for _, p := range chain {
			if p.first > next || p.last < next {
				t.Fatalf("%+v from %d: chain %+v", parts, from, chain)
			}
			next = p.last + 1
		}
		ranges := rangesOf(logDir(strings.Repeat("0", 32), ""), parts, seen{})
		count := 0
		for i, r := range ranges {
			if i > 0 && ranges[i-1].Last+1 >= r.First {
				t.Fatalf("%+v have the ranges %+v", parts, ranges)
			}
			count += int(r.Last - r.First + 1)
		}
		if count != len(has) {
			t.Fatalf("%+v have the ranges %+v, and %d numbers", parts, ranges, len(has))
		}
	}
}

func FuzzDecodePart(f *testing.F) {
	with := newTestCodec(f)
	h, object := samplePart(f)
	content, _, err := with.decode(nil, h.name(), kindPart, object, chunkBytes)
	must(f, err)
	f.Add(content)
	large := *h
	large.ChunkBytes, large.Ingest = 64, ingest(7)
	large.Files = []file{{Name: "000004.sst", SizeBytes: 100, Chunks: make([]sum, 2)}}
	object, err = encodePart(with, &large, nil)
	must(f, err)
	content, _, err = with.decode(nil, large.name(), kindPart, object, chunkBytes)
	must(f, err)
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) {
		p := new(logPart)
		if p.decode(content) != nil {
			return
		}
		if p.First == 0 || p.First > p.Last {
			t.Fatalf("decoded %+v", p.partHead)
		}
		next := p.First
		must(t, p.each(func(first, last uint64, _ time.Time, _ []byte) error {
			if first != next {
				t.Fatalf("commit %d follows %d", first, next-1)
			}
			next = last + 1
			return nil
		}))
	})
}

// A part of one kind is never taken for another object, and the other way round.
func TestKindsAreToldApart(t *testing.T) {
	with := newTestCodec(t)
	text := []byte(`{"seq":7}`)
	object := with.encode(nil, kindSeen, text, sha256.Sum256(text))
	h, _ := samplePart(t)
	if _, err := decodePart(with, h.name(), object, chunkBytes); !isDamage(err) {
		t.Errorf("seen is a part: %v", err)
	}
}
