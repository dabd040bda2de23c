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

// openFilesDir is set in the process that TestFewFiles starts.
const openFilesDir = "LIGHTNING_TEST_OPEN_FILES"

// TestFewFiles runs a database of many tables in a process that may have 64 files
// open: gets, scans, flushes, compactions and commits go on as ever.
func TestFewFiles(t *testing.T) {
	if dir := os.Getenv(openFilesDir); dir != "" {
		if err := useFewFiles(dir); err != nil {
			t.Fatal(err)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestFewFiles$", "-test.count=1")
	cmd.Env = append(os.Environ(), openFilesDir+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func useFewFiles(dir string) error {
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	opts := Options{MemoryBudget: 4 << 20}
	opts.Tree = TreeOptions{FileBytes: 4 << 10, MemtableBytes: 256 << 10, BlockBytes: 512}
	db, err := Open(dir, &opts)
	if err != nil {
		return err
	}
	const rows = 60_000
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
	if tables < 200 {
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
