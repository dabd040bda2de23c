package lightning_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// wantHealth compares the status, and looks for a reason with an error that matches.
func wantHealth(t *testing.T, db *lightning.DB, status lightning.HealthStatus, reason error, mends bool) {
	t.Helper()
	h := db.Health()
	if h.Status != status {
		t.Errorf("the database is %v, want %v: %+v", h.Status, status, h.Reasons)
	}
	for _, r := range h.Reasons {
		if errors.Is(r.Err, reason) {
			if r.Mends != mends || r.What == "" || r.Status > h.Status {
				t.Errorf("the reason is %+v", r)
			}
			return
		}
	}
	if status != lightning.HealthOK {
		t.Errorf("no reason is %v: %+v", reason, h.Reasons)
	}
}

// Each thing that can be wrong is told, with what leads to it and whether it ends by itself.
func TestHealth(t *testing.T) {
	var zero lightning.DB
	wantHealth(t, &zero, lightning.HealthFailed, lightning.ErrClosed, false)
	disk := faultfs.New(memfs.New())
	db, err := lightning.Open("db", keeping(disk))
	must(t, err)
	wantHealth(t, db, lightning.HealthOK, nil, false)
	must(t, db.Put([]byte("k"), []byte("v")))
	gone := errors.New("the device is gone")
	disk.Add(faultfs.Rule{Kinds: vfs.OpSync | vfs.OpSyncData, Name: "*.wal", Sticky: true, Err: gone})
	wantErr(t, db.Put([]byte("k"), []byte("w")), gone)
	wantHealth(t, db, lightning.HealthReadOnly, gone, false)
	disk.Reset()
	_ = db.Close() // says the same
	wantHealth(t, db, lightning.HealthFailed, lightning.ErrClosed, false)

	o := keeping(disk)
	o.ReadOnly = true
	reader := openAt(t, "db", o)
	wantHealth(t, reader, lightning.HealthReadOnly, lightning.ErrReadOnly, false)
}

// A flush that fails is told until one succeeds.
func TestHealthOfBackgroundWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(memfs.New())
		db, err := lightning.Open("db", keeping(disk))
		must(t, err)
		must(t, db.Put([]byte("k"), []byte("v")))
		busy := errors.New("the device is busy")
		rule := disk.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: busy})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_ = db.Flush(ctx) // it says that it did not come to its end
		wantHealth(t, db, lightning.HealthDegraded, busy, true)
		rule.Disarm()
		time.Sleep(10 * time.Second) // it is tried again
		must(t, db.Flush(t.Context()))
		wantHealth(t, db, lightning.HealthOK, nil, false)
		must(t, db.Close())
	})
}

// What a scrub has found is told.
func TestHealthOfDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		o := keeping(disk)
		o.Scrub.Every = time.Minute
		db, err := lightning.Open("db", o)
		must(t, err)
		rich(t, db)
		must(t, db.Compact(t.Context(), nil, nil))
		time.Sleep(time.Second) // until what was compacted is deleted
		damageTable(t, disk, "db")
		time.Sleep(10 * time.Minute)
		if h := db.Health(); h.Status != lightning.HealthDegraded || len(h.Reasons) != 1 || h.Reasons[0].Do == "" || h.Reasons[0].Mends {
			t.Errorf("health is %+v", h)
		}
		must(t, db.Close())
	})
}
