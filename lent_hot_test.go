//go:build !race && !invariants

package lightning_test

import (
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// The hot-record cache has nothing of what was overwritten once a flush has restored it:
// neither where nothing is committed from then on, nor where somebody commits and reads
// while the flush writes what it has restored.
func TestHotRecordsForgetOverwrittenMemory(t *testing.T) {
	for _, busy := range []bool{false, true} {
		under := memfs.New()
		faulty := faultfs.New(under)
		opts := small(under)
		opts.FS, opts.MemoryBudget = faulty, 64<<20
		db := open(t, opts)
		read := func() (v []byte) {
			for range 200 { // it gets into the cache
				var err error
				v, err = db.Get([]byte("k"))
				must(t, err)
			}
			return v
		}
		must(t, db.Put([]byte("k"), []byte("value")))
		must(t, db.GetFunc([]byte("k"), func(v []byte) error { v[0] = 'X'; return nil }))
		read()
		creates := 0
		rule := faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Before: func(vfs.Op) {
			if creates++; busy {
				must(t, db.Put([]byte("other"), nil))
				read()
			}
		}})
		must(t, db.Flush(t.Context()))
		rule.Disarm()
		if busy {
			must(t, db.Put([]byte("other"), nil))
		}
		if got := read(); string(got) != "value" {
			t.Errorf("busy %v, %d tables begun: after the flush that restored memory, Get has %q", busy, creates, got)
		}
		must(t, db.Close())
	}
}
