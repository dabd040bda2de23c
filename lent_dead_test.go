//go:build !race && !invariants

package lightning_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// What is proved while a user's writes into lent memory hide rows must not outlive
// the flush that restores them.
func TestDeadRangesForgetOverwrittenMemory(t *testing.T) {
	synctest.Test(t, deadRangesForget)
}

func deadRangesForget(t *testing.T) {
	db := open(t, small(memfs.New()))
	for i := range 300 {
		must(t, db.Put(fmt.Appendf(nil, "d%04d", i), nil))
	}
	for i := range 300 {
		must(t, db.Delete(fmt.Appendf(nil, "d%04d", i)))
	}
	for _, k := range []string{"x1", "x2", "x3"} {
		must(t, db.Put([]byte(k), []byte("row")))
	}
	scan := func(o lightning.ScanOptions, each func(k []byte)) (keys []string) {
		must(t, db.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
			for k := range rows {
				keys = append(keys, string(k))
				each(k)
			}
			return nil
		}))
		return keys
	}
	within := lightning.ScanOptions{IterOptions: lightning.IterOptions{Lower: []byte("d"), Upper: []byte("y")}}
	nothing := func([]byte) {}
	want := []string{"x1", "x2", "x3"}
	// Somebody writes into the key of the first row: it is behind the range then.
	scan(lightning.ScanOptions{IterOptions: lightning.IterOptions{Lower: []byte("x1"), Upper: []byte("x2")}}, func(k []byte) { k[0] = 'z' })
	t.Logf("overwritten: %q", scan(within, nothing))
	time.Sleep(100 * time.Millisecond) // the worker proves what the scan has noted
	must(t, db.Flush(t.Context()))
	if got := scan(within, nothing); !slices.Equal(got, want) {
		t.Errorf("after the flush that restored memory a scan has %q, want %q", got, want)
	}
	if _, err := db.Get([]byte("x1")); err != nil {
		t.Errorf("Get: %v", err)
	}
	must(t, db.Compact(t.Context(), nil, nil))
	if got := scan(within, nothing); !slices.Equal(got, want) {
		t.Errorf("after a compaction: %q", got)
	}
	must(t, db.Close())
}
