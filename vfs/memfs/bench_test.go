package memfs_test

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func BenchmarkWrite4K(b *testing.B) {
	f, err := memfs.New().Create("f")
	must(b, err)
	p := make([]byte, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for i := int64(0); b.Loop(); i++ {
		if _, err := f.WriteAt(p, i%1024*4096); err != nil {
			b.Fatal(err)
		}
		if i%256 == 255 {
			must(b, f.SyncData())
		}
	}
}

// BenchmarkAppendAndSync is a log that syncs every record.
func BenchmarkAppendAndSync(b *testing.B) {
	f, err := memfs.New().Create("f")
	must(b, err)
	must(b, f.Preallocate(4<<20))
	p := make([]byte, 128)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		if _, err := f.WriteAt(p, i%(4<<20/128)*128); err != nil {
			b.Fatal(err)
		}
		must(b, f.SyncData())
	}
}

func BenchmarkRead4K(b *testing.B) {
	fsys := memfs.New()
	f := smallDatabase(b, fsys)
	p := make([]byte, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for i := int64(0); b.Loop(); i++ {
		if _, err := f.ReadAt(p, i%32*4096); err != nil {
			b.Fatal(err)
		}
	}
}

// smallDatabase makes a dozen files of 256 KiB, and returns a log with pending
// appends.
func smallDatabase(b *testing.B, fsys *memfs.FS) vfs.File {
	must(b, fsys.MkdirAll("db"))
	p := make([]byte, 256<<10)
	for i := range 12 {
		f, err := fsys.Create(fmt.Sprintf("db/%06d", i))
		must(b, err)
		_, err = f.WriteAt(p, 0)
		must(b, err)
		must(b, f.Sync())
		must(b, f.Close())
	}
	must(b, fsys.SyncDir("db"))
	must(b, fsys.SyncDir("/"))
	f, err := fsys.Create("db/log")
	must(b, err)
	must(b, f.Preallocate(4<<20))
	for i := range int64(50) {
		_, err := f.WriteAt(p[:128], i*128)
		must(b, err)
	}
	return f
}

func BenchmarkCrash(b *testing.B) {
	for _, keep := range []memfs.Policy{memfs.KeepNone, memfs.KeepAll, memfs.KeepRandom} {
		b.Run([]string{"none", "all", "random"}[keep], func(b *testing.B) {
			fsys := memfs.New()
			smallDatabase(b, fsys)
			b.ReportAllocs()
			for seed := uint64(0); b.Loop(); seed++ {
				fsys.Crash(memfs.CrashOptions{Keep: keep, Seed: seed})
			}
		})
	}
}

func BenchmarkCrashStates(b *testing.B) {
	fsys := memfs.New()
	script(b, fsys, "mk:d dir:/ new:d/f=AAAA sync:d/f dir:d put:d/f@0=BBBB new:d/g=C")
	b.ReportAllocs()
	count := 0
	for b.Loop() {
		states, complete := fsys.CrashStates(1000)
		if !complete {
			b.Fatal("too many")
		}
		for range states {
			count++
		}
	}
	b.ReportMetric(float64(count)/float64(b.N), "states/op")
}
