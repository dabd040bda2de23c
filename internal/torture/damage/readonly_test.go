package damage

import (
	"slices"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestReadOnlyOpenWritesNothing opens a crashed database, as a backup without
// its lock file, read-only. It once made the lock file.
func TestReadOnlyOpenWritesNothing(t *testing.T) {
	s := specimenOf(t, "live log")
	fs, err := s.image.without(kindLock).mount()
	if err != nil {
		t.Fatal(err)
	}
	before := list(t, fs)
	fs.SetHook(func(op vfs.Op) error {
		if vfs.OpMutations.Has(op.Kind) {
			t.Errorf("%v", op)
		}
		return nil
	})
	in := inspection{
		specimen: s, mount: func() (vfs.FS, error) { return fs, nil },
		allowed: s.allowed(s.image), scope: make(scope, len(s.truth())), whole: true,
	}
	if got, err := in.run(); got != unharmed || err != nil {
		t.Errorf("%v: %v", got, err)
	}
	fs.SetHook(nil)
	if after := list(t, fs.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})); !slices.Equal(after, before) {
		t.Errorf("files %v became %v", before, after)
	}
}
