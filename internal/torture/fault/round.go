package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// faultsPerRound is how many faults one script meets, one in each run.
const faultsPerRound = 48

// Round runs one random script again and again, with another fault each time.
func Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	o := script.Options(rng)
	s := script.Generate(rng, 3+rng.IntN(20))
	places, err := Places(s, o)
	if err != nil {
		return fmt.Errorf("seed %d, without a fault: %w\noptions %s\nscript:\n%s", seed, err, script.Describe(o), s)
	}
	var faults []Fault
	for range faultsPerRound {
		faults = append(faults, randomFault(rng, places))
	}
	if f, err := Each(ctx, s, o, faults, tally); err != nil {
		return script.Report(seed, s, o, err, func(s script.Script) error {
			_, err := Run(s, o, f, &ledger.Tally{})
			return err
		})
	}
	return nil
}

// atOnce is how many runs go side by side: a database that failed spends most
// of its time waiting before it tries again.
const atOnce = 12

// Each runs a script once with each fault. It returns the first that showed an
// error.
func Each(ctx context.Context, s script.Script, o lightning.Options, faults []Fault, tally *ledger.Tally) (Fault, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		guilt Fault
		first error
		next  atomic.Int64
	)
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return first != nil
	}
	for range atOnce {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(faults)) && ctx.Err() == nil && !failed(); i = next.Add(1) - 1 {
				_, err := Run(s, o, faults[i], tally)
				if mu.Lock(); err != nil && first == nil {
					guilt, first = faults[i], err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return guilt, first
}

func randomFault(rng *rand.Rand, places []Place) Fault {
	f := Fault{
		Place: places[rng.IntN(len(places))], Sticky: rng.IntN(2) == 0,
		Err:  diskErrors()[rng.IntN(len(diskErrors()))],
		Done: rng.IntN(4) == 0,
	}
	if rng.IntN(20) == 0 {
		return Fault{Place: f.Place, Sticky: true, Slow: time.Duration(1+rng.IntN(5)) * time.Millisecond}
	}
	if rng.IntN(2) == 0 {
		f.SyncFailure = memfs.FailRevert
	}
	if f.Kind == vfs.OpRead || f.Kind == vfs.OpWrite {
		f.Short = rng.IntN(3) == 0
	}
	return f
}
