package commit

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/view"
)

// flight is a group that is in the log and not visible yet. It is a part of its leader's
// request, and of the leader until it is launched; then of flights until it has landed.
type flight struct {
	group   Group
	members []*Request // all of the group, the leader first
	live    []*Request // those of them that are written

	// What its leader lands, if it is his turn to.
	batch   []*flight
	landing Group
}

// board puts a group that is in the log into the flight. What was in memory of the flight
// goes back to where the group came from.
func (f *flight) board(g *Group, members, live []*Request) {
	f.group, *g = *g, Group{Payloads: f.group.Payloads[:0], patience: g.patience}
	f.group.patience = nil
	f.members = append(f.members[:0], members...)
	f.live = append(f.live[:0], live...)
}

// empty lets go of everything.
func (f *flight) empty() {
	forget(f.group.Payloads)
	forget(f.members)
	forget(f.live)
	f.group = Group{Payloads: f.group.Payloads[:0]}
	f.members, f.live = f.members[:0], f.live[:0]
}

// flights are the groups that are in the log and not visible yet, in the order of their
// numbers. The leader launches them. One goroutine at a time, the leader of the first of
// them, lands all that are there: one sync makes them durable, they are applied as one
// group and become visible at once, and their committers are woken. So while one sync
// runs, what the next one will cover is validated and appended. Where a landing fails, so
// do all later ones, and nothing of them becomes visible.
//
// Who lands has the memtable to himself: the leader leaves it alone while anything is in
// flight, or waits until nothing is.
//
// A sync does not begin at once where several committers were woken by the last one:
// most of them come back with their next write, and would wait for the sync after this
// one, so that each sync served half of them. They are let run first, but for no longer
// than a part of what a sync takes.
//
// The fields after mu are guarded by it; those of the block after that belong to who
// lands, and change hands under mu.
type flights struct {
	env      *Env
	measures *Measures
	count    atomic.Int32 // how many there are; only the leader makes it more
	// busy says whether some of them are on the way to the disk or the memtable, so that who
	// comes now goes with the next ones. Written under mu.
	busy atomic.Bool

	mu       ranked.Mutex[ranked.Flights]
	list     []*flight
	aboard   int // how many commits are in the list
	landing  bool
	launched int64         // how many ever were
	landed   chan struct{} // is closed at the end of the next landing; nil: nobody waits for that
	boarders int           // who waits for that to commit then

	lands    ranked.Token[ranked.Landing]
	failure  error
	expected int // how many commits may come before the next sync; 0: nobody is waited for
	syncTook time.Duration
}

const (
	// returnYields is how often the others are let run before a sync and nobody comes.
	returnYields = 64
	// returnShare is the part of what a sync takes for which they are let run.
	returnShare = 2
)

// launch adds the group that its leader has boarded. It returns whether he lands it, and
// otherwise he will be told to, or that it has landed.
func (fs *flights) launch(group []*Request) (lands bool) {
	leader := group[0]
	leader.state.Store(requestWaiting)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = append(fs.list, &leader.flight)
	fs.aboard += len(leader.flight.live)
	fs.launched++
	fs.count.Store(int32(len(fs.list)))
	lands = !fs.landing
	fs.landing = true
	return lands
}

// validate says whether a request that has read something may be committed behind what is
// in flight and those ahead of it in its group. What lands meanwhile is visible to Env, so
// nothing is missed.
func (fs *flights) validate(r *Request, ahead []*Request) error {
	after, err := fs.against(r.Reads)
	if err != nil {
		r.after = after
		return err
	}
	return fs.env.Validate(r, ahead)
}

// against reports a write in flight to something that was read, and the number of that
// flight. The batches stay as they are meanwhile, because those to whom they belong are
// woken later.
func (fs *flights) against(reads *view.ReadSet) (flight int64, err error) {
	if fs.count.Load() == 0 {
		return 0, nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.list {
		for _, r := range f.live {
			if err := reads.Against(r.Batch); err != nil {
				return fs.launched - int64(len(fs.list)-1-i), err
			}
		}
	}
	return 0, nil
}

// newest returns the number of the newest flight, which are counted from 1 on.
func (fs *flights) newest() int64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.launched
}

// drain has the leader wait until nothing is in flight, unless ctx, which may be nil, ends.
func (fs *flights) drain(ctx context.Context) error {
	if fs.count.Load() == 0 {
		return nil
	}
	return fs.await(ctx, fs.newest())
}

