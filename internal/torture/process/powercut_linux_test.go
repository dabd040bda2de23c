package process

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

func TestPowerCut(t *testing.T) {
	suite := &PowerCut{Dir: t.TempDir()}
	if err := suite.Needs(); err != nil {
		t.Skip(err)
	}
	testRounds(t, 2, suite.Round, ledger.PowerCuts, cutsPerRound)
	t.Cleanup(func() { expectUnmounted(t, suite.Dir) })
}

// TestPowerCutSeesSkippedSync lets children skip the syncs of the log.
func TestPowerCutSeesSkippedSync(t *testing.T) {
	suite := &PowerCut{Dir: t.TempDir(), lie: lieLogSync}
	if err := suite.Needs(); err != nil {
		t.Skip(err)
	}
	expectCaught(t, func(seed uint64) error { return suite.Round(t.Context(), seed, new(ledger.Tally)) })
	expectUnmounted(t, suite.Dir)
}

// TestRoundsEndWithTheirContext looks that nothing is left of a round that was
// told to stop.
func TestRoundsEndWithTheirContext(t *testing.T) {
	cut := &PowerCut{Dir: t.TempDir()}
	if err := cut.Needs(); err != nil {
		t.Skip(err)
	}
	disk, kill := &FullDisk{Dir: cut.Dir}, &Kill{Dir: cut.Dir}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, round := range map[string]func(context.Context, uint64, *ledger.Tally) error{
		"kill": kill.Round, "power cut": cut.Round, "full disk": disk.Round,
	} {
		for seed := range uint64(len(shortages())) {
			if err := round(ctx, seed, new(ledger.Tally)); err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
			}
		}
	}
	left, err := os.ReadDir(cut.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
	expectUnmounted(t, cut.Dir)
}

func expectUnmounted(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), filepath.Clean(dir)+"/") {
		t.Errorf("something is still mounted in %s", dir)
	}
}

// TestScatterReordersWrites writes over a synced log, has parts of that written
// to the device in no order, and cuts the power: what comes back must sometimes
// be new at the end and old before it, or scatter does nothing.
func TestScatterReordersWrites(t *testing.T) {
	if err := needsMounts(); err != nil {
		t.Skip(err)
	}
	img, err := newImage(t.TempDir(), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := img.unmount(); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(img.dir, "db")
	for seed := range uint64(20) {
		must(t, img.mount("", 0))
		must(t, os.MkdirAll(dir, 0o700))
		const pages = 16
		f, err := os.Create(filepath.Join(dir, "1.wal"))
		must(t, err)
		_, err = f.Write([]byte(strings.Repeat("o", pages*pageBytes)))
		must(t, err)
		must(t, f.Sync())
		forget(dir)
		for page := range int64(pages) {
			_, err := f.WriteAt([]byte(strings.Repeat("n", pageBytes)), page*pageBytes)
			must(t, err)
		}
		scatter(dir, rand.New(rand.NewPCG(seed, 0)))
		must(t, img.cut())
		must(t, f.Close())
		must(t, img.unmount())
		must(t, img.mount("", 0))
		b, err := os.ReadFile(f.Name())
		must(t, err)
		must(t, img.unmount())
		if b[0] == 'o' && strings.Contains(string(b), "n") {
			return
		}
	}
	t.Error("nothing was ever written out of order")
}
