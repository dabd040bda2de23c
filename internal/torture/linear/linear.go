// Package linear tortures the database with many goroutines at once and judges
// what they saw: were there orders of the operations, each taking effect at one
// moment between its call and its return, that explain every answer?
//
// A round is of one kind, which the seed chooses:
//
//   - bursts (bursts.go): clients work on a few families of keys while files
//     move beside them; every burst is a history that porcupine judges, family
//     by family (history.go);
//   - lives (life.go): the same with a power cut, a failed sync or a Close in
//     the middle; what is recovered must be a prefix of the commit order that
//     holds every promise (judge.go);
//   - versions (versions.go): writers that count up, and readers that check
//     atomicity, recency and monotonicity with no clock between them and no
//     limit to the history;
//   - stress (stress.go): all of the API at once, also while the database is
//     being closed: no panic, no hang, no answer that is not allowed.
//
// The seed decides about all that is not the scheduler's, so a failure may take
// several runs of its seed to come again. Under the race detector and the build
// tag "invariants" the engine yields the processor in its narrow places, which
// finds more. A round is run by one goroutine and starts its own; the functions
// of the package are safe for concurrent use.
package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs"
)

// kind is a kind of round.
type kind struct {
	name string
	run  func(ctx context.Context, seed uint64, tally *ledger.Tally) error
}

func kinds() []kind {
	return []kind{
		{"bursts", runBursts}, {"lives", runLives}, {"versions", runVersions},
		{"lives", runLives}, {"stress", runStress},
	}
}

// Round runs one round. It returns nil when ctx ends, too.
func Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	all := kinds()
	k := all[seed%uint64(len(all))]
	err := k.run(ctx, seed, tally)
	if err == nil || ctx.Err() != nil && !errors.Is(err, errBroken) {
		return nil
	}
	return fmt.Errorf("linear, %s, seed %d: %w", k.name, seed, err)
}

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// options make every structure fill soon, with the hot-record cache mostly on.
func options(rng *rand.Rand, files vfs.FS) *lightning.Options {
	return &lightning.Options{
		FS:           files,
		MemoryBudget: 4 << 20,
		Compression:  lightning.Compression(rng.IntN(4)),
		Tree: lightning.TreeOptions{
			MemtableBytes:    64<<10 + rng.IntN(64<<10),
			BlockBytes:       256 << rng.IntN(5),
			FilterBitsPerKey: []int{-1, 4, 12}[rng.IntN(3)],
			FileBytes:        16 << 10 << rng.IntN(4),
			L0Files:          1 + rng.IntN(4),
		},
		Debug: lightning.DebugOptions{NoHotCache: rng.IntN(8) == 0},
	}
}
