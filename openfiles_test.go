package lightning

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/vfs/memfs"
)

// A table that is gone when it has to be opened again is damage, which Health tells at
// once, and which is over when the file is back.
func TestTableGoneBetweenTwoReads(t *testing.T) {
	fs := memfs.New()
	opts := Options{FS: fs, MemoryBudget: 4 << 20}
	opts.Tree = TreeOptions{OpenFiles: 4, FileBytes: 4 << 10, MemtableBytes: 64 << 10, BlockBytes: 512}
	db, err := Open("db", &opts)
	if err != nil {
		t.Fatal(err)
	}
	value := []byte(strings.Repeat("v", 1000))
	key := func(i int) []byte { return fmt.Appendf(nil, "%05d", i) }
	for i := range 5000 { // more than the cache holds
		if err := db.Put(key(i), value); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(db.Compact(t.Context(), nil, nil), scanAll(db)); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name := filepath.Join("db", name); strings.HasSuffix(name, ".sst") {
			if err := fs.Rename(name, name+".aside"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := scanAll(db); !errors.Is(err, ErrCorrupted) {
		t.Errorf("with no table there: %v", err)
	}
	if h := db.Metrics().Health; h.UnreadableFiles == 0 || !errors.Is(h.ReadErr, ErrCorrupted) {
		t.Errorf("health: %d files, %v", h.UnreadableFiles, h.ReadErr)
	}
	names, err = fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if back, was := strings.CutSuffix(filepath.Join("db", name), ".aside"); was {
			if err := fs.Rename(back+".aside", back); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := scanAll(db); err != nil {
		t.Errorf("with the tables back: %v", err)
	}
	if h := db.Metrics().Health; h.UnreadableFiles != 0 {
		t.Errorf("health: %d files, %v", h.UnreadableFiles, h.ReadErr)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// scanAll reads every row.
func scanAll(db *DB) error {
	it, err := db.Iterator(IterOptions{})
	if err != nil {
		return err
	}
	for it.Next() {
	}
	return it.Close()
}
