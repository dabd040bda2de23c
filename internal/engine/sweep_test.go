package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A sweep leaves out what everybody sees deleted or replaced. It keeps what a snapshot
// sees, and what operands above are applied to.
func TestSweepKeepsWhatIsSeen(t *testing.T) {
	opts := testOptions(memfs.New())
	var err error
	opts.Keyspaces.Operators, err = merge.NewRegistry(nil)
	must(t, err)
	db := openTest(t, opts)
	ctx, plain := context.Background(), []byte{0}
	k, err := db.Keyspace(context.Background(), "m", keyspace.Settings{Merge: merge.Append})
	must(t, err)
	prefix := keyspace.AppendPrefix(nil, k.ID)
	for _, key := range []string{"deleted", "kept", "ranged", "replaced"} {
		must(t, db.Commits().Set(nil, plain, []byte(key), []byte("old"), commit.Sync))
	}
	must(t, db.Commits().Set(k, prefix, []byte("merged"), []byte("old"), commit.Sync))
	must(t, db.Commits().Set(k, prefix, []byte("dropped"), []byte("old"), commit.Sync))
	must(t, db.Compact(ctx, nil, nil))
	before := db.reads.VisibleSeq()
	keep, err := db.reads.Snapshot() // or a compaction would end what is deleted
	must(t, err)
	must(t, db.Commits().Delete(nil, plain, []byte("deleted"), commit.Sync))
	must(t, db.Commits().Set(nil, plain, []byte("replaced"), []byte("new"), commit.Sync))
	must(t, db.Commits().DeleteRange(nil, []byte("\x00r"), []byte("\x00rb"), commit.Sync))
	must(t, db.Commits().Merge(k, prefix, []byte("merged"), []byte("new"), commit.Sync))
	must(t, db.Commits().Delete(k, prefix, []byte("dropped"), commit.Sync))
	must(t, db.Flush(ctx))

	all := "deleted kept ranged replaced dropped merged"
	for name, c := range map[string]struct {
		snapshots []base.SeqNum
		want      string
	}{
		"nobody":                  {nil, "kept merged"},
		"one who sees the old":    {[]base.SeqNum{before}, all},
		"one who sees the new":    {[]base.SeqNum{db.reads.VisibleSeq()}, "kept merged"},
		"one who sees the middle": {[]base.SeqNum{before + 1}, "kept ranged replaced dropped merged"},
	} {
		if got := sweptKeys(t, db, c.snapshots); got != c.want {
			t.Errorf("%s: what stays is %q, want %q", name, got, c.want)
		}
	}
	must(t, keep.Close())
	must(t, db.Close())
}

// sweptKeys returns the keys that a sweep of the lower tables keeps.
func sweptKeys(t *testing.T, db *DB, snapshots []base.SeqNum) string {
	t.Helper()
	s := db.reads.Pin()
	defer db.reads.Release(s)
	var keys []string
	for level := 1; level < manifest.NumLevels; level++ {
		files := s.Tree.Version.Levels[level]
		if len(files) == 0 {
			continue
		}
		merged, _, err := s.Tree.MergeInputs(level, level, [2][]*manifest.FileMeta{files, nil}, 1)
		must(t, err)
		defer merged.Close()
		source := db.compactor.sweeping(merged, s.Tree, snapshots)
		for rec := source.First(); rec != nil; rec = source.Next() {
			keys = append(keys, strings.TrimLeft(string(rec.Key), "\x00\x01"))
		}
		must(t, source.Err())
	}
	return strings.Join(keys, " ")
}
