package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// Kill ends processes that write. A round is one database that lives through
// several of them.
type Kill struct {
	// Dir holds the databases; the system's directory for temporary files where
	// it is empty. What a failed round leaves stays there.
	Dir string

	lie lie // of the children
}

// killsPerRound keeps a round below three seconds on a slow machine.
const killsPerRound = 12

// Needs says why the suite cannot run here, if it cannot.
func (k *Kill) Needs() error {
	if runtime.GOOS == "windows" || runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		return fmt.Errorf("skipped because the kill suite was made for signals, and %s has none", runtime.GOOS)
	}
	return nil
}

// Round makes a database, kills the processes that write to it, and judges what
// they leave.
func (k *Kill) Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	return inDirectory(ctx, k.Needs, k.Dir, seed, func(dir string) error {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := &round{
			dir: filepath.Join(dir, "db"), seed: seed, rng: rng, tally: tally, lie: k.lie,
			oracle: newOracle(seed, 1+rng.IntN(streamsMax), lossOfProcess),
		}
		for kills := 0; kills < killsPerRound && ctx.Err() == nil; {
			killed, err := r.killOnce(ctx)
			if err != nil {
				return err
			}
			kills += killed
		}
		tally.Add(ledger.Histories, 1)
		return nil
	})
}

// inDirectory runs a round in a directory of its own below parent, and removes that
// unless the round fails; then its error says where to look.
func inDirectory(
	ctx context.Context, needs func() error, parent string, seed uint64, round func(dir string) error,
) error {
	if err := needs(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "lightning-torture-")
	if err != nil {
		return err
	}
	if err := round(dir); err != nil && ctx.Err() == nil {
		return fmt.Errorf("seed %d: %w (what is left is in %s)", seed, err, dir)
	}
	return os.RemoveAll(dir)
}

// streamsMax is how many streams a history has at most.
const streamsMax = 4

// round is one database on its way through several ends.
type round struct {
	dir    string
	seed   uint64
	rng    *rand.Rand
	tally  *ledger.Tally
	oracle *oracle
	lie    lie
	lives  uint64
}

// killOnce lets the database live once, kills it and judges it. It returns how
// many children were killed.
func (r *round) killOnce(ctx context.Context) (int, error) {
	kills := 0
	for r.rng.IntN(4) == 0 { // recoveries that are cut short, too
		if err := r.killInOpen(ctx); err != nil || ctx.Err() != nil {
			return kills, err
		}
		kills++
	}
	j := r.job()
	j.Count = uint32(20+r.rng.IntN(180)) / uint32(len(r.oracle.streams))
	j.Close = r.rng.IntN(3) == 0
	how := r.chooseEnd(&j)
	e, err := runChild(ctx, j, how.hear)
	r.tally.Add(ledger.Operations, int64(e.ackCount()))
	if err != nil || ctx.Err() != nil {
		return kills, err
	}
	if e.exitCode == exitFailed {
		return kills, fmt.Errorf("life %d: the child failed: %s", j.Life, e.said)
	}
	kills++
	r.tally.Add(ledger.Kills, 1)
	if r.rng.IntN(4) == 0 {
		if err := r.killInOpen(ctx); err != nil || ctx.Err() != nil {
			return kills, err
		}
		kills++
	}
	if err := r.judge(ctx); err != nil {
		return kills, fmt.Errorf("life %d (%s): %w", j.Life, how, err)
	}
	return kills, nil
}

// job begins the job of the next life.
func (r *round) job() job {
	r.lives++
	return job{Dir: r.dir, Seed: r.seed, Life: r.lives, First: r.oracle.next(), Lie: r.lie}
}

// arm puts a random failpoint into the job.
func (r *round) arm(j *job) {
	points := Failpoints()
	point := points[r.rng.IntN(len(points))]
	j.Failpoint, j.Nth = point.Name, 1+r.rng.Int64N(int64(point.often))
	j.Moment = Moment(r.rng.IntN(int(moments)))
}

// killInOpen kills a child at a failpoint of its Open, or right after it.
func (r *round) killInOpen(ctx context.Context) error {
	j := r.job()
	j.OpenOnly = true
	r.arm(&j)
	j.Nth = 1 + (j.Nth-1)%8
	e, err := runChild(ctx, j, func(c *running, m message) error {
		if m.kind == saysDone {
			c.kill()
		}
		return nil
	})
	if err != nil || ctx.Err() != nil {
		return err
	}
	if e.exitCode == exitFailed {
		return fmt.Errorf("life %d: the child failed to open: %s", j.Life, e.said)
	}
	r.tally.Add(ledger.Kills, 1)
	return nil
}

