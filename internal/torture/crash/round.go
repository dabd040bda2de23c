package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/model"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// roundPlaces and roundDivePlaces bound a round to some seconds: a script may have
// thousands of operations, and so may the recoveries from its crashes.
const (
	roundPlaces     = 150
	roundDivePlaces = 6
	// backupPerOp is PerOp where there are backups: they write many files, in all of which a crash
	// can leave something, and to restore one takes as long as all the rest.
	backupPerOp = 2
)

// Round torments one random script, or a database that lives through several
// of them with a crash in each. A failure comes with the script cut down to
// what still shows it.
func Round(_ context.Context, seed uint64, tally *ledger.Tally) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := Config{Seed: seed, Options: script.Options(rng), PerOp: 3, Stride: 1 + rng.Int64N(4), Depth: 1, Places: roundPlaces, DivePlaces: roundDivePlaces}
	n := 8 + rng.IntN(20)
	switch seed % 5 {
	case 0: // short, and every state that there is
		n = 1 + rng.IntN(6)
		c.PerOp, c.Stride = 1024/(n*n), 1
	case 1: // crashes in crashes
		c.Depth, c.Dive, c.Stride = 3, 10, 3+rng.Int64N(8)
	case 2: // long
		n, c.PerOp, c.Stride = 60+rng.IntN(80), 2, 5+rng.Int64N(20)
	case 3:
		if err := lives(rng, tally); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
		return nil
	}
	s := script.Generate(rng, n)
	if slices.ContainsFunc(s, func(o script.Op) bool { return o.Kind == script.Backup }) {
		c.PerOp = min(c.PerOp, backupPerOp)
	}
	run := func(s script.Script, tally *ledger.Tally) error {
		if err := Run(s, c, tally); err != nil {
			return fmt.Errorf("stride %d: %w", c.Stride, err)
		}
		return nil
	}
	if err := run(s, tally); err != nil {
		return script.Report(seed, s, c.Options, err, func(s script.Script) error { return run(s, &ledger.Tally{}) })
	}
	return nil
}

// livesPerRound is how often a database of lives crashes.
const livesPerRound = 8

// lives lets one database live on from crash to crash, with other options each
// time, so that what one recovery leaves behind meets the next.
func lives(rng *rand.Rand, tally *ledger.Tally) error {
	fs := memfs.New()
	var base model.State
	for life := range livesPerRound {
		o, s := script.Options(rng), script.Generate(rng, 10+rng.IntN(40))
		crashed, allowed, err := oneLife(fs, base, o, s, rng)
		if err != nil {
			return fmt.Errorf("life %d: %w", life, err)
		}
		o.FS = crashed
		session := script.NewSession(o)
		if err := session.Open(); err != nil {
			return fmt.Errorf("after life %d: %w", life, err)
		}
		found, err := session.Read()
		if err == nil {
			err = allowed.Check(found)
		}
		if closeErr := session.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("after life %d: %w\noptions %s\nscript:\n%s", life, err, script.Describe(o), s)
		}
		fs, base = crashed, found
		tally.Add(ledger.States, 1)
	}
	return nil
}

// oneLife runs a script on fs, which holds base, and takes a crash at a random
// operation of the file system.
func oneLife(fs *memfs.FS, base model.State, o lightning.Options, s script.Script, rng *rand.Rand) (
	crashed *memfs.FS, allowed script.Allowed, err error,
) {
	h := script.NewHistory(base)
	at := fs.Ops() + 1 + rng.Int64N(400)
	how := memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: rng.Uint64(), Stale: rng.IntN(2) == 0}
	fs.SetHook(func(op vfs.Op) error {
		if op.N == at {
			mark := h.Mark()
			crashed = fs.Crash(how)
			allowed = h.Since(mark)
		}
		return nil
	})
	o.FS = fs
	session := script.NewSession(o)
	if err := session.Open(); err != nil {
		return nil, allowed, err
	}
	for i := range s {
		if err := session.Run(&s[i], h); err != nil {
			return nil, allowed, err
		}
	}
	// The crash may come while it closes, or at the very end.
	if err := session.Close(); err != nil {
		return nil, allowed, err
	}
	h.Acknowledge(&script.Op{Kind: script.SyncLog})
	fs.SetHook(nil)
	if crashed == nil {
		crashed, allowed = fs.Crash(how), h.Allowed()
	}
	return crashed, allowed, nil
}
