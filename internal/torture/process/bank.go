package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// Bank kills processes whose goroutines move money between accounts. Each
// transfer is a transaction, which also counts itself: afterwards the sum must be
// what it was, every transfer that was acknowledged must be counted, and at most
// one more of each goroutine.
type Bank struct {
	// Dir holds the databases. See Kill.
	Dir string
}

const (
	bankAccounts   = 16
	bankStart      = 1_000
	bankTellersMax = 4
)

// Needs says why the suite cannot run here, if it cannot.
func (b *Bank) Needs() error { return new(Kill).Needs() }

// Round kills the tellers of one bank several times.
func (b *Bank) Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	return inDirectory(ctx, b.Needs, b.Dir, seed, func(dir string) error {
		rng := rand.New(rand.NewPCG(seed, 3))
		r := &bankRound{
			round: round{dir: filepath.Join(dir, "db"), seed: seed, rng: rng, tally: tally},
			acked: make([]uint32, 1+rng.IntN(bankTellersMax)),
		}
		for kills := 0; kills < killsPerRound && ctx.Err() == nil; kills++ {
			if err := r.killOnce(ctx); err != nil {
				return err
			}
		}
		tally.Add(ledger.Histories, 1)
		return nil
	})
}

// bankRound is one bank. acked is how many transfers of each teller are known
// to have been done.
type bankRound struct {
	round
	acked []uint32
}

// killOnce lets the tellers work, kills them, and counts the money.
func (r *bankRound) killOnce(ctx context.Context) error {
	r.lives++
	j := job{Dir: r.dir, Seed: r.seed, Life: r.lives, First: append([]uint32(nil), r.acked...), Bank: true}
	j.Count = uint32(20 + r.rng.IntN(200))
	acks, after := 0, time.Duration(0)
	switch at := r.rng.IntN(10); {
	case at < 4:
		r.arm(&j)
	case at < 8:
		acks = 1 + r.rng.IntN(int(j.Count)*len(j.First))
	default:
		after = time.Duration(1+r.rng.IntN(30_000)) * time.Microsecond
	}
	e, err := runChild(ctx, j, func(c *running, m message) error {
		switch m.kind {
		case saysOpened:
			if after > 0 {
				clock.System.AfterFunc(after, c.kill)
			}
		case saysAcked:
			if m.n != r.acked[m.stream] {
				return fmt.Errorf("teller %d acknowledges transfer %d after %d", m.stream, m.n, r.acked[m.stream])
			}
			r.acked[m.stream]++
			if acks--; acks == 0 {
				c.kill()
			}
		case saysDone:
			c.kill()
		}
		return nil
	})
	r.tally.Add(ledger.Operations, int64(e.ackCount()))
	if err != nil || ctx.Err() != nil {
		return err
	}
	if e.exitCode == exitFailed {
		return fmt.Errorf("life %d: the tellers failed: %s", j.Life, e.said)
	}
	r.tally.Add(ledger.Kills, 1)
	return r.audit()
}

// audit counts the money and the transfers.
func (r *bankRound) audit() (err error) {
	r.lives++
	db, err := lightning.Open(r.dir, bankOptions(r.seed, r.lives))
	if err != nil {
		return fmt.Errorf("open after the end: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *lightning.Tx) error {
		sum, count, err := bankSum(tx)
		if err != nil {
			return err
		}
		if count != 0 && (count != bankAccounts || sum != bankAccounts*bankStart) {
			return fmt.Errorf("%d accounts hold %d, not %d", count, sum, bankAccounts*bankStart)
		}
		for i, acked := range r.acked {
			done, err := bankNumber(tx, tellerKey(i))
			if err != nil {
				return err
			}
			if done < uint64(acked) || done > uint64(acked)+1 {
				return fmt.Errorf("teller %d did %d transfers, and %d were acknowledged", i, done, acked)
			}
			r.acked[i] = uint32(done)
		}
		return nil
	})
}

