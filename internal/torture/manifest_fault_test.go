package torture

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/model"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestFailedManifestSyncKeepsTables fails each sync of the manifest in turn.
// After a failed sync the edit may be on the disk all the same, and is in the
// cache of the operating system. A flush or compaction once deleted the tables
// that such an edit names; the next open then found an edit without its tables
// and refused the whole database, with everything that was acknowledged.
func TestFailedManifestSyncKeepsTables(t *testing.T) {
	steps := scripts()["compaction"]
	for n := int64(1); ; n++ {
		under := memfs.New()
		fs := faultfs.New(under)
		rule := fs.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.manifest", Nth: n, Err: syscall.EIO})
		var stored model.Store
		db, err := lightning.Open("db", &lightning.Options{FS: fs, MemoryBudget: 4 << 20})
		for i := 0; err == nil && i < len(steps); i++ {
			if err = steps[i].do(db); err == nil && steps[i].model != nil {
				stored = steps[i].model(stored)
			}
		}
		if db != nil {
			err = errors.Join(err, db.Close())
		}
		if rule.Fired() == 0 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		for name, found := range map[string]*memfs.FS{
			"nothing survives":    under.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}),
			"everything survives": under.Crash(memfs.CrashOptions{Keep: memfs.KeepAll}),
			"no crash":            under,
		} {
			r := &crashRun{t: t, opts: lightning.Options{MemoryBudget: 4 << 20}}
			// A put that failed with the sync may be there or not.
			r.judgeState(found, []model.Store{stored, stored.Put("c", "3")},
				fmt.Sprintf("sync %d of the manifest failed, %s", n, name))
		}
		if t.Failed() {
			return
		}
	}
}

// TestFailedDirectorySyncLosesNoTable fails each sync of the directory in turn
// and cuts the power at the end. One failed sync takes with it the names that
// other workers have made meanwhile: a failed recycling of a log segment once
// took the name of a table that a compaction was writing, whose own sync of the
// directory succeeded after it. The manifest then named a table that was gone.
func TestFailedDirectorySyncLosesNoTable(t *testing.T) {
	steps := scripts()["compaction"]
	for range 3 { // the workers meet in different ways
		for n := int64(1); ; n++ {
			under := memfs.New()
			fs := faultfs.New(under)
			rule := fs.Add(faultfs.Rule{Kinds: vfs.OpSyncDir, Nth: n, Err: syscall.EIO})
			acked := lifeWithFaults(fs, steps)
			r := &crashRun{t: t, opts: lightning.Options{MemoryBudget: 4 << 20}}
			r.judgeState(under.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}), acked,
				fmt.Sprintf("sync %d of the directory failed", n))
			if t.Failed() {
				return
			}
			if rule.Fired() == 0 {
				break
			}
		}
	}
}
