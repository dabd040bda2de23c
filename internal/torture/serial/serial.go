// Package serial tortures transactions and judges what they saw: is there one
// order, in agreement with real time, in which they could have run one after
// the other?
//
// Transactions append unique numbers to lists, and read lists, alone and in
// ranges (the list-append workload of Elle, Kingsbury and Alvaro, 2020). A list
// shows in which order its numbers came, so the history says who wrote before
// whom (ww), who read whose write (wr), and who wrote behind what somebody had
// read (rw); an absent key is an empty list, so phantoms are rw as well.
// Together with the order in real time (rt) these are the edges of a graph, and
// a circle in it is a proof that there is no such order (graph.go).
//
// A round runs one database through several lives; each ends in a power cut
// while transactions are under way, or in a Close. The next one goes on from
// what is left: transactions whose commit was not answered may be there or not,
// all others must be. Flushes and compactions go on meanwhile.
//
// The seed decides about all that is not the scheduler's, so a failure may take
// several runs of its seed to come again.
package serial

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const (
	keys            = 12
	livesMax        = 3
	clientsMax      = 6
	transactionsMax = 60 // of a client in a life
	opsMax          = 4
)

// outcome is what became of a transaction.
type outcome uint8

const (
	unknown   outcome = iota // the power was cut before its commit was answered
	committed                // and read
	refused                  // a conflict, or given up: nothing of it may be seen
)

// transaction is what one did. Times are those of the round's clock.
type transaction struct {
	id         int
	client     int
	begin, end int64
	outcome    outcome
	ops        []op
}

// op is a read of a list, followed by an append to it if number is not 0.
type op struct {
	key    int
	seen   []uint64
	number uint64
}

func (t *transaction) String() string {
	s := fmt.Sprintf("T%d (client %d, %d to %d)", t.id, t.client, t.begin, t.end)
	for _, o := range t.ops {
		s += fmt.Sprintf("\n    k%02d %v", o.key, o.seen)
		if o.number != 0 {
			s += fmt.Sprintf(" append %d", o.number)
		}
	}
	return s
}

// round is one database through its lives.
type round struct {
	clock   atomic.Int64
	numbers atomic.Uint64
	history []*transaction // of the lives that have ended
}

// Round runs one round. It returns nil when ctx ends, too.
func Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	r := &round{}
	if err := r.run(ctx, rand.New(rand.NewPCG(seed, 7)), tally); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serial, seed %d: %w", seed, err)
	}
	return nil
}

func (r *round) run(ctx context.Context, rng *rand.Rand, tally *ledger.Tally) error {
	disk := memfs.New()
	for range 1 + rng.IntN(livesMax) {
		next, err := r.live(ctx, rng, disk, tally)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		disk = next
	}
	final, err := r.lists(rng, disk)
	if err != nil {
		return err
	}
	tally.Add(ledger.Histories, 1)
	tally.Add(ledger.Operations, int64(len(r.history)))
	return judge(r.history, final)
}

// options make every structure fill soon.
func options(rng *rand.Rand, disk *memfs.FS) *lightning.Options {
	return &lightning.Options{
		FS: disk, MemoryBudget: 4 << 20,
		Tree: lightning.TreeOptions{
			MemtableBytes: 64 << 10, FileBytes: 16 << 10, BlockBytes: 512, L0Files: 1 + rng.IntN(4),
		},
	}
}

// live opens the database, lets clients work, and returns the disk that the
// next life begins with.
func (r *round) live(
	ctx context.Context, rng *rand.Rand, disk *memfs.FS, tally *ledger.Tally,
) (next *memfs.FS, err error) {
	db, err := lightning.Open("db", options(rng, disk))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	l := &life{round: r, db: db, cutAt: -1}
	count := 1 + rng.IntN(clientsMax)
	each := 1 + rng.IntN(transactionsMax)
	if rng.IntN(4) > 0 {
		l.cutAt = int64(rng.IntN(count * each))
	}
	l.crash = memfs.CrashOptions{Seed: rng.Uint64(), Keep: memfs.Policy(rng.IntN(3))}
	l.disk = disk
	stop := l.moveFiles(ctx, rng.Uint64())
	var wg sync.WaitGroup
	for c := range count {
		client := &client{life: l, number: c, rng: rand.New(rand.NewPCG(rng.Uint64(), uint64(c)))}
		wg.Go(func() { client.work(ctx, each) })
	}
	wg.Wait()
	stop()
	if err := errors.Join(l.failure, db.Close()); err != nil {
		return nil, err
	}
	next = disk
	if l.picture != nil {
		next = l.picture
		tally.Add(ledger.States, 1)
	}
	r.history = append(r.history, l.survivors()...)
	return next, nil
}

// life is one opening of the database, with clients at work.
type life struct {
	round *round
	db    *lightning.DB
	disk  *memfs.FS
	cutAt int64 // the power is cut when so many transactions have ended; -1: never
	crash memfs.CrashOptions
	ended atomic.Int64

	mu      sync.Mutex
	done    []*transaction
	picture *memfs.FS // of the disk at the power cut, taken between two ticks
	cut     int64     // the tick before it
	after   int64     // the tick after it; clients may have ticked in between
	failure error
}

