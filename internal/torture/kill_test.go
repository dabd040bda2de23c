//go:build unix

package torture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
)

const (
	killDirEnv        = "LIGHTNING_KILL_DIR"
	killDurabilityEnv = "LIGHTNING_KILL_DURABILITY"
)

// killOptions make memtables, logs and files turn over many times a second.
func killOptions() *lightning.Options {
	return &lightning.Options{
		MemoryBudget: 4 << 20,
		Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2, FileBytes: 64 << 10},
	}
}

// The writer commits batches numbered from where the database stands. Batch i
// writes i under two keys that are far apart, the counter last; so a torn batch
// and a hole in the history can be told from the two.
func killBatch(db *lightning.DB, i int, d lightning.Durability) error {
	b := db.NewBatch()
	value := fmt.Appendf(make([]byte, 0, 600), "%d", i)
	err := errors.Join(
		b.Put(fmt.Appendf(nil, "row%08d", i), value[:cap(value)]),
		b.Put([]byte("counter"), value),
	)
	return errors.Join(err, b.CommitWith(d))
}

// TestKillWriter is no test of its own: it is the process that gets killed. It
// says the number of each batch when it is acknowledged.
func TestKillWriter(t *testing.T) {
	dir := os.Getenv(killDirEnv)
	if dir == "" {
		t.Skip("runs as the child of TestKill")
	}
	var d lightning.Durability
	if _, err := fmt.Sscan(os.Getenv(killDurabilityEnv), (*uint8)(&d)); err != nil {
		t.Fatal(err)
	}
	db, err := lightning.Open(dir, killOptions())
	if err != nil {
		t.Fatal(err)
	}
	for i := killedAt(t, db) + 1; ; i++ {
		if err := killBatch(db, i, d); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Printf("ack %d\n", i); err != nil {
			t.Fatal(err)
		}
		if i%300 == 0 {
			if err := db.Compact(context.Background(), nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// killedAt returns the number of the last batch and checks that it and all
// before it are there in full, and nothing else.
func killedAt(t *testing.T, db *lightning.DB) int {
	t.Helper()
	last := 0
	switch v, err := db.Get([]byte("counter")); {
	case errors.Is(err, lightning.ErrNotFound):
	case err != nil:
		t.Fatal(err)
	default:
		if _, err := fmt.Sscan(string(v), &last); err != nil {
			t.Fatal(err)
		}
	}
	rows := readAll(t, db).Rows("row", "")
	if len(rows) != last {
		t.Fatalf("the counter is at %d, and there are %d rows", last, len(rows))
	}
	for i, r := range rows {
		want := fmt.Sprint(i + 1)
		if r.Key != fmt.Sprintf("row%08d", i+1) || strings.TrimRight(r.Value, "\x00") != want {
			t.Fatalf("row %d is %q: %q", i+1, r.Key, r.Value)
		}
	}
	return last
}

// TestKill kills a process while it writes, again and again, and looks after
// each time that nothing is lost that the durability promises: after a kill all
// that was acknowledged with Sync or Flush is there. Async loses at most the
// newest. While the process lives, nobody else gets in.
func TestKill(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	for _, d := range []lightning.Durability{lightning.Sync, lightning.Flush, lightning.Async} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "db")
			for round := range rounds {
				acknowledged := killOneWriter(t, dir, d, 150+170*round)
				db, err := lightning.Open(dir, killOptions())
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				found := killedAt(t, db)
				if d != lightning.Async && found < acknowledged {
					t.Errorf("round %d: batch %d was acknowledged, the last one found is %d",
						round, acknowledged, found)
				}
				if round%2 == 1 { // else the next writer recovers from a recovery that was cut short
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := killBatch(db, found+1, d); err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// killOneWriter starts a writer on dir, kills it after so many
// acknowledgements, and returns the last one it gave.
func killOneWriter(t *testing.T, dir string, d lightning.Durability, after int) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	writer := exec.Command(self, "-test.run=^TestKillWriter$", "-test.v")
	writer.Env = append(os.Environ(), killDirEnv+"="+dir, fmt.Sprintf("%s=%d", killDurabilityEnv, d))
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged, count := 0, 0
	var said []string
	// What the writer said before its end still comes out of the pipe.
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		var i int
		if n, _ := fmt.Sscanf(line, "ack %d", &i); n != 1 {
			said = append(said, line)
			continue
		}
		acknowledged = i
		if count++; count == 1 {
			if _, err := lightning.Open(dir, killOptions()); !errors.Is(err, lightning.ErrLocked) {
				t.Errorf("a second process opens the database: %v", err)
			}
		}
		if count == after {
			if err := writer.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = writer.Wait() // says that it was killed
	if count < after {
		t.Fatalf("the writer ended by itself after %d batches: %q", count, said)
	}
	return acknowledged
}