// awaitLanding has a commit wait for the end of the landing that is under way, if there is
// one. It goes with the next one then, as if it had not waited.
func (fs *flights) awaitLanding(ctx context.Context) error {
	fs.mu.Lock()
	if !fs.busy.Load() {
		fs.mu.Unlock()
		return nil
	}
	fs.boarders++
	landed := fs.end()
	fs.mu.Unlock()
	select {
	case <-landed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await waits until the flights up to the one of a number have landed. ctx may be nil.
func (fs *flights) await(ctx context.Context, number int64) error {
	var ended <-chan struct{}
	if ctx != nil {
		ended = ctx.Done()
	}
	for {
		landed := fs.nextLanding(number)
		if landed == nil {
			return nil
		}
		select {
		case <-landed:
		case <-ended:
			return context.Cause(ctx)
		}
	}
}

// nextLanding returns what is closed at the end of the next landing, or nil if the flights
// up to the one of a number have landed.
func (fs *flights) nextLanding(number int64) <-chan struct{} {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.launched-int64(len(fs.list)) >= number {
		return nil
	}
	return fs.end()
}

// end returns what is closed at the end of the next landing. The caller holds fs.mu.
func (fs *flights) end() <-chan struct{} {
	if fs.landed == nil {
		fs.landed = make(chan struct{})
	}
	return fs.landed
}

// land lands all that is in flight, of which the first has own as its leader.
func (fs *flights) land(own *Request) {
	f := &own.flight
	fs.lands.Enter()
	fs.awaitReturns()
	f.batch = fs.take(f.batch)
	f.landing.join(f.batch)
	if fs.failure == nil {
		fs.failure = fs.perform(&f.landing)
	}
	err := fs.failure
	fs.lands.Leave()
	next := fs.remove(f, err)
	wake(f.batch, own)
	if next != nil {
		next.signal(requestLands)
	}
	forget(f.batch)
	forget(f.landing.Payloads)
	f.batch, f.landing = f.batch[:0], Group{Payloads: f.landing.Payloads[:0]}
	f.empty()
}

// awaitReturns lets those run who were woken by the last landing.
func (fs *flights) awaitReturns() {
	if fs.expected < 2 {
		return
	}
	start := fs.env.Clock.Now()
	before := 0
	for yields := 0; yields < returnYields; yields++ {
		fs.mu.Lock()
		aboard := fs.aboard
		fs.mu.Unlock()
		if aboard >= fs.expected {
			return
		}
		if aboard > before {
			before, yields = aboard, 0
		}
		runtime.Gosched()
		if fs.env.Clock.Now().Sub(start) >= fs.syncTook/returnShare {
			return
		}
	}
}

// take returns all that is in flight, in memory of into.
func (fs *flights) take(into []*flight) []*flight {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.busy.Store(true)
	return append(into[:0], fs.list...)
}

// perform makes what is landing durable and then visible.
func (fs *flights) perform(g *Group) error {
	start := fs.env.Clock.Now()
	if err := fs.env.Harden(g.Durability); err != nil {
		return err
	}
	if g.Durability == Sync {
		fs.syncTook = fs.env.Clock.Now().Sub(start)
		fs.measures.syncs.Record(int64(fs.syncTook))
	}
	return fs.env.Apply(g)
}

// remove takes what has landed out of the list, with the error that all of it gets. It
// returns who lands next.
func (fs *flights) remove(f *flight, err error) (next *Request) {
	commits := 0
	for _, other := range f.batch {
		commits += len(other.live)
		if err == nil {
			continue
		}
		for _, r := range other.live {
			r.err = err
		}
		failBehind(other.members, err)
	}
	fs.measures.served.Record(int64(commits))
	fs.mu.Lock()
	defer fs.mu.Unlock()
	left := copy(fs.list, fs.list[len(f.batch):])
	clear(fs.list[left:])
	fs.list = fs.list[:left]
	fs.expected, fs.boarders = fs.aboard+fs.boarders, 0
	fs.aboard -= commits
	fs.busy.Store(false)
	fs.count.Store(int32(left))
	if fs.landed != nil {
		close(fs.landed)
		fs.landed = nil
	}
	if fs.landing = left > 0; fs.landing {
		next = fs.list[0].members[0]
	}
	return next
}

// wake tells the committers of flights that these have landed, but for own, who knows. A
// flight belongs to its leader again when he is told, so he is the last.
func wake(batch []*flight, own *Request) {
	for _, f := range batch {
		leader := f.members[0]
		for _, r := range f.members[1:] {
			r.signal(requestDone)
		}
		if leader != own {
			f.empty()
			leader.signal(requestDone)
		}
	}
}