// moveFiles flushes and compacts until stop is called.
func (l *life) moveFiles(ctx context.Context, seed uint64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		rng := rand.New(rand.NewPCG(seed, 0))
		for ctx.Err() == nil {
			if rng.IntN(3) == 0 {
				_ = l.db.Compact(ctx, nil, nil)
			} else {
				_ = l.db.Flush(ctx)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// finished notes a transaction, and cuts the power when it is time.
func (l *life) finished(t *transaction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = append(l.done, t)
	if l.ended.Add(1) == l.cutAt+1 && l.cutAt >= 0 {
		l.cut = l.round.clock.Add(1)
		l.picture = l.disk.Crash(l.crash)
		l.after = l.round.clock.Add(1)
	}
}

func (l *life) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		l.failure = err
	}
}

// survivors returns the transactions that the next life can know of. One that
// was answered while the picture was taken counts as not answered.
func (l *life) survivors() []*transaction {
	if l.picture == nil {
		return l.done
	}
	out := l.done[:0]
	for _, t := range l.done {
		switch {
		case t.begin > l.after:
			continue // in a future that did not come
		case t.end > l.cut && t.outcome == committed:
			t.outcome = unknown
			t.end = l.after // if it is there, it was before the next life
		}
		out = append(out, t)
	}
	return out
}

// client runs one transaction after the other.
type client struct {
	life   *life
	number int
	rng    *rand.Rand
	gets   int
}

func (c *client) work(ctx context.Context, count int) {
	for range count {
		if ctx.Err() != nil {
			return
		}
		if err := c.transact(); err != nil {
			c.life.fail(err)
			return
		}
	}
}

// transact runs one transaction and notes it.
func (c *client) transact() error {
	r := c.life.round
	t := &transaction{client: c.number, begin: r.clock.Add(1), outcome: refused}
	readOnly := c.rng.IntN(8) == 0
	tx, err := c.life.db.Begin(lightning.TxOptions{ReadOnly: readOnly})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for range 1 + c.rng.IntN(opsMax) {
		if err := c.step(t, tx, readOnly); err != nil {
			tx.Rollback()
			if errors.Is(err, lightning.ErrConflict) || errors.Is(err, lightning.ErrDeadlock) {
				c.note(t, refused)
				return nil
			}
			return err
		}
	}
	if c.rng.IntN(12) == 0 {
		tx.Rollback()
		c.note(t, refused)
		return nil
	}
	switch err := tx.Commit(); {
	case err == nil:
		c.note(t, committed)
	case errors.Is(err, lightning.ErrConflict):
		c.note(t, refused)
	default:
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (c *client) note(t *transaction, o outcome) {
	t.outcome, t.end = o, c.life.round.clock.Add(1)
	c.life.finished(t)
}

func keyOf(n int) []byte { return fmt.Appendf(nil, "k%02d", n) }

// step does one thing in a transaction.
func (c *client) step(t *transaction, tx *lightning.Tx, readOnly bool) error {
	key := c.rng.IntN(keys)
	switch n := c.rng.IntN(10); {
	case n < 3:
		return c.scan(t, tx, key, min(key+1+c.rng.IntN(5), keys))
	case n < 5 || readOnly:
		seen, err := read(c.getter(tx), key)
		t.ops = append(t.ops, op{key: key, seen: seen})
		return err
	case n == 9:
		return c.add(t, tx, tx.GetForUpdate, key)
	default:
		return c.add(t, tx, tx.Get, key)
	}
}

// getter is a way to get a key: by turns, so that nothing is drawn for it.
func (c *client) getter(tx *lightning.Tx) func(key []byte) ([]byte, error) {
	if c.gets++; c.gets%2 == 0 {
		return tx.Get
	}
	return func(key []byte) (found []byte, err error) {
		err = tx.MultiGet([][]byte{key}, func(_ int, value []byte, err error) error {
			found = slices.Clone(value)
			return err
		})
		return found, err
	}
}

func read(get func([]byte) ([]byte, error), key int) ([]uint64, error) {
	value, err := get(keyOf(key))
	if errors.Is(err, lightning.ErrNotFound) {
		return nil, nil
	}
	return decode(value), err
}

// add appends a new number to a list.
func (c *client) add(t *transaction, tx *lightning.Tx, get func([]byte) ([]byte, error), key int) error {
	seen, err := read(get, key)
	if err != nil {
		return err
	}
	number := c.life.round.numbers.Add(1)
	t.ops = append(t.ops, op{key, seen, number})
	return tx.Put(keyOf(key), encode(append(slices.Clone(seen), number)))
}

// scan reads the lists of a range of keys, in one of both directions.
func (c *client) scan(t *transaction, tx *lightning.Tx, from, to int) error {
	found := map[string][]uint64{}
	o := lightning.ScanOptions{Reverse: c.rng.IntN(2) == 0}
	o.Lower, o.Upper = keyOf(from), keyOf(to)
	err := tx.Scan(o, func(rows iter.Seq2[[]byte, []byte]) error {
		for key, value := range rows {
			found[string(key)] = decode(value)
		}
		return nil
	})
	for key := from; key < to; key++ {
		t.ops = append(t.ops, op{key: key, seen: found[string(keyOf(key))]})
	}
	return err
}

func encode(list []uint64) (value []byte) {
	for _, n := range list {
		value = binary.BigEndian.AppendUint64(value, n)
	}
	return value
}

func decode(value []byte) (list []uint64) {
	for ; len(value) >= 8; value = value[8:] {
		list = append(list, binary.BigEndian.Uint64(value))
	}
	return list
}

// lists opens the database a last time and reads everything.
func (r *round) lists(rng *rand.Rand, disk *memfs.FS) (final [][]uint64, err error) {
	db, err := lightning.Open("db", options(rng, disk))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	for key := range keys {
		list, err := read(db.Get, key)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		final = append(final, list)
	}
	return final, db.Close()
}
