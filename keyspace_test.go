package lightning_test

import (
	"syscall"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A DropKeyspace that is refused, in a read-only database or after a failed
// write, changes nothing. It marked the keyspace as dropped before it asked
// whether it may, so that reads through handles failed from then on.
func TestRefusedDropKeyspace(t *testing.T) {
	fs := memfs.New()
	faulty := faultfs.New(fs)
	opts := small(fs)
	opts.FS = faulty
	db, err := lightning.Open("db", opts)
	must(t, err)
	k, err := db.Keyspace("k", nil)
	must(t, err)
	must(t, k.Put([]byte("a"), []byte("1")))
	faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Err: syscall.EIO})
	wantErr(t, db.Put([]byte("b"), []byte("1")), syscall.EIO)
	wantErr(t, db.DropKeyspace("k"), syscall.EIO)
	if v, err := k.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("after a failed write and a refused drop: %q, %v", v, err)
	}
	wantErr(t, db.Close(), syscall.EIO)

	opts.ReadOnly = true
	db = open(t, opts)
	k, err = db.Keyspace("k", nil)
	must(t, err)
	wantErr(t, db.DropKeyspace("k"), lightning.ErrReadOnly)
	if v, err := k.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("after a refused drop, read-only: %q, %v", v, err)
	}
}
