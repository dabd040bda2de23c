//go:build unix

package lightning

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// openFilesDir is set in the process that runFewFiles starts, and openFilesFull where
// it is to have as much to do as a benchmark.
const (
	openFilesDir  = "LIGHTNING_TEST_OPEN_FILES"
	openFilesFull = "LIGHTNING_TEST_OPEN_FILES_FULL"
)

// TestFewFiles runs a database of many tables in a process that may have 64 files
// open: gets, scans, flushes, compactions and commits go on as ever.
func TestFewFiles(t *testing.T) {
	if dir := os.Getenv(openFilesDir); dir != "" {
		if err := useFewFiles(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	runFewFiles(t)
}

// BenchmarkFewFiles is TestFewFiles with three million rows and a memory budget of 16
// MiB, once: go test -run=- -bench=FewFiles -benchtime=1x. It fails where an operation
// does.
func BenchmarkFewFiles(b *testing.B) {
	for b.Loop() {
		b.Logf("%s", runFewFiles(b, openFilesFull+"=1"))
	}
}

// runFewFiles runs TestFewFiles in a process of its own.
func runFewFiles(t testing.TB, env ...string) (output []byte) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestFewFiles$", "-test.count=1", "-test.timeout=0")
	cmd.Env = append(append(os.Environ(), openFilesDir+"="+t.TempDir()), env...)
	output, err = cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
	return output
}

func useFewFiles(dir string) error {
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	rows := 60_000
	leastTables := 200
	opts := Options{MemoryBudget: 4 << 20}
	opts.Tree = TreeOptions{FileBytes: 4 << 10, MemtableBytes: 256 << 10, BlockBytes: 512}
	if os.Getenv(openFilesFull) != "" {
		rows, leastTables = 3_000_000, 100
		opts = Options{MemoryBudget: 16 << 20, Compression: CompressionNone}
	}
	db, err := Open(dir, &opts)
	if err != nil {
		return err
	}
	key := func(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)*0x9E3779B97F4A7C15) }
	b := db.NewBatch()
	for i := range rows {
		if err := b.Put(key(i), fmt.Appendf(nil, "%0100d", i)); err != nil {
			return err
		}
		if b.Len() == 500 {
			if err := b.CommitWith(DurabilityAsync); err != nil {
				return err
			}
			b.Reset()
		}
	}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for g := range errs {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for n := range 5000 {
				i := rng.IntN(rows)
				value, err := db.Get(key(i))
				if err == nil && string(value) != fmt.Sprintf("%0100d", i) {
					err = fmt.Errorf("row %d is %q", i, value)
				}
				if err == nil && n%500 == g {
					err = db.Put(key(i), value)
				}
				if err != nil {
					errs[g] = err
					return
				}
			}
		})
	}
	wg.Wait()
	m := db.Metrics()
	if m.Files.Max > 16 || m.Files.Open > m.Files.Max {
		errs = append(errs, fmt.Errorf("%d of %d tables are open", m.Files.Open, m.Files.Max))
	}
	tables := 0
	for _, l := range m.Levels {
		tables += l.Files
	}
	fmt.Printf("%d rows, %d tables, %d of %d files open after %d gets\n", rows, tables, m.Files.Open, m.Files.Max, 8*5000)
	if tables < leastTables {
		errs = append(errs, fmt.Errorf("%d tables show nothing", tables))
	}
	if m.Health.WriteErr != nil || m.Health.BackgroundErr != nil || m.Health.UnreadableFiles > 0 {
		errs = append(errs, fmt.Errorf("health: %+v", m.Health))
	}
	return errors.Join(append(errs, countRows(db, rows), db.Close())...)
}

func countRows(db *DB, want int) error {
	rows := 0
	err := db.View(func(tx *Tx) error {
		for range tx.Range(nil, nil) {
			rows++
		}
		return nil
	})
	if err == nil && rows != want {
		err = fmt.Errorf("a scan saw %d rows of %d", rows, want)
	}
	return err
}
