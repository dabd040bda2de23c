//go:build !race && !invariants

package lightning_test

// What is here writes into memory that a flush, which is tried again, reads meanwhile:
// the race detector is right to report it.

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestWritesIntoReplayedLentSlicesReachNoFile does the same to what an open has found in
// the log and not yet written to tables.
func TestWritesIntoReplayedLentSlicesReachNoFile(t *testing.T) {
	for name, vandal := range vandals() {
		t.Run(name, func(t *testing.T) {
			fs := memfs.New()
			opts := small(fs)
			opts.MemoryBudget = 64 << 20
			db := open(t, opts)
			fillRows(t, db)
			killed := fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
			synctest.Test(t, func(t *testing.T) {
				faulty := faultfs.New(killed)
				noTables := faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
				opts := *opts
				opts.FS = faulty
				db := open(t, &opts)
				_ = vandal(db)
				noTables.Disarm()
				time.Sleep(time.Minute) // the flush is tried again
				must(t, db.Flush(t.Context()))
				expectRows(t, db)
				must(t, db.Close())
				expectRows(t, open(t, &opts))
			})
		})
	}
}
