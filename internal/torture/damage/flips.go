package damage

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// Round does one round of the suite: it changes each byte of one slice of the
// tape, worse things to the sectors that begin there, and goes
// through some lines of the table of files gone astray. Everything follows from
// the seed but the ids and salts of the specimens.
func Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	all, err := specimens()
	if err != nil {
		return err
	}
	runs := tape(all)
	r := round{
		rng: rand.New(rand.NewPCG(seed, 0xf11b5)), seed: seed, tally: tally, pass: seed / fullPass(runs),
	}
	slice := cut(runs, int64(seed%fullPass(runs))*sliceBytes, sliceBytes)
	for _, part := range slice {
		if err := r.flips(ctx, part); err != nil {
			return err
		}
		if err := r.worse(ctx, part); err != nil {
			return err
		}
	}
	return r.astray(ctx)
}

// round is one call of Round; one goroutine has it.
type round struct {
	rng   *rand.Rand
	seed  uint64
	pass  uint64 // how often the tape was done before
	tally *ledger.Tally
}

// An edit changes one byte of a file into another.
type edit struct {
	at    int64
	value byte
}

// How often a flip is also made in a database that is opened for writing, which
// costs several times as much; and how often in one that is asked everything.
const (
	writeEvery     = 128
	wholeEvery     = 128
	writeMetaEvery = 4 // where the file is no table
)

// flips changes each byte of a part of the tape in turn.
func (r *round) flips(ctx context.Context, part run) error {
	fsys := flip(part.specimen.image, part.file)
	for at := part.lo; at < part.hi; at += part.step {
		if ctx.Err() != nil {
			return nil
		}
		e := r.changed(at, fsys.content[at])
		if err := r.flip(part.specimen, fsys, []edit{e}); err != nil {
			return err
		}
	}
	return nil
}

// changed returns another value for a byte. The passes over the tape take turns
// in how much of it they change, and every other one flips a single bit.
func (r *round) changed(at int64, old byte) edit {
	flipped := old ^ 1<<r.rng.IntN(8)
	switch r.pass % 6 {
	case 1:
		flipped = 0
	case 3:
		flipped = 0xff
	case 5:
		for flipped = old; flipped == old; {
			flipped = old ^ 1<<r.rng.IntN(8) ^ 1<<r.rng.IntN(8) ^ 1<<r.rng.IntN(8)
		}
	}
	if flipped == old {
		flipped = ^old
	}
	return edit{at, flipped}
}

// flip makes edits, inspects, and takes them back.
func (r *round) flip(s *specimen, fsys *flippedFS, edits []edit) error {
	for i, e := range edits {
		edits[i].value, fsys.content[e.at] = fsys.content[e.at], e.value
	}
	defer func() {
		for _, e := range edits {
			fsys.content[e.at] = e.value
		}
	}()
	lo, hi := int64(len(fsys.content)), int64(0)
	for _, e := range edits {
		lo, hi = min(lo, e.at), max(hi, e.at+1)
	}
	scope, err := s.scope(fsys.file, lo, hi)
	if err != nil {
		return err
	}
	in := inspection{
		specimen: s, mount: fsys.mounted, damaged: []string{fsys.file}, scope: scope,
		allowed: s.allowed(s.image.with(fsys.file, fsys.content)),
		whole:   r.rng.IntN(wholeEvery) == 0,
	}
	r.tally.Add(ledger.Flips, int64(len(edits)))
	if err := r.inspect(&in); err != nil {
		return r.failed(s, fsys.file, edits, in.write, err)
	}
	often := writeEvery
	if kind(fsys.file) != kindTable {
		often = writeMetaEvery
	}
	if r.rng.IntN(often) > 0 {
		return nil
	}
	in.write, in.whole, in.compact = true, r.rng.IntN(4) == 0, r.rng.IntN(4) == 0
	in.mount = s.withFile(fsys.file, fsys.content)
	if err := r.inspect(&in); err != nil {
		return r.failed(s, fsys.file, edits, in.write, err)
	}
	return nil
}

// inspect runs an inspection and counts how it ended, so that the books show how
// often damage was found, and where.
func (r *round) inspect(in *inspection) error {
	got, err := in.run()
	if err == nil {
		r.tally.Add("damaged databases "+got.String(), 1)
	}
	return err
}

func (r *round) failed(s *specimen, file string, edits []edit, write bool, err error) error {
	what := ""
	for _, e := range edits {
		what += fmt.Sprintf(", byte %d changed from %#x", e.at, e.value)
	}
	return fmt.Errorf("damage, seed %d: specimen %q, %s%s, opened for writing %v: %w",
		r.seed, s.name, file, what, write, err)
}
