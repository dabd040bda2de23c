package damage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// flipAt changes one bit of a file.
func flipAt(t *testing.T, fs vfs.FS, name string, offset int) {
	t.Helper()
	b, err := readFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	b[offset] ^= 1
	if err := writeFile(fs, name, b); err != nil {
		t.Fatal(err)
	}
}

// list returns the names in the database's directory.
func list(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestCompactionPassesDamage damages a file of level 0. The picker went on to
// offer the one job with that file, which the engine went on to refuse: nothing
// was compacted any more, a Compact of the damaged range reported success, and
// once level 0 was full any Compact waited for ever.
func TestCompactionPassesDamage(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	db, err := lightning.Open(dir, &lightning.Options{
		FS: fs, MemoryBudget: 4 << 20, Tree: lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	flushed := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			if err := db.Put([]byte(k), []byte(k)); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	flushed("a", "b")
	for _, name := range list(t, fs) {
		if strings.HasSuffix(name, ".sst") {
			flipAt(t, fs, name, 70)
		}
	}
	flushed("a")
	for range 2 {
		if err := db.Compact(ctx, nil, nil); !errors.Is(err, lightning.ErrCorrupted) {
			t.Fatalf("compaction of a damaged file: %v", err)
		}
	}
	for i := range 20 {
		flushed(fmt.Sprint("c", i%3))
	}
	if err := db.Compact(ctx, []byte("c"), []byte("d")); err != nil {
		t.Fatalf("compaction beside a damaged file: %v", err)
	}
	m := db.Metrics()
	if m.Levels[0].Files != 2 || m.Health.QuarantinedFiles != 1 {
		t.Errorf("%d files in level 0, %d in quarantine", m.Levels[0].Files, m.Health.QuarantinedFiles)
	}
	if _, err := db.Get([]byte("b")); !errors.Is(err, lightning.ErrCorrupted) {
		t.Errorf("a key of the damaged block: %v", err)
	}
	for _, k := range []string{"a", "c0", "c1", "c2"} {
		if v, err := db.Get([]byte(k)); err != nil || string(v) != k {
			t.Errorf("%s: %q, %v", k, v, err)
		}
	}
}
