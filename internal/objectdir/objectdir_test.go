package objectdir

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, d *Dir, prefix string) (all []string) {
	t.Helper()
	d.Walk(t.Context(), prefix, func(name string, _ int64, err error) bool {
		must(t, err)
		all = append(all, name)
		return true
	})
	slices.Sort(all)
	return all
}

// An object is there as a whole or not at all, whatever fails, and what a failed one has left is not seen and can be
// tidied up.
func TestPutIsWhole(t *testing.T) {
	failure := errors.New("the disk is gone")
	for n := int64(1); ; n++ {
		under := memfs.New()
		fsys := faultfs.New(under)
		d := New(fsys, "objects")
		must(t, d.Put(t.Context(), "a/one", []byte("before")))
		fsys.Add(faultfs.Rule{Kinds: vfs.OpMutations, Nth: n, Sticky: true, Err: failure})
		err := d.Put(t.Context(), "a/one", []byte("after"))
		left := New(under.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}), "objects")
		r, getErr := left.Get(t.Context(), "a/one")
		must(t, getErr)
		got, getErr := io.ReadAll(r)
		must(t, errors.Join(getErr, r.Close()))
		if string(got) != "before" && string(got) != "after" || err == nil && string(got) != "after" {
			t.Errorf("after a failure at operation %d there is %q", n, got)
		}
		must(t, left.Tidy(t.Context()))
		if all := names(t, left, ""); !slices.Equal(all, []string{"a/one"}) {
			t.Errorf("left are %q", all)
		}
		if err == nil {
			if n < 4 {
				t.Errorf("%d operations are too few", n)
			}
			return
		}
	}
}

func TestObjects(t *testing.T) {
	d := New(memfs.New(), "objects")
	for _, name := range []string{"a/one", "a/b/two", "three"} {
		must(t, d.Put(t.Context(), name, []byte(name)))
	}
	if all := names(t, d, "a/"); !slices.Equal(all, []string{"a/b/two", "a/one"}) {
		t.Errorf("under a/ are %q", all)
	}
	must(t, d.Delete(t.Context(), "a/one"))
	must(t, d.Delete(t.Context(), "a/one"))
	if _, err := d.Get(t.Context(), "a/one"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a deleted object: %v", err)
	}
	count := 0
	d.Walk(t.Context(), "", func(string, int64, error) bool { count++; return false })
	if count != 1 {
		t.Errorf("a walk that was ended went on %d times", count)
	}
}
