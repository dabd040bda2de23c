package engine

import (
	"testing"

	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A manifest that may be in force, since only the sync of its switch has failed, is not
// made anew in its place when space is there: what names it would name another one.
func TestManifestInDoubtIsNotMadeAnew(t *testing.T) {
	for nth, fired := int64(1), true; fired; nth++ {
		disk := memfs.New()
		db := openTest(t, testOptions(disk))
		must(t, db.Commits().Set(nil, []byte{0}, []byte("a"), []byte("1"), commit.Sync))
		must(t, db.Close())

		faulty := faultfs.New(disk)
		full := faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncDir, Name: "db", Nth: nth, Err: vfs.ErrNoSpace, Done: true, Sticky: true})
		if db, err := Open("db", testOptions(faulty)); err == nil {
			_ = db.Close() // the fault may be met there
		}
		fired = full.Fired() > 0
		for _, keep := range []memfs.Policy{memfs.KeepNone, memfs.KeepAll} {
			db, err := Open("db", testOptions(disk.Crash(memfs.CrashOptions{Keep: keep})))
			if err != nil {
				t.Errorf("full from sync %d of the directory on, crash that keeps %d: %v", nth, keep, err)
				continue
			}
			must(t, db.Close())
		}
	}
}
