package sstable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/internal/compress"
)

// sealHeader and sealFooter give damaged pieces a right checksum.
func sealHeader(data []byte) {
	num := base.FileNum(binary.LittleEndian.Uint64(data[32:]))
	binary.LittleEndian.PutUint32(data[60:], checksum.Block(num, 0, byte(kindHeader), data[:60]))
}

func sealFooter(data []byte) {
	at := len(data) - footerBytes
	sum := checksum.Block(testFile, int64(at), byte(kindFooter), data[at:at+84])
	binary.LittleEndian.PutUint32(data[at+84:], sum)
}

// sealAll does so for every block of a file, at the places they had before
// the damage.
func sealAll(data []byte, blocks []stored) {
	sealHeader(data)
	sealFooter(data)
	for _, b := range blocks {
		end := b.ref.offset + int64(b.ref.diskBytes) + 5
		sum := checksum.Block(testFile, b.ref.offset, byte(b.kind), data[b.ref.offset:end])
		binary.LittleEndian.PutUint32(data[end+1:], sum)
	}
}

// walk reads everything there is in every way. It is for bytes of any content:
// answers are not judged, but errors are.
func walk(t *testing.T, data []byte, cache testCache) {
	r, err := OpenReader(&memFile{data: data}, cache.options())
	if err != nil {
		judge(t, err)
		return
	}
	defer r.Close()
	_, err = readDeletes(r)
	judge(t, err)
	for _, key := range []string{"", "key01", "key015", "key025", "z"} {
		_, err = covering(r, []byte(key), 5)
		judge(t, err)
		p, err := around(r, []byte(key), 5, new(PieceBuffer))
		judge(t, err)
		if err == nil && (string(p.Lo) > key || p.Hi != nil && string(p.Hi) <= key) {
			t.Fatalf("%q..%q is not around %q", p.Lo, p.Hi, key)
		}
	}
	for _, noFill := range []bool{false, true} {
		it := r.NewIter(IterOptions{NoFill: noFill})
		for rec := it.First(); rec != nil; rec = it.Next() {
			_, _, _, err := get(r, bytes.Clone(rec.Key), rec.Trailer.Seq())
			judge(t, err)
		}
		judge(t, it.Err())
		for rec := it.Last(); rec != nil; rec = it.Prev() {
			mayContain(r, rec.Key)
		}
		judge(t, it.Err())
		for _, key := range []string{"", "key", "key001", "key0155", "z"} {
			it.SeekGE([]byte(key))
			it.Prev()
			it.SeekLT([]byte(key))
			it.Next()
		}
		it.Close()
	}
	_, err = r.Verify(t.Context())
	judge(t, err)
}

// judge accepts only the errors that bytes can cause.
func judge(t *testing.T, err error) {
	t.Helper()
	var u *base.FormatError
	if err != nil && !errors.Is(err, base.ErrCorrupted) && !errors.As(err, &u) {
		t.Fatalf("%v is not corruption", err)
	}
}

// FuzzReader walks arbitrary bytes as a table.
func FuzzReader(f *testing.F) {
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		file, _, _ := smallTable(f, codec)
		f.Add(file.data)
	}
	cache := newTestCache(f, 1<<20)
	f.Fuzz(func(t *testing.T, data []byte) { walk(t, data, cache) })
}

// FuzzResealed damages a table and makes all its checksums right again, so
// that the checks behind them are reached. Each edit is two bytes of place and
// one to add there.
func FuzzResealed(f *testing.F) {
	f.Add(uint8(0), []byte{0, 80, 1})
	f.Add(uint8(1), []byte{0, 70, 255, 9, 9, 7})
	cache := newTestCache(f, 1<<20)
	var files [3][]byte
	var blocks [3][]stored
	for i := range files {
		file, _, _ := smallTable(f, compress.Codec(i))
		files[i] = file.data
		blocks[i] = allBlocks(f, open(f, file, 0))
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		data := bytes.Clone(files[which%3])
		for ; len(edits) >= 3; edits = edits[3:] {
			data[int(binary.BigEndian.Uint16(edits))%len(data)] += edits[2]
		}
		sealAll(data, blocks[which%3])
		walk(t, data, cache)
	})
}

// TestResealedBytes is a part of FuzzResealed for every test run: each byte of
// a file changed in turn, under right checksums.
func TestResealedBytes(t *testing.T) {
	file, _, _ := smallTable(t, compress.None)
	blocks := allBlocks(t, open(t, file, 0))
	cache := newTestCache(t, 1<<20)
	for at := 0; at < len(file.data); at += thin() {
		for _, add := range []byte{1, 128} {
			data := bytes.Clone(file.data)
			data[at] += add
			sealAll(data, blocks)
			walk(t, data, cache)
		}
	}
}
