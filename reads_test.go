package lightning_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Blocks that are not in the cache come by io_uring, where the kernel has it, and by
// goroutines where it has not or the user wants none of it; the metrics say which.
func TestReadsByIOUring(t *testing.T) {
	const keys = 20_000
	name := filepath.Join(t.TempDir(), "db")
	options := lightning.Options{
		MemoryBudget: 4 << 20, Compression: lightning.CompressionNone,
		Tree: lightning.TreeOptions{MemtableBytes: 256 << 10, OpenFiles: 8},
	}
	key := func(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }
	db, err := lightning.Open(name, &options)
	must(t, err)
	b := db.NewBatch()
	for i := range keys {
		must(t, b.Put(key(i), fmt.Appendf(nil, "%06d%s", i, strings.Repeat("x", 300))))
		if b.Len() == 1000 {
			must(t, b.Commit())
			b.Reset()
		}
	}
	must(t, db.Flush(t.Context()))
	must(t, db.Close())
	for _, off := range []bool{false, true} {
		options.Debug.NoIOUring = off
		db, err := lightning.Open(name, &options)
		must(t, err)
		var readers sync.WaitGroup
		for n := range 8 {
			readers.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(n), 1))
				for range 20 {
					wanted := make([][]byte, 50)
					numbers := make([]int, len(wanted))
					for j := range wanted {
						numbers[j] = rng.IntN(keys)
						wanted[j] = key(numbers[j])
					}
					err := db.MultiGet(wanted, func(i int, value []byte, err error) error {
						if want := fmt.Sprintf("%06dxxx", numbers[i]); err == nil && !strings.HasPrefix(string(value), want) {
							t.Errorf("%s: %.10s", wanted[i], value)
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		readers.Wait()
		m := db.Metrics().Reads
		t.Logf("off %v: %+v", off, m)
		switch {
		case off && (m.NoIOUring != "switched off" || m.ByIOUring != 0 || m.ByPread == 0):
			t.Error("it was switched off")
		case !off && runtime.GOOS != "linux" && m.NoIOUring == "":
			t.Error("no other system has it")
		case !off && m.NoIOUring == "" && m.ByIOUring == 0:
			t.Error("it was not used")
		}
		must(t, db.Close())
	}
}

// A seek that does not find its first block in the cache has those of the other tables
// read side by side; one that finds all of them asks for nothing.
func TestSeekReadsSideBySide(t *testing.T) {
	const tables, keys = 7, 3000
	options := small(memfs.New())
	options.MemoryBudget, options.Tree.MemtableBytes, options.Tree.L0Files = 8<<20, 1<<20, 64
	db := open(t, options)
	key := func(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }
	for table := range tables {
		for i := table; i < keys; i += tables {
			must(t, db.Put(key(i), make([]byte, 100)))
		}
		must(t, db.Flush(t.Context()))
	}
	must(t, db.Close())
	db = open(t, options)
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	for i, c := range []struct {
		key     int
		forward bool
		reads   uint64 // index partitions and blocks
	}{{1500, true, 2 * (tables - 1)}, {1500, true, 0}, {1501, false, 0}, {2500, false, tables - 1}, {0, true, tables - 1}, {0, true, 0}} {
		before := db.Metrics().Reads.ByPread
		if c.key == 0 {
			it.First()
		} else if c.forward {
			it.SeekGE(key(c.key))
		} else {
			it.SeekLT(key(c.key))
		}
		if got := db.Metrics().Reads.ByPread - before; got != c.reads {
			t.Errorf("seek %d: %d reads side by side, want %d", i, got, c.reads)
		}
	}
	must(t, it.Close())
}
