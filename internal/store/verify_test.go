package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// apartRecords are records whose values are in a blob table.
func apartRecords(values ...string) []base.Record {
	var records []base.Record
	for i, v := range values {
		records = append(records, rec("\x00"+string(rune('a'+i)), base.SeqNum(i+1), strings.Repeat(v, 60)))
	}
	return records
}

// A table whose file is sound, and which is not what the manifest says, is found.
func TestVerifyAgainstTheManifest(t *testing.T) {
	ctx := context.Background()
	r := newRoomWith(t, 50)
	meta := r.table(append(apartRecords("1", "2", "3"), rec("\x00m", 9, "short")))
	for name, change := range map[string]func(m *manifest.FileMeta){
		"nothing":       func(*manifest.FileMeta) {},
		"count":         func(m *manifest.FileMeta) { m.Count++ },
		"checksum":      func(m *manifest.FileMeta) { m.EntryChecksum++ },
		"deletes":       func(m *manifest.FileMeta) { m.Deletes++ },
		"range deletes": func(m *manifest.FileMeta) { m.DeletesLo, m.DeletesHi = []byte("a"), []byte("b") },
		"size":          func(m *manifest.FileMeta) { m.SizeBytes++ },
		"lower bound":   func(m *manifest.FileMeta) { m.Lo = []byte("\x00b") },
		"upper bound":   func(m *manifest.FileMeta) { m.Hi = []byte("\x00m") },
	} {
		changed := *meta
		change(&changed)
		err := (&Table{Meta: &changed, store: r.Store}).Verify(ctx)
		if damaged := errors.Is(err, base.ErrCorrupted); damaged != (name != "nothing") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// References are followed: to values that are there, to those that are missing, are others, or
// are in a blob table that the manifest does not say the table has any in.
func TestVerifyRefs(t *testing.T) {
	ctx := context.Background()
	r := newRoomWith(t, 50)
	whole := r.table(apartRecords("1", "2", "3"))
	part := r.table(apartRecords("1", "2"))
	longer := r.table(apartRecords("1", "22", "3"))
	if len(whole.Blobs) != 1 {
		t.Fatalf("%d blob tables", len(whole.Blobs))
	}
	blobOf := func(m *manifest.FileMeta) []*Table { return []*Table{{Meta: m.Blobs[0].Table, store: r.Store}} }
	table := func(blobs []*Table) *Table { return &Table{Meta: whole, store: r.Store, blobs: blobs} }
	must(t, table(blobOf(whole)).VerifyRefs(ctx))
	// The blob tables of others, under the number that the references have.
	instead := func(other *manifest.FileMeta) error {
		r.exchange(whole.Blobs[0].Num, other.Blobs[0].Num)
		defer r.exchange(whole.Blobs[0].Num, other.Blobs[0].Num)
		return table(blobOf(whole)).VerifyRefs(ctx)
	}
	must(t, instead(whole))
	for name, blobs := range map[string][]*Table{"unlisted": blobOf(part), "another one": blobOf(longer)} {
		var damage *base.CorruptionError
		if err := table(blobs).VerifyRefs(ctx); !errors.As(err, &damage) || damage.File != TableName(whole.Num) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, instead(part)) // it cannot be opened: its own verification says so

	// A reference to a record that is not there.
	ref := base.BlobRef{File: whole.Blobs[0].Num, Seq: 77, StoredBytes: 60}
	readers := blobOf(whole)
	reader, err := readers[0].openApart()
	must(t, err)
	defer reader.Close()
	for name, change := range map[string]struct {
		key string
		ref base.BlobRef
	}{
		"number": {"\x00a", ref},
		"key":    {"\x00aa", base.BlobRef{File: ref.File, Seq: 1, StoredBytes: 60}},
		"length": {"\x00a", base.BlobRef{File: ref.File, Seq: 1, StoredBytes: 61}},
	} {
		walks := walksOver(r.Store, readersOf(ref.File, reader))
		rec := base.Record{Key: []byte(change.key), Trailer: base.MakeTrailer(5, base.KindBlob), Value: base.AppendBlobRef(nil, change.ref)}
		err := table(readers).verifyRef(&walks, &rec, readersOf(ref.File, reader))
		walks.close()
		var damage *base.CorruptionError
		if !errors.As(err, &damage) || damage.File != TableName(ref.File) || string(damage.Lo) != change.key {
			t.Errorf("%s: %v", name, err)
		}
	}
	cancelled, cancel := context.WithCancelCause(ctx)
	reason := errors.New("enough")
	cancel(reason)
	if err := table(blobOf(whole)).VerifyRefs(cancelled); !errors.Is(err, reason) {
		t.Errorf("after the end of its context: %v", err)
	}
	if files := r.files(); !slices.Contains(files, TableName(part.Num)) {
		t.Error("a file is gone")
	}
}

func readersOf(num base.FileNum, r *sstable.Reader) map[base.FileNum]*sstable.Reader {
	return map[base.FileNum]*sstable.Reader{num: r}
}

// exchange has two files change names.
func (r *room) exchange(a, b base.FileNum) {
	r.t.Helper()
	must(r.t, r.fs.Rename("db/"+TableName(a), "aside"))
	if a != b {
		must(r.t, r.fs.Rename("db/"+TableName(b), "db/"+TableName(a)))
	}
	must(r.t, r.fs.Rename("aside", "db/"+TableName(b)))
}
