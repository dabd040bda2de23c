package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
)

func TestTour(t *testing.T) { runScripts(t, "tour") }

// TestCrashCheckFindsLosses gives the check of the crash step databases that
// lost something.
func TestCrashCheckFindsLosses(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(db *lightning.DB) error
		want   string
	}{
		"nothing": {func(*lightning.DB) error { return nil }, ""},
		"a gap": {func(db *lightning.DB) error {
			key, _ := crashRecord(3)
			return db.Delete(key)
		}, "write 3 is missing"},
		"a wrong value": {func(db *lightning.DB) error {
			key, _ := crashRecord(5)
			return db.Put(key, []byte("x"))
		}, "write 5 has a wrong value"},
	} {
		db, err := lightning.Open(filepath.Join(t.TempDir(), "db"), &lightning.Options{Durability: lightning.DurabilityAsync})
		if err != nil {
			t.Fatal(err)
		}
		// The writer stops once nobody reads what it acknowledges.
		if err := writeForever(db, &failAfter{lines: 10}); !errors.Is(err, errReaderGone) {
			t.Fatal(err)
		}
		if err := c.damage(db); err != nil {
			t.Fatal(err)
		}
		count, err := countCrashWrites(db)
		if c.want == "" && (err != nil || count != 11) {
			t.Errorf("%s: %d writes, %v", name, count, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

var errReaderGone = errors.New("the reader is gone")

// failAfter accepts some lines.
type failAfter struct{ lines int }

func (w *failAfter) Write(p []byte) (int, error) {
	if w.lines -= bytes.Count(p, []byte{'\n'}); w.lines < 0 {
		return 0, errReaderGone
	}
	return len(p), nil
}
