package torture

import (
	"slices"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestReadOnlyOpenWritesNothing opens a crashed database, as a backup without
// its lock file, read-only. It once made the lock file.
func TestReadOnlyOpenWritesNothing(t *testing.T) {
	crashed, _, _ := life(t, "v")
	delete(crashed.files, "LOCK")
	fs := mount(t, crashed.files)
	before := list(t, fs)
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) {
			t.Errorf("%v", op)
		}
		return nil
	})
	opts := smallOptions(fs)
	opts.ReadOnly = true
	db, err := lightning.Open("db", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := answers(db, crashed.allowed[0]); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	fs.SetHook(nil)
	if after := list(t, fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})); !slices.Equal(after, before) {
		t.Errorf("files %v became %v", before, after)
	}
}
