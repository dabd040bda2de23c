package lightning_test

import (
	"errors"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A Close that cannot write what is in memory to a table says so, also where a flush
// before it has failed; the log has it all.
func TestCloseSaysThatItCannotFlush(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		fs := memfs.New()
		disk := faultfs.New(fs)
		broken := errors.New("no tables today")
		db := open(t, &lightning.Options{FS: disk})
		must(t, db.Put([]byte("k"), []byte("v")))
		disk.Add(faultfs.Rule{Kinds: vfs.OpCreate | vfs.OpWrite | vfs.OpSync, Name: "*.sst", Sticky: true, Err: broken})
		if flushed {
			wantErr(t, db.Flush(t.Context()), broken)
		}
		wantErr(t, db.Close(), broken)
		again := open(t, &lightning.Options{FS: fs})
		if v, err := again.Get([]byte("k")); err != nil || string(v) != "v" {
			t.Errorf("%q, %v", v, err)
		}
		must(t, again.Close())
	}
}
