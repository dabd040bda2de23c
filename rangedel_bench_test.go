package lightning_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
)

// residentBytes is what the process has in memory now, and has had at most; zero
// where the system does not say.
func residentBytes() (now, peak int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			now = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			peak = kib << 10
		}
	}
	return now, peak
}

// processorTime is what the process has used of the processors so far; zero where the
// system does not say.
func processorTime() time.Duration {
	const tick = 10 * time.Millisecond
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64
	fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	return time.Duration(user+system) * tick
}

// besideRows is how many rows lie beside the ranges of BenchmarkSmallRangeDeletes.
const besideRows = 100_000

func besideKey(i int) []byte { return fmt.Appendf(nil, "z%015d", i) }

// BenchmarkSmallRangeDeletes deletes as many small ranges as it is told to with
// -benchtime, 1000000x for what was promised, and then reads where none of them lies. It
// is for the eye: time of each, of gets and rows elsewhere, memory. While a snapshot is
// open that is older, no compaction may drop any of them.
func BenchmarkSmallRangeDeletes(b *testing.B) {
	for _, name := range []string{"dropped", "kept"} {
		b.Run(name, func(b *testing.B) { benchSmallRangeDeletes(b, name == "kept") })
	}
}

func benchSmallRangeDeletes(b *testing.B, keep bool) {
	db, err := lightning.Open(b.TempDir(), &lightning.Options{
		MemoryBudget: 64 << 20, Durability: lightning.DurabilityAsync,
	})
	must(b, err)
	defer db.Close()
	fillBeside(b, db)
	if keep {
		must(b, db.Put([]byte("b"), nil)) // what the snapshot sees and others do not
		old, err := db.Snapshot()
		must(b, err)
		defer old.Close()
	}
	getBefore, rowBefore := readBeside(b, db)
	random := rand.New(rand.NewPCG(1, 2))
	lo, hi := []byte("a000000000000000"), []byte("a000000000000000")
	used := processorTime()
	b.ResetTimer()
	for range b.N {
		at := random.IntN(100_000_000)
		setDigits(lo, at)
		setDigits(hi, at+10)
		if err := db.DeleteRange(lo, hi); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	took := b.Elapsed()
	used = processorTime() - used
	now, peak := residentBytes()
	getAfter, rowAfter := readBeside(b, db)
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "us/op")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(now)/(1<<20), "resident-MiB")
	b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
	b.ReportMetric(float64(getBefore.Nanoseconds()), "get-before-ns")
	b.ReportMetric(float64(getAfter.Nanoseconds()), "get-after-ns")
	b.ReportMetric(float64(rowBefore.Nanoseconds()), "row-before-ns")
	b.ReportMetric(float64(rowAfter.Nanoseconds()), "row-after-ns")
}

// setDigits writes n over the last digits of key, in a fraction of the time of what is
// measured.
func setDigits(key []byte, n int) {
	for i := len(key) - 1; i > 0; i-- {
		key[i], n = byte('0'+n%10), n/10
	}
}

func fillBeside(b *testing.B, db *lightning.DB) {
	batch := db.NewBatch()
	for i := range besideRows {
		must(b, batch.Put(besideKey(i), make([]byte, 100)))
		if batch.Len() == 1000 || i == besideRows-1 {
			must(b, batch.Commit())
			batch.Reset()
		}
	}
	must(b, db.Compact(context.Background(), nil, nil))
}

// readBeside returns what a get takes, past the hot-record cache, and a row of a scan.
func readBeside(b *testing.B, db *lightning.DB) (get, row time.Duration) {
	const gets, scans, rows = 200_000, 2_000, 100
	random := rand.New(rand.NewPCG(3, 4))
	snapshot, err := db.Snapshot()
	must(b, err)
	defer snapshot.Close()
	var value []byte
	start := time.Now()
	for range gets {
		value, err = snapshot.AppendGet(value[:0], besideKey(random.IntN(besideRows)))
		must(b, err)
	}
	get = time.Since(start) / gets
	start = time.Now()
	for range scans {
		it, err := snapshot.Iterator(lightning.IterOptions{})
		must(b, err)
		ok := it.SeekGE(besideKey(random.IntN(besideRows - rows)))
		for n := 0; ok && n < rows; n++ {
			ok = it.Next()
		}
		must(b, it.Close())
	}
	return get, time.Since(start) / (scans * rows)
}
