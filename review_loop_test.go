//go:build !race

package lightning_test

import (
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Who writes into the key of a row that has many versions gets an error at most.
func TestScanOverOverwrittenKeysEnds(t *testing.T) {
	db := open(t, small(memfs.New()))
	must(t, db.Put([]byte("a"), nil))
	for range 40 {
		must(t, db.Put([]byte("m"), nil))
	}
	must(t, db.Put([]byte("z"), nil))
	rows := 0
	err := db.Scan(lightning.ScanOptions{}, func(all iter.Seq2[[]byte, []byte]) error {
		for k := range all {
			if k[0] == 'm' {
				k[0] = 'b'
			}
			if rows++; rows > 1000 {
				break
			}
		}
		return nil
	})
	if rows > 3 || !errors.Is(err, lightning.ErrCorrupted) {
		t.Errorf("%d rows of 3: %v", rows, err)
	}
	must(t, db.Close())
}

// The same among deleted rows: nobody yields to anyone.
func TestDeadScanOverOverwrittenKeysEnds(t *testing.T) {
	db := open(t, small(memfs.New()))
	for i := range 200 {
		must(t, db.Put(fmt.Appendf(nil, "d%04d", i), nil))
	}
	must(t, db.Put([]byte("m"), nil))
	must(t, db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
		for k := range rows {
			if k[0] == 'm' {
				k[0] = 'b'
			}
		}
		return nil
	}))
	for i := range 200 {
		must(t, db.Delete(fmt.Appendf(nil, "d%04d", i)))
	}
	for range 40 {
		must(t, db.Delete([]byte("m")))
	}
	done := make(chan struct{})
	go func() {
		_ = db.Scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			for range rows {
			}
			return nil
		})
		close(done)
	}()
	select {
	case <-done:
		t.Log("ended")
	case <-time.After(2 * time.Second):
		t.Error("a scan has no end")
	}
}
