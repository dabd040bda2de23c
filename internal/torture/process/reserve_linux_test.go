package process

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
)

// TestDeletesOnAFullTmpfs fills a tmpfs of 48 MiB with the default options, closes the
// database and opens it again. Neither a delete nor an open once worked then, because
// to open it took a table that did not fit. Half of the rows are deleted one by one
// until puts go on by themselves.
func TestDeletesOnAFullTmpfs(t *testing.T) {
	if err := needsMounts(); err != nil {
		t.Skip(err)
	}
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=48m"); err != nil {
		t.Skip("no tmpfs can be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := unmountSoon(mount); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(mount, "db")
	db := openReserved(t, dir)
	value := make([]byte, 1000)
	rows := 0
	for ; ; rows++ {
		_, _ = rand.Read(value) // never fails
		err := db.Put(reservedKey(rows), value)
		if errors.Is(err, lightning.ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows fit", rows)
	if rows < 30_000 {
		t.Error("too much of the disk was not used")
	}
	for round := range 3 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openReserved(t, dir)
		for i := round; i < rows/2; i += 3 {
			if err := db.Delete(reservedKey(i)); err != nil {
				t.Fatalf("delete of row %d: %v", i, err)
			}
		}
	}
	began := clock.System.Now()
	for err := error(nil); ; pause() {
		if err = db.Put([]byte("new"), value); err == nil {
			break
		}
		if !errors.Is(err, lightning.ErrNoSpace) || clock.System.Now().Sub(began) > time.Minute {
			t.Fatalf("puts do not go on: %v", err)
		}
	}
	t.Logf("puts go on after %v", clock.System.Now().Sub(began))
	for i := range rows {
		if ok, err := db.Has(reservedKey(i)); err != nil || ok != (i >= rows/2) {
			t.Fatalf("row %d of %d is there: %v, %v", i, rows, ok, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func openReserved(t *testing.T, dir string) *lightning.DB {
	t.Helper()
	db, err := lightning.Open(dir, &lightning.Options{Durability: lightning.DurabilityAsync})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // a test that cares closes it itself
	return db
}

// reservedKey spreads the keys.
func reservedKey(i int) []byte { return fmt.Appendf(nil, "%08d", i*7919%100_000_000) }
