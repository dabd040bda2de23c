package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/leak"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// room is a store over a file system that can fail, and nothing else.
type room struct {
	*Store
	t      testing.TB
	fs     *faultfs.FS
	epochs epoch.Domain
	log    bytes.Buffer // what was told
}

// compressed is the keyspace whose tables are compressed.
const compressed = 7

func newRoom(t testing.TB) *room { return newRoomWith(t, 0) }

// newRoomWith returns a room where values of blobBytes are kept apart from their keys.
func newRoomWith(t testing.TB, blobBytes int) *room { return newRoomOn(t, memfs.New(), blobBytes) }

// newRoomOn is newRoomWith on a disk of the caller.
func newRoomOn(t testing.TB, disk *memfs.FS, blobBytes int) *room {
	t.Helper()
	r := &room{t: t, fs: faultfs.New(disk)}
	must(t, r.fs.MkdirAll("db"))
	memory := new(offheap.Accountant)
	cache := framecache.New(framecache.Config{CapacityBytes: 1 << 20, Epochs: &r.epochs, Memory: memory})
	t.Cleanup(func() {
		if leaked := cache.Close(); leaked != 0 {
			t.Errorf("%d bytes of the cache are in use", leaked)
		}
	})
	always := func(codec compress.Codec) keyspace.CodecPolicy {
		return func(int, bool) compress.Policy { return compress.Policy{Codec: codec} }
	}
	keyspaces := keyspace.NewRegistry(keyspace.Config{
		Codec:    always(compress.None),
		CodecFor: func(uint8) keyspace.CodecPolicy { return always(compress.Fast) }, BlobBytes: blobBytes,
	})
	must(t, keyspaces.Apply(keyspace.Act{ID: compressed, Keyspace: &manifest.Keyspace{ID: compressed, Name: "compressed", Compression: 1}}))
	r.Store = New(Config{
		FS: r.fs, Dir: "db", Files: filepool.New(r.fs, 8), DBID: base.DBID{1}, Cache: cache, Epochs: &r.epochs, BlockBytes: 256, FilterBits: 10,
		BlobFileBytes: 1 << 20, Keyspaces: keyspaces, Events: event.NewSink(slog.New(slog.NewTextHandler(&r.log, nil)), nil),
	})
	r.SkipFileNums(1)
	return r
}

// files returns the tables in the directory.
func (r *room) files() []string {
	r.t.Helper()
	names, err := r.fs.List("db")
	must(r.t, err)
	slices.Sort(names)
	return names
}

func (r *room) expectFiles(want ...*manifest.FileMeta) {
	r.t.Helper()
	var names []string
	for _, meta := range want {
		names = append(names, TableName(meta.Num))
	}
	slices.Sort(names)
	if got := r.files(); !slices.Equal(got, names) {
		r.t.Errorf("the directory has %q, want %q", got, names)
	}
}

// expectQuiet looks whether nothing was told.
func (r *room) expectQuiet() {
	r.t.Helper()
	if r.log.Len() > 0 {
		r.t.Errorf("told %s", &r.log)
	}
}

// rec is a record for tests.
func rec(key string, seq base.SeqNum, value string) base.Record {
	return base.Record{Key: []byte(key), Trailer: base.MakeTrailer(seq, base.KindSet), Value: []byte(value)}
}

// source walks over records.
type source struct {
	records []base.Record
	at      int
	err     error // at the end
}

func newSource(records []base.Record) *source {
	records = slices.Clone(records)
	slices.SortFunc(records, func(a, b base.Record) int { return base.Compare(a.Key, a.Trailer, b.Key, b.Trailer) })
	return &source{records: records}
}

func (s *source) First() *base.Record { s.at = -1; return s.Next() }

func (s *source) Next() *base.Record {
	if s.at++; s.at >= len(s.records) {
		return nil
	}
	return &s.records[s.at]
}

func (s *source) Err() error {
	if s.at < len(s.records) {
		return nil
	}
	return s.err
}

// write writes records and tombstones that all readers may need.
func (r *room) write(out Output, records []base.Record, deletes ...rangedel.Tombstone) ([]*manifest.FileMeta, error) {
	outputs, _, err := r.Write(context.Background(), newSource(records), out, compact.Config{
		Snapshots: pins(records), RangeDeletes: rangedel.Build(deletes).Iter(),
	})
	return outputs, err
}

// pins keeps all versions.
func pins(records []base.Record) (seqs []base.SeqNum) {
	for _, r := range records {
		seqs = append(seqs, r.Trailer.Seq())
	}
	slices.Sort(seqs)
	return slices.Compact(seqs)
}

// table writes one table.
func (r *room) table(records []base.Record, deletes ...rangedel.Tombstone) *manifest.FileMeta {
	r.t.Helper()
	outputs, err := r.write(Output{}, records, deletes...)
	must(r.t, err)
	if len(outputs) != 1 {
		r.t.Fatalf("%d tables, want 1", len(outputs))
	}
	return outputs[0]
}

// version returns the version with tables in these levels.
func (r *room) version(levels ...[]*manifest.FileMeta) *manifest.Version {
	r.t.Helper()
	edit := &manifest.Edit{}
	for level, files := range levels {
		for _, meta := range files {
			edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: level, Meta: meta})
		}
	}
	v, err := new(manifest.Version).Apply(edit)
	must(r.t, err)
	return v
}

// drop gives a tree up, with all that nobody else holds.
func (r *room) drop(t *Tree) { r.Dispose(t.Unref()) }

// text is what a walk shows.
func text(it interface {
	First() *base.Record
	Next() *base.Record
}) string {
	var out []string
	for rec := it.First(); rec != nil; rec = it.Next() {
		out = append(out, string(rec.Key)+"@"+string('0'+rune(rec.Trailer.Seq()))+"="+string(rec.Value))
	}
	return strings.Join(out, " ")
}

var errInjected = errors.New("injected")
