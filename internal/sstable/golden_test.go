package sstable

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/rangedel"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// goldenTable is the content of the golden files. It never changes: the files
// must be readable by every later version.
func goldenTable() (model, []rangedel.Fragment) {
	var m model
	for i := range 120 {
		key := fmt.Sprintf("\x01user/%04d", i*i)
		for version := range 1 + i%4 {
			seq := base.SeqNum(1000*(4-version) + i)
			e := set(key, seq, fmt.Sprintf("value %d of user %d, %d", version, i, i*7919))
			if (i+version)%9 == 0 {
				e.tr, e.value = base.MakeTrailer(seq, base.KindDelete), nil
			}
			m = append(m, e)
		}
	}
	for version := range 60 { // over several blocks
		m = append(m, set("\x02hot", base.SeqNum(5000-version), fmt.Sprintf("state %d", version)))
	}
	return sorted(m), []rangedel.Fragment{
		{Lo: []byte("\x01user/0"), Hi: []byte("\x01user/1"), Seqs: []base.SeqNum{2500, 17}},
		{Lo: []byte("\x03"), Hi: []byte("\x04"), Seqs: []base.SeqNum{12}},
	}
}

// TestGolden reads the files of format version 1. The uncompressed one is also
// what the writer produces, byte for byte; how the codecs compress may change.
func TestGolden(t *testing.T) {
	m, dels := goldenTable()
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		name := filepath.Join("testdata", fmt.Sprintf("v1-%s.sst", codec))
		o := WriterOptions{BlockSizeBytes: 1024, FilterBitsPerKey: 10, Compression: codec}
		written, p := build(t, o, m, dels)
		if *rewrite {
			if err := os.WriteFile(name, written.data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if codec == compress.None && !bytes.Equal(data, written.data) {
			t.Errorf("the writer no longer makes %s", name)
		}
		r := open(t, &memFile{data: data}, 1<<20)
		if m.readAll(t, name, r, dels) {
			t.Fatalf("%s is damaged", name)
		}
		if _, err := r.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.props.EntryChecksum != p.EntryChecksum || !bytes.Equal(r.props.Hi, p.Hi) {
			t.Fatalf("%s: %+v, want %+v", name, r.props, p)
		}
	}
}
