package manifest

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A directory that may not be written to for a while costs nothing: the edit goes
// to the file that there is, and the next roll finds its place. The manifest took
// it for a failure of which nobody knows what it left, and was closed for good.
func TestForbiddenRollIsPutOff(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpCreate, vfs.OpRemove} {
		files := faultfs.New(memfs.New())
		if err := files.MkdirAll(testDir); err != nil {
			t.Fatal(err)
		}
		l, _, err := Create(files, testDir, testID)
		if err != nil {
			t.Fatal(err)
		}
		l.rollBytes = 0
		forbidden := files.Add(faultfs.Rule{Kinds: kind, Sticky: true, Err: fs.ErrPermission})
		first, ed := l.num, newEditor(3)
		for range 20 {
			if err := l.Append(ed.edit(l.State())); err != nil {
				t.Fatalf("%v is forbidden: %v", kind, err)
			}
		}
		if forbidden.Fired() == 0 || l.num != first {
			t.Fatalf("%v was forbidden %d times, and the manifest went from %d to %d",
				kind, forbidden.Fired(), first, l.num)
		}
		forbidden.Disarm()
		if err := l.Append(ed.edit(l.State())); err != nil || l.num == first {
			t.Errorf("permitted again: %v, manifest %d", err, l.num)
		}
		want := fingerprint(l.State())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		state, err := Load(files, testDir)
		if err != nil || fingerprint(state) != want {
			t.Errorf("it reads as another state: %v", err)
		}
		if err := refused("x", fs.ErrExist); errors.Is(err, ErrRefused) {
			t.Error("every error is taken for one that goes away")
		}
	}
}
