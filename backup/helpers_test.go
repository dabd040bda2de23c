package backup

import (
	"crypto/sha256"
	"testing"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs/memfs"
)

var systemClock = clock.System

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newTestCodec(t testing.TB) *codec {
	t.Helper()
	with, err := newCodec(1)
	must(t, err)
	t.Cleanup(with.close)
	return with
}

// newTarget returns an empty target.
func newTarget(t testing.TB) Target {
	t.Helper()
	target := DirOn(memfs.New(), "target")
	must(t, checkFormat(t.Context(), target, true))
	return target
}

// putBackup stores a backup of one file, which is no database, and returns its ID.
func putBackup(t testing.TB, target Target, content string) string {
	t.Helper()
	with := newTestCodec(t)
	s := sum(sha256.Sum256([]byte(content)))
	must(t, target.Put(t.Context(), chunkName(s), with.encode(nil, kindChunk, []byte(content), s)))
	c := contents{Info: newInfo(systemClock), ChunkBytes: chunkBytes}
	c.Database, c.SizeBytes = "of tests", int64(len(content))
	c.List = []file{{Name: "CURRENT", SizeBytes: c.SizeBytes, Chunks: []sum{s}}}
	object, err := c.encode(with)
	must(t, err)
	must(t, target.Put(t.Context(), backupPrefix+c.ID, object))
	return c.ID
}

// names returns all objects.
func names(t testing.TB, target Target) (all []string) {
	t.Helper()
	for o, err := range target.List(t.Context(), "") {
		must(t, err)
		all = append(all, o.Name)
	}
	return all
}
