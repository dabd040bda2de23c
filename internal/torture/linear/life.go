package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

const (
	livesMax       = 4
	lifeOperations = 40 // of each client
	picturesMax    = 5
)

var errInjected = errors.New("injected")

// ending is how a life goes wrong.
type ending uint8

const (
	endClean ending = iota // only by power cuts, of which pictures are taken
	endFault               // a write or sync of the log or manifest fails
	endClose               // the database is closed while clients use it
	endings
)

// life is one opening of a database until it is closed, with clients at work.
// While they are, pictures are taken of what a crash would leave. Afterwards
// the answers are judged, every picture is opened and judged, and the next life
// goes on from one of them.
//
// The fields above mu are set before the clients start.
type life struct {
	scene
	ending  ending
	clients []*client
	disk    *memfs.FS
	// What the database holds at the beginning.
	state    []values
	sessions []int64
	fault    *faultfs.Armed
	cameras  []camera

	operations atomic.Int64 // of clients
	taken      atomic.Int64 // pictures begun

	mu       sync.Mutex
	pictures []*picture
}

// camera takes a picture when the clients have done so much, and the database
// does something of the given kinds, or anything if that takes long.
type camera struct {
	dueAt int64
	kinds vfs.OpKind
	crash memfs.CrashOptions
}

const patience = 15 // operations

func (c *camera) isDue(operations int64, op vfs.Op) bool {
	return operations >= c.dueAt && c.kinds.Has(op.Kind) || operations >= c.dueAt+patience
}

// picture is what a crash at some moment leaves.
type picture struct {
	disk *memfs.FS
	name string
	// The moment lies between these two times.
	after, before int64
	durableSeq    uint64 // what the database called durable before the moment
	// kept is the weakest durability whose acknowledged writes must be there.
	kept lightning.Durability
}