// bankOptions are random ones that keep what is acknowledged through a kill.
func bankOptions(seed, life uint64) *lightning.Options {
	opts := databaseOptions(seed, life)
	if opts.Durability == lightning.DurabilityAsync {
		opts.Durability = lightning.DurabilityBuffered
	}
	return opts
}

func accountKey(n int) []byte { return fmt.Appendf(nil, "account/%02d", n) }
func tellerKey(n int) []byte  { return fmt.Appendf(nil, "teller/%02d", n) }

// bankNumber reads a number; 0 if it is not there.
func bankNumber(tx *lightning.Tx, key []byte) (uint64, error) {
	value, err := tx.Get(key)
	switch {
	case errors.Is(err, lightning.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(value) != 8:
		return 0, fmt.Errorf("%w: %s holds %x", errBroken, key, value)
	}
	return binary.BigEndian.Uint64(value), nil
}

func putBankNumber(tx *lightning.Tx, key []byte, n uint64) error {
	return tx.Put(key, binary.BigEndian.AppendUint64(nil, n))
}

func bankSum(tx *lightning.Tx) (sum uint64, accounts int, err error) {
	o := lightning.ScanOptions{IterOptions: lightning.IterOptions{Prefix: []byte("account/")}}
	err = tx.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for _, value := range rows {
			sum += binary.BigEndian.Uint64(value)
			accounts++
		}
		return nil
	})
	return sum, accounts, err
}

// bank is the child's work: it opens the accounts, if there are none, and lets
// the tellers move money. Now and then one of them counts it.
func (c *child) bank() error {
	err := c.db.Update(func(tx *lightning.Tx) error {
		_, accounts, err := bankSum(tx)
		if err != nil || accounts > 0 {
			return err
		}
		for n := range bankAccounts {
			if err := putBankNumber(tx, accountKey(n), bankStart); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open the accounts: %w", err)
	}
	errs := make([]error, len(c.First))
	var tellers sync.WaitGroup
	for i, first := range c.First {
		tellers.Go(func() {
			rng := rand.New(rand.NewPCG(c.Seed^c.Life, uint64(i)))
			for n := first; n < first+c.Count && errs[i] == nil; n++ {
				if errs[i] = c.transfer(rng, i, n); errs[i] == nil {
					c.say(message{saysAcked, uint8(i), n})
				}
			}
		})
	}
	tellers.Wait()
	return errors.Join(errs...)
}

// transfer moves some money and counts itself as the teller's n-th.
func (c *child) transfer(rng *rand.Rand, teller int, n uint32) error {
	from, to, amount := rng.IntN(bankAccounts), rng.IntN(bankAccounts), rng.Uint64N(100)
	lock, audit := rng.IntN(3) == 0, rng.IntN(20) == 0
	// Snapshot isolation is enough: a transfer writes all that it depends on.
	o := lightning.TxOptions{Isolation: lightning.Isolation(rng.IntN(2))}
	for {
		err := c.db.UpdateWith(o, func(tx *lightning.Tx) error {
			if lock {
				if _, err := tx.GetForUpdate(accountKey(from)); err != nil {
					return err
				}
			}
			if audit {
				sum, _, err := bankSum(tx)
				if err != nil {
					return err
				}
				if sum != bankAccounts*bankStart {
					return fmt.Errorf("%w: a transaction sees a sum of %d", errBroken, sum)
				}
			}
			if err := putBankNumber(tx, tellerKey(teller), uint64(n)+1); err != nil {
				return err
			}
			return move(tx, from, to, amount)
		})
		if !errors.Is(err, lightning.ErrConflict) && !errors.Is(err, lightning.ErrDeadlock) {
			return err
		}
	}
}

func move(tx *lightning.Tx, from, to int, amount uint64) error {
	a, err := bankNumber(tx, accountKey(from))
	if err != nil || a < amount || from == to {
		return err
	}
	b, err := bankNumber(tx, accountKey(to))
	if err != nil {
		return err
	}
	return errors.Join(
		putBankNumber(tx, accountKey(from), a-amount), putBankNumber(tx, accountKey(to), b+amount))
}
