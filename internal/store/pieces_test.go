package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

// inParts returns the value of a key as of seq in a tree: as a whole and put together from parts.
func (r *room) inParts(tree *Tree, key string, seq base.SeqNum) (whole, parts string) {
	r.t.Helper()
	g := r.epochs.Enter()
	defer g.Exit()
	l := Lookup{Key: []byte(key), Hash: base.Hash([]byte(key)), Seq: seq}
	_, value, found, err := tree.Get(&l, seq)
	must(r.t, err)
	if !found {
		return "", ""
	}
	for {
		p := Part{Offset: int64(len(parts))}
		l := Lookup{Key: l.Key, Hash: l.Hash, Seq: seq, Part: &p}
		_, part, _, err := tree.Get(&l, seq)
		must(r.t, err)
		if !p.InPieces {
			return string(value), string(part)
		}
		if len(part) == 0 {
			if p.SizeBytes != int64(len(parts)) {
				r.t.Errorf("%s@%d has %d bytes, and says %d", key, seq, len(parts), p.SizeBytes)
			}
			return string(value), parts
		}
		parts += string(part)
	}
}

// Versions of one key, in pieces and not, are what they were, whole and part by part, also when
// they were written anew because their blob table is left.
func TestPieces(t *testing.T) {
	r := newRoomWith(t, 16) // pieces of 1 KiB, from 16 KiB on
	rng := rand.New(rand.NewPCG(1, 1))
	want := map[string]map[base.SeqNum]string{}
	var records []base.Record
	seq := base.SeqNum(0)
	for k := range 5 {
		key := fmt.Sprintf("\x00k%d", k)
		want[key] = map[base.SeqNum]string{}
		for range 12 {
			seq++
			n := []int{3, 40, 16<<10 - 1, 16 << 10, 16<<10 + 1, 40_000}[rng.IntN(6)]
			value := strings.Repeat(fmt.Sprintf("%d of %s;", seq, key), n/5+1)[:n]
			want[key][seq] = value
			records = append(records, rec(key, seq, value))
		}
	}
	check := func(when string, meta *manifest.FileMeta) *Tree {
		t.Helper()
		tree := r.NewTree(r.version(nil, []*manifest.FileMeta{meta}))
		for key, versions := range want {
			for seq, value := range versions {
				if whole, parts := r.inParts(tree, key, seq); whole != value || parts != value {
					t.Fatalf("%s: %s@%d has %d bytes, %d in parts, want %d", when, key, seq, len(whole), len(parts), len(value))
				}
			}
		}
		it, err := tree.Levels[1][0].NewIter(sstable.IterOptions{})
		must(t, err)
		n := 0
		for rec := it.Last(); rec != nil; rec = it.Prev() {
			if n++; want[string(rec.Key)][rec.Trailer.Seq()] != string(rec.Value) {
				t.Fatalf("%s: the walk shows %s@%d with %d bytes", when, rec.Key, rec.Trailer.Seq(), len(rec.Value))
			}
		}
		if must(t, it.Err()); n != len(records) {
			t.Fatalf("%s: %d records", when, n)
		}
		must(t, it.Close())
		return tree
	}
	meta := r.table(records)
	before := check("written", meta)
	if len(meta.Blobs) < 2 {
		t.Errorf("the versions of a key are in %d blob tables", len(meta.Blobs))
	}
	left := map[base.FileNum]bool{}
	for _, use := range meta.Blobs {
		left[use.Num] = true
	}
	open := func(lo, hi []byte) (Records, rangedel.Iterator, error) {
		return before.MergeInputs(1, 2, [2][]*manifest.FileMeta{{meta}, nil}, 1)
	}
	outputs, _, err := r.WriteParts(context.Background(), nil, open, Output{Level: 1, LeftBlobs: left}, compact.Config{Snapshots: pins(records)})
	must(t, err)
	for _, use := range outputs[0].Blobs {
		if left[use.Num] {
			t.Errorf("blob table %d was to be left", use.Num)
		}
	}
	r.drop(before)
	r.drop(check("written anew", outputs[0]))
}

// A piece that is not there is damage, and not a shorter value.
func TestPieceIsMissing(t *testing.T) {
	r := newRoomWith(t, 16)
	value := strings.Repeat("v", 20_000)
	meta := r.table([]base.Record{rec("\x00k", 1, value)})
	table := r.Unlisted(meta)
	reader, err := table.Reader()
	must(t, err)
	it := reader.NewIter(sstable.IterOptions{})
	ref, err := base.DecodeBlobRef(it.First().Value)
	must(t, err)
	must(t, it.Close())
	g := r.epochs.Enter()
	defer func() {
		g.Exit()
		r.Dispose([]*Table{table})
	}()
	walks := blobWalks{store: r.Store, open: table.openBlob}
	defer walks.close()
	for _, wrong := range []uint64{ref.StoredBytes + ref.PieceBytes, ref.StoredBytes - 1} { // one more, and a shorter one
		ref.StoredBytes = wrong
		l := Lookup{Key: []byte("\x00k"), Hash: base.Hash([]byte("\x00k")), Seq: 1}
		var damage *base.CorruptionError
		_, _, _, err = table.value(&l, base.MakeTrailer(1, base.KindBlob), base.AppendBlobRef(nil, ref))
		if !errors.As(err, &damage) || string(damage.Lo) != "\x00k" {
			t.Errorf("a get: %v", err)
		}
		if _, err := walks.load([]byte("\x00k"), ref); !errors.As(err, &damage) {
			t.Errorf("a walk: %v", err)
		}
	}
}

// Where any operation of writing a value fails, or its reader does, no file is left.
func TestFailedValueLeavesNothing(t *testing.T) {
	value := func(rest io.Reader) *Value {
		return &Value{Key: []byte("\x00k"), Head: []byte("head"), Begin: []byte("begin"), Rest: rest, PieceBytes: 1 << 10}
	}
	long := strings.Repeat("v", 300_000)
	count := newRoom(t)
	table, ref, err := value(strings.NewReader(long)).Write(t.Context(), count.Store)
	must(t, err)
	if ref.StoredBytes != uint64(len("headbegin"+long)) || table.Meta.RawBytes != ref.StoredBytes {
		t.Errorf("%+v is of %d bytes", ref, table.Meta.RawBytes)
	}
	count.expectFiles(table.Meta)
	table.Release()
	count.expectFiles()
	ops, failures := count.fs.Ops(), 0
	for n := range ops - 1 { // the first one made the directory
		r := newRoom(t)
		fault := r.fs.Add(faultfs.Rule{Err: errInjected, Nth: n + 1, Sticky: true, Kinds: vfs.OpAll &^ vfs.OpRemove})
		table, _, err := value(strings.NewReader(long)).Write(t.Context(), r.Store)
		fault.Disarm()
		if err == nil {
			table.Release()
		} else if failures++; !errors.Is(err, errInjected) {
			t.Error(err)
		}
		r.expectFiles()
	}
	if failures < 5 {
		t.Errorf("only %d failures", failures)
	}
	r := newRoom(t)
	_, _, err = value(io.MultiReader(strings.NewReader(long), errReader{})).Write(t.Context(), r.Store)
	if !errors.Is(err, errInjected) {
		t.Errorf("the reader failed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err = value(bytes.NewReader(nil)).Write(ctx, r.Store); !errors.Is(err, context.Canceled) {
		t.Errorf("the context ended: %v", err)
	}
	r.expectFiles()
	r.expectQuiet()
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errInjected }