func runLives(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	rng := newRand(seed, 1)
	disk := memfs.New()
	state, sessions := make([]values, 1+rng.IntN(3)), make([]int64, 2+rng.IntN(6))
	for n := range int64(livesMax) {
		l := &life{disk: disk, state: state, sessions: sessions}
		if err := l.live(ctx, rng, n+1); err != nil {
			return fmt.Errorf("life %d: %w", n+1, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		next, found, err := l.judge(rng, tally)
		if err != nil {
			return fmt.Errorf("life %d: %w", n+1, err)
		}
		disk, state, sessions = next, found.state, found.sessions
	}
	return nil
}

// live opens the database, lets the clients work, and closes it.
func (l *life) live(ctx context.Context, rng *rand.Rand, number int64) error {
	l.ending = ending(rng.IntN(int(endings)))
	files := faultfs.New(l.disk)
	db, err := lightning.Open("db", options(rng, files))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	l.scene = scene{
		db: db, clock: new(atomic.Int64), families: len(l.state), life: number, sessions: true,
		durabilities: [][]lightning.Durability{
			{lightning.DurabilitySync},
			{lightning.DurabilitySync, lightning.DurabilityAsync},
			{lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync, lightning.DurabilityAsync, lightning.DurabilityAsync},
			{lightning.DurabilityAsync, lightning.DurabilityAsync, lightning.DurabilityAsync, lightning.DurabilityBuffered},
		}[rng.IntN(4)],
		allowed: l.allows, after: func() { l.operations.Add(1) },
	}
	l.planPictures(rng)
	seed := rng.Uint64()
	files.Add(faultfs.Rule{Kinds: vfs.OpMutations, Sticky: true, Before: func(op vfs.Op) {
		l.takePicture(op)
		jitter(seed, op)
	}})
	if l.ending == endFault {
		l.disk.SetSyncFailure([]memfs.SyncFailure{memfs.FailKeep, memfs.FailRevert}[rng.IntN(2)])
		l.fault = files.Add(faultfs.Rule{
			Kinds: vfs.OpAnySync | vfs.OpWrite, Name: []string{"*.wal", "*.wal", "*.manifest"}[rng.IntN(3)],
			Nth: 1 + rng.Int64N(60), Sticky: rng.IntN(2) == 0, Err: errInjected, Done: rng.IntN(2) == 0,
		})
	}
	if err := l.run(ctx, rng, seed); err != nil {
		return err
	}
	l.addLastPicture()
	return nil
}

// allows says which errors the way that a life ends explains.
func (l *life) allows(err error) bool {
	switch l.ending {
	case endFault:
		return errors.Is(err, errInjected)
	case endClose:
		return errors.Is(err, lightning.ErrClosed) || errors.Is(err, lightning.ErrLeaked)
	}
	return false
}

// run lets the clients work and closes the database, at the end or, if that is
// the ending, meanwhile.
func (l *life) run(ctx context.Context, rng *rand.Rand, seed uint64) error {
	inside, outside := newCrew(ctx), newCrew(ctx)
	w := &weather{db: l.db, allowed: l.allows}
	w.begin(outside, seed, 1+rng.IntN(2))
	closeDB := func() error {
		if err := l.db.Close(); err != nil && !l.allows(err) {
			return fmt.Errorf("close: %w", err)
		}
		return nil
	}
	if l.ending == endClose {
		l.closeAfter(outside, 1+rng.Int64N(int64(len(l.sessions))*lifeOperations), closeDB)
	}
	for i, session := range l.sessions {
		c := newClient(&l.scene, i, seed)
		c.session = session
		l.clients = append(l.clients, c)
		inside.start("life", func() error { return c.work(inside, lifeOperations) })
	}
	if err := outside.endAfter(inside.wait()); err != nil {
		return err
	}
	for _, c := range l.clients {
		if err := c.finishViews(true); err != nil {
			return err
		}
	}
	if l.ending == endClose {
		return nil
	}
	return closeDB()
}

// closeAfter has one of the crew close the database when the clients have done
// n operations, or at the end.
func (l *life) closeAfter(c *crew, n int64, closeDB func() error) {
	due := make(chan struct{})
	l.after = func() {
		if l.operations.Add(1) == n {
			close(due)
		}
	}
	c.start("close while in use", func() error {
		select {
		case <-due:
		case <-c.ctx.Done():
		}
		return closeDB()
	})
}

// planPictures draws when to crash and what of the unsynced bytes survives.
func (l *life) planPictures(rng *rand.Rand) {
	for range picturesMax {
		l.cameras = append(l.cameras, camera{
			dueAt: rng.Int64N(int64(len(l.sessions)) * lifeOperations),
			kinds: []vfs.OpKind{
				vfs.OpMutations, vfs.OpRename | vfs.OpRemove, vfs.OpAnySync, vfs.OpCreate,
			}[rng.IntN(4)],
			crash: memfs.CrashOptions{
				Keep: memfs.Policy(rng.IntN(3)), Seed: rng.Uint64(), Stale: rng.IntN(2) == 0,
			},
		})
	}
	slices.SortFunc(l.cameras, func(a, b camera) int { return int(a.dueAt - b.dueAt) })
}

// takePicture crashes, in the middle of what the database does, if it is time.
// It must not touch anything that a lock of the database guards.
func (l *life) takePicture(op vfs.Op) {
	n := l.taken.Load()
	if n == picturesMax || !l.cameras[n].isDue(l.operations.Load(), op) || !l.taken.CompareAndSwap(n, n+1) {
		return
	}
	o := l.cameras[n].crash
	p := &picture{
		name: fmt.Sprintf("crash before %v, keeping %v", op, keepName(o.Keep)),
		kept: lightning.DurabilitySync, durableSeq: l.db.DurableSeq(),
	}
	if o.Keep == memfs.KeepAll && l.ending != endFault {
		p.kept = lightning.DurabilityBuffered // as when the process is killed
	}
	p.after = l.clock.Add(1)
	p.disk = l.disk.Crash(o)
	p.before = l.clock.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pictures = append(l.pictures, p)
}

func keepName(keep memfs.Policy) string {
	return [...]string{memfs.KeepNone: "nothing", memfs.KeepAll: "all", memfs.KeepRandom: "some"}[keep]
}

// addLastPicture is that of the disk when the database is closed: all is there
// unless a write failed.
func (l *life) addLastPicture() {
	p := &picture{disk: l.disk, name: "closed", kept: lightning.DurabilityAsync}
	if l.ending == endFault {
		p.name, p.kept = "closed after a fault", lightning.DurabilitySync
	}
	p.after = l.clock.Add(1)
	p.before = l.clock.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pictures = append(l.pictures, p)
}
