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

// A read error that ends a loop over Range is what Err says, after Rollback too, and what
// Commit, View and Update return.
func TestRangeTellsReadErrors(t *testing.T) {
	fs := memfs.New()
	db := open(t, &lightning.Options{FS: fs})
	must(t, db.Put([]byte("k"), []byte("v")))
	must(t, db.Close()) // in a table now
	disk := faultfs.New(fs)
	db = open(t, &lightning.Options{FS: disk})
	defer func() { must(t, db.Close()) }()
	broken := errors.New("no reads today")
	disk.Add(faultfs.Rule{Kinds: vfs.OpRead, Name: "*.sst", Sticky: true, Err: broken})
	loop := func(tx *lightning.Tx) error {
		for key := range tx.Range(nil, nil) {
			t.Errorf("row %q", key)
		}
		return nil
	}
	for what, end := range map[string]func(tx *lightning.Tx) error{
		"Rollback": func(tx *lightning.Tx) error { tx.Rollback(); return tx.Err() },
		"Commit":   (*lightning.Tx).Commit,
	} {
		tx, err := db.Begin(lightning.TxOptions{})
		must(t, err)
		must(t, loop(tx))
		if err := end(tx); !errors.Is(err, broken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantErr(t, db.View(loop), broken)
	wantErr(t, db.Update(loop), broken)
}