// end is how the life of a child ends: at its failpoint, after so many
// acknowledgements, after some time, but at the latest when it has done all.
type end struct {
	oracle  *oracle
	job     job
	acks    int           // 0 for no such end
	after   time.Duration // 0 for no such end
	intrude bool          // try to open the database meanwhile

	seen int
}

func (e *end) String() string {
	switch {
	case e.job.Failpoint != "":
		return fmt.Sprintf("to be killed %v the %d. %s", e.job.Moment, e.job.Nth, e.job.Failpoint)
	case e.acks > 0:
		return fmt.Sprintf("killed after %d acknowledgements", e.acks)
	case e.after > 0:
		return fmt.Sprintf("killed after %v", e.after)
	}
	return "killed when it was done"
}

func (r *round) chooseEnd(j *job) *end {
	e := &end{oracle: r.oracle}
	switch at := r.rng.IntN(10); {
	case at < 5:
		r.arm(j)
	case at < 8:
		e.acks = 1 + r.rng.IntN(int(j.Count)*len(j.First))
		e.intrude = r.rng.IntN(3) == 0
		j.Close = j.Close && !e.intrude // or its lock would be free
	default:
		e.after = time.Duration(1+r.rng.IntN(30_000)) * time.Microsecond
	}
	e.job = *j
	return e
}

// hear follows a child and ends it.
func (e *end) hear(c *running, m message) error {
	switch m.kind {
	case saysOpened:
		e.oracle.opened(databaseOptions(e.job.Seed, e.job.Life).Durability)
		if e.after > 0 {
			clock.System.AfterFunc(e.after, c.kill)
		}
		if e.intrude {
			return e.tryToOpen()
		}
	case saysAcked:
		if err := e.oracle.ack(int(m.stream), m.n); err != nil {
			return err
		}
		if e.seen++; e.seen == e.acks {
			c.kill()
		}
	case saysDone:
		if !e.job.Close {
			c.kill()
		}
	case saysClosed:
		e.oracle.closed()
		c.kill()
	}
	return nil
}

// lockedWithin is how fast a second opener must be refused.
const lockedWithin = 5 * time.Second

// tryToOpen opens the database that the child has, which must fail at once.
func (e *end) tryToOpen() error {
	for _, readOnly := range []bool{false, true} {
		opts := databaseOptions(e.job.Seed, e.job.Life)
		opts.ReadOnly = readOnly
		start := clock.System.Now()
		db, err := lightning.Open(e.job.Dir, opts)
		if err == nil {
			err = db.Close()
			return fmt.Errorf("a second process opened the database (read-only: %v); closed again: %v", readOnly, err)
		}
		if !errors.Is(err, lightning.ErrLocked) {
			return fmt.Errorf("a second process that opens the database (read-only: %v) is told: %w", readOnly, err)
		}
		if took := clock.System.Now().Sub(start); took > lockedWithin {
			return fmt.Errorf("a second process was refused after %v (read-only: %v)", took, readOnly)
		}
	}
	return nil
}

// ackCount also counts for a child that could not be started.
func (e *ending) ackCount() int {
	if e == nil {
		return 0
	}
	return e.acks
}

// judge opens what is left, compares it with what must be there, and often
// writes some more.
func (r *round) judge(ctx context.Context) error {
	r.lives++
	opts := databaseOptions(r.seed, r.lives)
	how := r.rng.IntN(3)
	opts.ReadOnly = how == 0
	db, err := lightning.Open(r.dir, opts)
	if opts.ReadOnly && errors.Is(err, lightning.ErrNotDatabase) {
		opts.ReadOnly = false // the first open was cut short: there is nothing to read yet
		db, err = lightning.Open(r.dir, opts)
	}
	if err != nil {
		return fmt.Errorf("open after the end: %w", err)
	}
	err = r.oracle.judge(db)
	if err == nil && how == 1 {
		err = r.goOn(ctx, db, opts.Durability)
	}
	if closeErr := db.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close after the end: %w", closeErr)
	}
	if err == nil && how == 1 {
		r.oracle.closed()
	}
	return err
}

// goOn does some operations in this process.
func (r *round) goOn(ctx context.Context, db *lightning.DB, single lightning.Durability) error {
	first := r.oracle.next()
	p, err := newPerformer(db, r.seed, len(first))
	if err != nil {
		return err
	}
	r.oracle.opened(single)
	for i, n := range first {
		for last := n + uint32(r.rng.IntN(5)); n < last; n++ {
			if err := p.perform(ctx, i, n); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("the database does not go on: %w", err)
			}
			if err := r.oracle.ack(i, n); err != nil {
				return err
			}
		}
	}
	if err := r.oracle.judgeLive(db); err != nil {
		return err
	}
	r.tally.Add(ledger.Operations, int64(len(first)))
	return nil
}
