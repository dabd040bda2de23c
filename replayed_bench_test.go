package lightning_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/lightningdb/lightning"
)

// killedDatabase makes a database whose log has about logBytes, of puts in batches of
// some, and returns its files as a kill leaves them.
func killedDatabase(b *testing.B, logBytes int64, batchLen int) (dir string, opts *lightning.Options) {
	opts = &lightning.Options{Durability: lightning.DurabilityBuffered, MemoryBudget: 1 << 30}
	opts.Tree.MemtableBytes = 256 << 20
	live := b.TempDir()
	db, err := lightning.Open(live, opts)
	must(b, err)
	key, value := make([]byte, 16), make([]byte, 100)
	for db.Metrics().Log.WrittenBytes < logBytes {
		batch := db.NewBatch()
		for range batchLen {
			binary.BigEndian.PutUint64(key, rand.Uint64())
			must(b, batch.Put(key, value))
		}
		must(b, batch.Commit())
	}
	dir = filepath.Join(b.TempDir(), "killed")
	must(b, os.CopyFS(dir, os.DirFS(live)))
	must(b, db.Close())
	return dir, opts
}

// copySynced copies a directory, and leaves nothing to do for those who sync the files.
func copySynced(b *testing.B, to, from string) {
	must(b, os.CopyFS(to, os.DirFS(from)))
	names, err := filepath.Glob(filepath.Join(to, "*"))
	must(b, err)
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		must(b, err)
		must(b, errors.Join(f.Sync(), f.Close()))
	}
}

// BenchmarkOpenKilled is the time until a database that was killed is open, for each
// 64 MiB of its log.
func BenchmarkOpenKilled(b *testing.B) {
	const logBytes = 128 << 20
	for _, batchLen := range []int{1, 1000} {
		b.Run(fmt.Sprint("batches of ", batchLen), func(b *testing.B) {
			dir, opts := killedDatabase(b, logBytes, batchLen)
			for b.Loop() {
				b.StopTimer()
				copied := filepath.Join(b.TempDir(), "db")
				copySynced(b, copied, dir)
				b.StartTimer()
				db, err := lightning.Open(copied, opts)
				b.StopTimer()
				must(b, err)
				must(b, db.Close())
				must(b, os.RemoveAll(copied))
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N)/(logBytes>>26), "ms/64MiB")
		})
	}
}
