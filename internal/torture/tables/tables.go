// Package tables tortures tables and queues. One goroutine does random things to a table
// with a unique index, to an index that comes and goes, and to a queue, some of them in
// transactions that change both; rows expire, the schema gets a new version, indexes are
// built and rows migrated. The file system is the strict one in memory; before some of its
// operations the power is cut, and what is left is kept.
//
// Each of these pictures is opened, by the newest schema. It must hold what a model held
// after some step: not before the last one that was acknowledged as durable, not after the
// last that had begun; rows and messages of the same step. Rows and index entries must
// agree both ways, with their instants of expiry, before and after all indexes are built
// and all rows migrated. All messages that are ready can be claimed, once, and no other.
//
// A claim is not synced, so a power cut may take back those at the end; every later
// commit makes them durable. What is short-lived is in no model: it must be gone when
// its time is over.
package tables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/queue"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const (
	stepsMax    = 60
	picturesMax = 24 // of a round
	ids         = 12
	shortID     = 100 // ids from here on are of rows that live for a moment
	shortTTL    = 100 * time.Microsecond
	longTTL     = time.Hour
	attemptsMax = 2
)

// where a message is.
type where uint8

const (
	ready where = iota
	leased
	dead
)

// message is what the model keeps of one.
type message struct {
	where    where
	failures int
}

// state is what the database holds after a step. It is not changed once another one
// follows it.
type state struct {
	rows     map[int]row
	expiring map[int]bool // those of the rows that expire some day
	messages map[queue.ID]message
}

func (s *state) clone() *state {
	return &state{maps.Clone(s.rows), maps.Clone(s.expiring), maps.Clone(s.messages)}
}

// taken reports whether another row has a nick.
func (s *state) taken(r row) bool {
	for _, other := range s.rows {
		if other.Nick == r.Nick && other.ID != r.ID {
			return true
		}
	}
	return false
}

// picture is a disk after a power cut, and the steps of which it must hold one.
type picture struct {
	fs          *memfs.FS
	first, last int
	before      vfs.Op
}

// round is one database. Its steps are done by one goroutine; pictures are taken by
// whoever reaches the file system.
type round struct {
	rng     *rand.Rand
	disk    *memfs.FS
	db      *lightning.DB
	version int
	extra   bool
	name    int // place in names
	book    book
	queue   *queue.Queue
	jobs    map[queue.ID]*queue.Job

	mu       sync.Mutex
	states   []*state // of all steps; the last one may not be acknowledged yet
	durable  int      // the last step that a power cut must leave
	pictures []picture
	one      uint64 // of so many operations is a place for a picture
	cut      *rand.Rand
}

// Round runs one round. It returns nil when ctx ends, too.
func Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	rng := rand.New(rand.NewPCG(seed, 17))
	r := &round{
		rng: rng, disk: memfs.New(), jobs: map[queue.ID]*queue.Job{}, one: 1 + rng.Uint64N(12),
		cut:    rand.New(rand.NewPCG(seed, 18)),
		states: []*state{{map[int]row{}, map[int]bool{}, map[queue.ID]message{}}},
	}
	if err := r.run(ctx, tally); err != nil {
		return fmt.Errorf("tables, seed %d: %w", seed, err)
	}
	return nil
}

func options(disk *memfs.FS) *lightning.Options {
	return &lightning.Options{
		FS: disk, MemoryBudget: 4 << 20,
		Tree: lightning.TreeOptions{MemtableBytes: 64 << 10, FileBytes: 16 << 10, BlockBytes: 512},
	}
}

func openQueue(db *lightning.DB) (*queue.Queue, error) {
	return queue.Open(context.Background(), db, "jobs", &queue.Options{
		Visibility: longTTL, Attempts: attemptsMax, Backoff: func(int) time.Duration { return 1 },
	})
}

func (r *round) run(ctx context.Context, tally *ledger.Tally) (err error) {
	if r.db, err = lightning.Open("db", options(r.disk)); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err = r.openAll(); err == nil {
		r.disk.SetHook(r.takePicture)
		err = r.steps(ctx, tally)
		r.disk.SetHook(nil)
	}
	if err = errors.Join(err, r.db.Close()); err != nil {
		return err
	}
	last := len(r.states) - 1
	r.pictures = append(r.pictures, picture{r.disk, last, last, vfs.Op{}})
	for _, p := range r.pictures {
		if ctx.Err() != nil {
			return nil
		}
		if err := r.judge(p); err != nil {
			return fmt.Errorf("power cut before %v, steps %d to %d: %w", p.before, p.first, p.last, err)
		}
		tally.Add(ledger.States, 1)
	}
	return nil
}

func (r *round) openAll() (err error) {
	if r.book, err = openBook(r.db, names[r.name], r.version, r.extra); err != nil {
		return err
	}
	r.queue, err = openQueue(r.db)
	return err
}

// takePicture keeps what a power cut before an operation would leave, now and then.
func (r *round) takePicture(op vfs.Op) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !vfs.OpMutations.Has(op.Kind) || len(r.pictures) == picturesMax || r.cut.Uint64N(r.one) > 0 {
		return nil
	}
	how := memfs.CrashOptions{Seed: r.cut.Uint64(), Keep: memfs.Policy(r.cut.IntN(3))}
	r.pictures = append(r.pictures, picture{r.disk.Crash(how), r.durable, len(r.states) - 1, op})
	return nil
}

func (r *round) steps(ctx context.Context, tally *ledger.Tally) error {
	for n := range 1 + r.rng.IntN(stepsMax) {
		if ctx.Err() != nil {
			return nil
		}
		if err := r.step(); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
		tally.Add(ledger.Operations, 1)
	}
	return nil
}

// begin notes a step that is about to be done; change makes the state after it.
func (r *round) begin(change func(s *state)) {
	next := r.states[len(r.states)-1].clone()
	change(next)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, next)
}

// acknowledged notes that all steps so far are durable.
func (r *round) acknowledged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.durable = len(r.states) - 1
}

// now is the state after all steps so far.
func (r *round) now() *state { return r.states[len(r.states)-1] }
