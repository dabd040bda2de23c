package linear

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const (
	burstCount      = 12
	burstOperations = 40 // of each client
)

// runBursts lets clients work in bursts. Each burst is a history of its own:
// it begins with the values that the last one ended with, so that histories
// stay short however long the database lives.
func runBursts(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	rng := newRand(seed, 1)
	files := faultfs.New(memfs.New())
	opts := options(rng, files)
	opts.Durability = lightning.Durability(rng.IntN(3))
	db, err := lightning.Open("db", opts)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	files.Add(faultfs.Rule{Sticky: true, Before: func(op vfs.Op) { jitter(seed, op) }})
	s := &scene{
		db: db, clock: new(atomic.Int64), families: 1 + rng.IntN(3), life: 1,
		durabilities: []lightning.Durability{
			opts.Durability, lightning.Durability(rng.IntN(3)), lightning.Durability(rng.IntN(3)),
		},
		allowed: func(error) bool { return false },
	}
	clients := make([]*client, 2+rng.IntN(7))
	for i := range clients {
		clients[i] = newClient(s, i, seed)
	}
	w := &weather{db: db, allowed: s.allowed}
	outside := newCrew(ctx)
	w.begin(outside, seed, 1+rng.IntN(3))
	err = s.bursts(outside, clients, tally)
	if err = outside.endAfter(err); errors.Is(err, errBroken) {
		return err
	}
	for _, c := range clients {
		err = errors.Join(err, c.finishViews(true))
	}
	return errors.Join(err, db.Close())
}

func (s *scene) bursts(outside *crew, clients []*client, tally *ledger.Tally) error {
	state := make([]values, s.families)
	for burst := range burstCount {
		if outside.over() {
			return nil
		}
		c := newCrew(outside.ctx)
		for _, cl := range clients {
			c.start("burst", func() error { return cl.work(c, burstOperations) })
		}
		if err := c.wait(); err != nil {
			return fmt.Errorf("burst %d: %w", burst, err)
		}
		var history []*event
		for _, cl := range clients {
			if err := cl.finishViews(burst%2 == 1); err != nil {
				return fmt.Errorf("burst %d: %w", burst, err)
			}
			history = append(history, cl.events...)
			cl.events = nil
		}
		last, err := s.readAll(s.db)
		if err != nil {
			return fmt.Errorf("burst %d, at the end: %w", burst, err)
		}
		history = append(history, last...)
		if err := judge(history, state); err != nil {
			return fmt.Errorf("burst %d: %w", burst, err)
		}
		for f, e := range last {
			state[f] = e.values
		}
		tally.Add(ledger.Histories, int64(s.families))
		tally.Add(ledger.Operations, int64(len(history)))
	}
	return nil
}

// readAll reads every family of a database that nobody writes to, after all
// else on the clock.
func (s *scene) readAll(db *lightning.DB) ([]*event, error) {
	var out []*event
	for family := range s.families {
		e := &event{client: -1, family: family, name: "last read", mask: wholeMask}
		e.call = s.clock.Add(1)
		var err error
		if e.values, err = multiGet(db, family); err != nil {
			return nil, fmt.Errorf("family %d: %w", family, err)
		}
		if e.values[counterAt], err = readCounter(db, family); err != nil {
			return nil, fmt.Errorf("counter of family %d: %w", family, err)
		}
		e.ret = s.clock.Add(1)
		out = append(out, e)
	}
	return out, nil
}
