package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
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
		state, err := load(files)
		if err != nil || fingerprint(state) != want {
			t.Errorf("it reads as another state: %v", err)
		}
		if err := refused("x", fs.ErrExist); errors.Is(err, ErrRefused) {
			t.Error("every error is taken for one that goes away")
		}
	}
}

// An edit for which the disk has no space is refused before anything of it is
// written: the manifest goes on, with the next edit and once there is space.
func TestFullDiskRefusesAnEdit(t *testing.T) {
	for _, pages := range []int64{0, 1} { // of the three or so that the large edit needs
		disk := memfs.New()
		if err := disk.MkdirAll(testDir); err != nil {
			t.Fatal(err)
		}
		l, _, err := Create(disk, testDir, testID)
		if err != nil {
			t.Fatal(err)
		}
		disk.SetCapacity(disk.UsedBytes() + pages*4096)
		large := &Edit{}
		for id := range uint64(10) {
			large.AddKeyspaces = append(large.AddKeyspaces, Keyspace{ID: id + 1, Name: strings.Repeat("s", 1000) + fmt.Sprint(id)})
		}
		for range 2 {
			if err := l.Append(large); !errors.Is(err, ErrRefused) || !errors.Is(err, vfs.ErrNoSpace) {
				t.Errorf("%d pages: %v", pages, err)
			}
		}
		mustAppend(t, l, &Edit{LastSeq: 7})
		disk.SetCapacity(0)
		mustAppend(t, l, large)
		want := fingerprint(l.State())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if state, err := load(disk); err != nil || fingerprint(state) != want || len(state.Keyspaces) != 10 {
			t.Errorf("it reads as another state: %v", err)
		}
	}
}
