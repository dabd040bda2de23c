package lightning_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// A scrub comes when it is due, at its rate, and tells of damage: once as such, and each time
// as what it has found.
func TestScrub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		var mu sync.Mutex
		var ended []lightning.ScrubInfo
		var told int
		o := keeping(disk)
		o.Scrub = lightning.ScrubOptions{Every: time.Hour, BytesPerSecond: 64 << 10}
		o.EventListener = &lightning.EventListener{
			ScrubEnd: func(info lightning.ScrubInfo) {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, info)
			},
			Corruption: func(lightning.CorruptionInfo) {
				mu.Lock()
				defer mu.Unlock()
				told++
			},
		}
		db, err := lightning.Open("db", o)
		must(t, err)
		rich(t, db)
		must(t, db.Compact(t.Context(), nil, nil))
		time.Sleep(59 * time.Minute)
		if m := db.Metrics().Scrub; m != (lightning.ScrubMetrics{}) {
			t.Errorf("before it is due: %+v", m)
		}
		time.Sleep(time.Minute + time.Second)
		if m := db.Metrics().Scrub; !m.Running || m.ReadBytes == 0 || m.TotalBytes < m.ReadBytes || m.Runs != 0 {
			t.Errorf("in the middle: %+v", m)
		}
		time.Sleep(30 * time.Minute)
		m := db.Metrics().Scrub
		if m.Running || m.Runs != 1 || m.Damage != 0 || m.Took < time.Duration(m.ReadBytes/(64<<10))*time.Second*3/4 {
			t.Errorf("after the first: %+v", m)
		}
		if len(ended) != 1 || ended[0].ReadBytes == 0 || ended[0].Took != m.Took {
			t.Errorf("told was %+v", ended)
		}
		damageTable(t, disk, "db")
		time.Sleep(3 * time.Hour)
		if m := db.Metrics().Scrub; m.Runs < 3 || m.Damage == 0 {
			t.Errorf("after the damage: %+v", m)
		}
		mu.Lock()
		last := ended[len(ended)-1]
		if len(last.Damage) == 0 || told != len(last.Damage) {
			t.Errorf("damage was told %d times, the last scrub has found %v", told, last.Damage)
		}
		mu.Unlock()
		must(t, db.Close())
	})
}

// damageTable flips a bit in the first table of a database.
func damageTable(t *testing.T, disk *memfs.FS, dir string) {
	t.Helper()
	names, err := disk.List(dir)
	must(t, err)
	for _, name := range names {
		if len(name) < 4 || name[len(name)-4:] != ".sst" {
			continue
		}
		f, err := disk.OpenReadWrite(dir + "/" + name)
		must(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, 100)
		must(t, err)
		b[0] ^= 8
		_, err = f.WriteAt(b, 100)
		must(t, err)
		must(t, f.Close())
		return
	}
	t.Fatal("there is no table")
}

// Options that cannot be are named.
func TestScrubOptions(t *testing.T) {
	for _, s := range []lightning.ScrubOptions{{Every: -1}, {Every: time.Millisecond}, {BytesPerSecond: -1}} {
		o := small(memfs.New())
		o.Scrub = s
		_, err := lightning.Open("db", o)
		var wrong *lightning.OptionError
		if !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
