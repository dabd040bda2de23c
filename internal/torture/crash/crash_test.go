package crash

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/model"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func smallOptions() lightning.Options {
	return lightning.Options{
		MemoryBudget: 4 << 20,
		Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, L0Files: 2},
	}
}

// scripts returns those in testdata/scripts: short lives, each for one thing
// that makes files move, and in testdata/regressions: what once went wrong,
// with a paragraph on the bug in the file.
func scripts(t *testing.T) map[string]script.Script {
	t.Helper()
	all := map[string]script.Script{}
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".script" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s, err := script.Parse(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all[filepath.Base(path)] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCrashStates takes a crash at every operation of every script.
func TestCrashStates(t *testing.T) {
	perOp := 8
	if testing.Short() {
		perOp = 4
	}
	for name, s := range scripts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tally ledger.Tally
			c := Config{Options: smallOptions(), PerOp: perOp, Stride: 1, Depth: 1}
			if err := Run(s, c, &tally); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crash states", tally.Count(ledger.States))
			if tally.Count(ledger.States) == 0 {
				t.Error("no crash state was judged")
			}
		})
	}
}

// TestCrashStatesWithAnArchive is TestCrashStates with all changes kept: they must be
// there without a hole, and come to what the database holds.
func TestCrashStatesWithAnArchive(t *testing.T) {
	for name, s := range scripts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := smallOptions()
			o.LogArchive.SizeBytes = 1 << 30
			var tally ledger.Tally
			c := Config{Options: o, PerOp: 2, Stride: 2, Depth: 2, Dive: 40}
			if testing.Short() {
				c.PerOp, c.Depth = 1, 1
			}
			if err := Run(s, c, &tally); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crash states", tally.Count(ledger.States))
		})
	}
}

// The script of large transactions has them committed past the log.
func TestLargeTransactionsAreLarge(t *testing.T) {
	o := smallOptions()
	o.FS, o.LogArchive.SizeBytes = memfs.New(), 1<<30
	s := script.NewSession(o)
	must(t, s.Open())
	h := script.NewHistory(model.State{})
	operations := scripts(t)["large-transaction.script"]
	for i := range operations {
		must(t, s.Run(&operations[i], h))
	}
	if n := s.DB.Metrics().LogArchive.Transactions; n != 2 {
		t.Errorf("%d of them", n)
	}
	must(t, s.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCrashInRecovery crashes in recoveries and in the recoveries from those.
func TestCrashInRecovery(t *testing.T) {
	stride := int64(24)
	if testing.Short() {
		stride = 40
	}
	for name, s := range scripts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tally ledger.Tally
			c := Config{Options: smallOptions(), PerOp: 2, Stride: stride, Depth: 3, Dive: 5, Seed: 1}
			if err := Run(s, c, &tally); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crash states", tally.Count(ledger.States))
		})
	}
}

func TestRounds(t *testing.T) {
	rounds := uint64(15)
	if testing.Short() {
		rounds = 5
	}
	for seed := range rounds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			var tally ledger.Tally
			if err := Round(context.Background(), seed, &tally); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crash states", tally.Count(ledger.States))
		})
	}
}
