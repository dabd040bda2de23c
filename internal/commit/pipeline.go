// Package commit brings commits into one order. It knows neither log nor
// memtable: what a group of commits needs done is behind Env, so that the
// order of the steps can be tested without a database.
package commit

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// Pipeline is the combining queue of commits. At any time at most one
// goroutine, the leader, has the turn: the end of the log, and the memtable while
// nothing is in flight. A committer that finds no leader becomes it and runs the whole
// path inline; others queue, and the leader takes all that wait as one group when it
// starts. When a group is done, leadership passes to the head of the queue before the
// group's members are woken.
//
// A group that asks for a sync does not keep the turn for it: it flies (see flights), and
// the next ones are validated and appended while the disk works. So does what comes
// behind one that flies, since groups become visible in the order of their numbers.
//
// Where nobody waits, one atomic word says whether there is a leader, and no lock is
// taken. While the turn is free the queue is empty; who queues says before that that the
// turn is wanted.
//
// The fields after mu are guarded by it; those of the block after that belong
// to the leader.
type Pipeline struct {
	env Env
	// pool is of *Request. It stands behind a pointer, because the runtime keeps
	// a used pool, and whatever it is a part of, until the second garbage
	// collection from then: a closed database would stay in memory. It belongs to
	// one database, because under testing/synctest the channels do.
	pool *sync.Pool

	leads ranked.Token[ranked.Leader]

	turn atomic.Uint32

	mu       ranked.Mutex[ranked.Queue]
	queue    []*Request
	groupEnd chan struct{} // is closed when the leader's group is done; nil: nobody waits for that

	group   []*Request
	live    []*Request // the members of group that are written
	write   Group
	lastSeq base.SeqNum // the newest sequence number given out

	flights flights

	Measures Measures
}

// Request is one commit on its way, or a function that wants to be alone on
// the write path.
type Request struct {
	Batch      *batch.Batch
	Durability Durability
	// Reads must still hold; nil: the batch is written whatever others have
	// written.
	Reads *view.ReadSet
	// Decision says what is written, which is of keyspace; nil: the batch.
	Decision *Decision
	keyspace *keyspace.Info

	exclusive func() error
	ctx       context.Context // ends its waiting in line; nil: nothing does
	err       error
	after     int64 // the flight that changes what was read, by its number; 0: none
	state     atomic.Uint32
	wake      chan struct{}
	own       batch.Batch // for single writes, so that they need no batch object
	flight    flight      // of the group that the committer leads
}

// The states of the turn.
const (
	turnFree   uint32 = iota
	turnTaken         // there is a leader
	turnWanted        // and somebody may wait in line
)

// The states of a queued request.
const (
	requestWaiting uint32 = iota
	requestParked         // the committer sleeps on wake
	requestLeads          // leadership was passed to the committer
	requestLands          // the committer, who has led, lands what is in flight
	requestDone
)

const (
	// groupMaxBytes bounds a group, so that the first of it does not wait long
	// for the last.
	groupMaxBytes = 1 << 20
	// spinLoads is how often a waiting committer looks at its state before it
	// sleeps. An asynchronous commit takes less time than a sleep and a wake-up.
	spinLoads = 300
	// ownBatchMaxBytes is the largest buffer that a pooled request keeps.
	ownBatchMaxBytes = 64 << 10
	// arenaFromBytes is the value from which a single write is encoded outside of Go's
	// heap: its buffer is not kept, and would be garbage of that size.
	arenaFromBytes = 1 << 20
)

// ErrSeqNumsUsedUp says that no more can ever be written.
var ErrSeqNumsUsedUp = errors.New("sequence numbers are used up")

// Init makes the pipeline ready. It is used in place and must not be copied.
func (p *Pipeline) Init(env Env) {
	p.env, p.pool = env, new(sync.Pool)
	p.flights.env, p.flights.measures = &p.env, &p.Measures
}

// LastSeq returns the newest sequence number given out. Only the leader may ask,
// and recovery, before anybody commits.
func (p *Pipeline) LastSeq() base.SeqNum { return p.lastSeq }

// Waiting returns how many requests stand in line behind the leader's group.
func (p *Pipeline) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// Advance notes that sequence numbers up to last were given out otherwise. What
// is said of LastSeq holds.
func (p *Pipeline) Advance(last base.SeqNum) { p.lastSeq = last }

func (p *Pipeline) newRequest() *Request {
	if r, ok := p.pool.Get().(*Request); ok {
		return r
	}
	return &Request{wake: make(chan struct{}, 1)}
}

// Commit writes a batch atomically, if what was read still holds; reads may be
// nil. The batch can be read and reset afterwards. If ctx, which may be nil, ends
// while the commit waits in line, for others to land, or for room, nothing is written; once it
// is in the log it goes on to the end.
func (p *Pipeline) Commit(ctx context.Context, b *batch.Batch, d Durability, reads *view.ReadSet) error {
	r := p.newRequest()
	r.Batch, r.Durability, r.Reads, r.ctx = b, d, reads, ctx
	err := p.Measures.submit(p, r)
	if r.after > 0 {
		// Who begins again sees what stood in his way, and does not meet it once more.
		_ = p.flights.await(ctx, r.after)
	}
	r.Batch, r.Reads, r.ctx, r.after = nil, nil, nil, 0
	p.pool.Put(r)
	return err
}

// Alone runs fn while no commit is in progress or in flight, as the leader. Of ctx the same is
// true as for Commit.
func (p *Pipeline) Alone(ctx context.Context, fn func() error) error {
	r := p.newRequest()
	r.exclusive, r.ctx = fn, ctx
	err := p.submit(r)
	r.exclusive, r.ctx = nil, nil
	p.pool.Put(r)
	return err
}

// AwaitGroup waits until the groups of commits that are under way or in flight now are
// done. Unlike Alone it holds nobody up.
func (p *Pipeline) AwaitGroup(ctx context.Context) error {
	if err := p.awaitTurn(ctx); err != nil {
		return err
	}
	return p.flights.await(ctx, p.flights.newest())
}

// awaitTurn waits until the leader of now, if there is one, has passed the turn on.
func (p *Pipeline) awaitTurn(ctx context.Context) error {
	if p.turn.Load() == turnFree {
		return nil
	}
	p.mu.Lock()
	if p.turn.Swap(turnWanted) == turnFree {
		p.turn.Store(turnFree)
		p.mu.Unlock()
		return nil
	}
	if p.groupEnd == nil {
		p.groupEnd = make(chan struct{})
	}
	end := p.groupEnd
	p.mu.Unlock()
	select {
	case <-end:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// CommitAsLeader writes a batch, as a group of its own. Only the leader may call
// it, in a function that Alone runs.
func (p *Pipeline) CommitAsLeader(b *batch.Batch, d Durability) error {
	if err := p.env.Admit(b); err != nil {
		return err
	}
	r := Request{Batch: b, Durability: d}
	_, err := p.commitGroup([]*Request{&r}, false)
	return err
}

// submit brings a request through the pipeline.
func (p *Pipeline) submit(r *Request) error {
	if r.ctx != nil && r.exclusive == nil && p.flights.busy.Load() && r.ctx.Done() != nil {
		// Once it is in the log it could not be given up any more.
		if err := p.flights.awaitLanding(r.ctx); err != nil {
			return err
		}
	}
	r.err = nil
	if p.turn.CompareAndSwap(turnFree, turnTaken) {
		p.group = append(p.group[:0], r)
	} else if !p.lead(r) {
		return r.err
	}
	p.leads.Enter()
	flies := p.runGroup()
	p.leads.Leave()
	if flies {
		p.fly(r)
	} else {
		p.finish()
	}
	if p.env.Behind() {
		runtime.Gosched()
	}
	return r.err
}

// lead waits in line. It returns true once the request's committer is the leader, and has
// its group, and false if another one has committed it.
func (p *Pipeline) lead(r *Request) bool {
	r.state.Store(requestWaiting)
	p.mu.Lock()
	if p.turn.Swap(turnWanted) != turnFree {
		p.queue = append(p.queue, r)
		p.mu.Unlock()
		if p.await(r, spinLoads) == requestDone {
			return false
		}
		p.mu.Lock()
	}
	p.takeGroup(r)
	if len(p.queue) == 0 && p.groupEnd == nil {
		p.turn.Store(turnTaken)
	}
	p.mu.Unlock()
	return true
}

// await waits until the request is done or its committer must lead or land. Before it
// sleeps it looks some times.
func (p *Pipeline) await(r *Request, spins int) uint32 {
	if r.exclusive != nil || runtime.GOMAXPROCS(0) == 1 {
		spins = 0
	}
	for range spins {
		if s := r.state.Load(); s != requestWaiting {
			return s
		}
	}
	if !r.state.CompareAndSwap(requestWaiting, requestParked) {
		return r.state.Load()
	}
	if r.ctx == nil {
		<-r.wake
		return r.state.Load()
	}
	select {
	case <-r.wake:
	case <-r.ctx.Done():
		if p.withdraw(r) {
			r.err = context.Cause(r.ctx)
			return requestDone
		}
		<-r.wake // its turn has come
	}
	return r.state.Load()
}

// withdraw takes a request out of the line. It returns false if it is not there any
// more.
func (p *Pipeline) withdraw(r *Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.queue, r)
	if i < 0 {
		return false
	}
	p.queue = slices.Delete(p.queue, i, i+1)
	return true
}

// signal moves a queued request to its next state and wakes its committer.
func (r *Request) signal(state uint32) {
	if r.state.Swap(state) == requestParked {
		r.wake <- struct{}{}
	}
}

// takeGroup makes the group of the leader's request: itself and those at the
// head of the queue that can go with it. The caller holds p.mu.
func (p *Pipeline) takeGroup(leader *Request) {
	p.group = append(p.group[:0], leader)
	if leader.exclusive != nil {
		return
	}
	size := leader.sizeBytes()
	n := 0
	for ; n < len(p.queue); n++ {
		r := p.queue[n]
		if r.exclusive != nil {
			break
		}
		if size += r.sizeBytes(); size > groupMaxBytes {
			break
		}
		p.group = append(p.group, r)
	}
	p.dequeue(n)
}

// dequeue takes n requests off the queue. The caller holds p.mu.
func (p *Pipeline) dequeue(n int) {
	if n > 0 {
		rest := copy(p.queue, p.queue[n:])
		clear(p.queue[rest:])
		p.queue = p.queue[:rest]
	}
}

// finish hands leadership on and wakes the group. The group slice belongs to
// the next leader from the moment it is signalled, so it is emptied first.
func (p *Pipeline) finish() {
	var few [8]*Request
	members := append(few[:0], p.group[1:]...)
	forget(p.group)
	var next *Request
	if !p.turn.CompareAndSwap(turnTaken, turnFree) {
		next = p.next()
	}
	for _, r := range members {
		r.signal(requestDone)
	}
	if next != nil {
		next.signal(requestLeads)
	}
}

// next takes the request that leads next off the queue. If there is none, the turn is free.
func (p *Pipeline) next() *Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groupEnd != nil {
		close(p.groupEnd)
		p.groupEnd = nil
	}
	if len(p.queue) == 0 {
		p.turn.Store(turnFree)
		return nil
	}
	next := p.queue[0]
	p.dequeue(1)
	return next
}

// fly has the leader pass the turn on, while its group flies, and lands that if it is
// its turn to. It returns when the group has landed.
func (p *Pipeline) fly(r *Request) {
	lands := p.flights.launch(p.group)
	forget(p.group)
	p.group = p.group[:1]
	p.finish()
	if lands || p.await(r, 0) == requestLands {
		p.flights.land(r)
	}
}

// runGroup commits the leader's group and sets the error of each member, or says that it
// flies.
func (p *Pipeline) runGroup() (flies bool) {
	if leader := p.group[0]; leader.exclusive != nil {
		if leader.err = p.flights.drain(leader.ctx); leader.err == nil {
			leader.err = leader.exclusive()
		}
		return false
	}
	for {
		flies, err := runMembers(p, p.group)
		if !errors.Is(err, ErrGivenUp) || !letGo(p) {
			return flies
		}
	}
}

// admit says whether a request may be committed behind those of its group that are live.
func (r *Request) admit(p *Pipeline, live []*Request) error {
	if err := p.env.Admit(r.Batch); err != nil {
		return err
	}
	// A batch that writes to a dropped keyspace would leave keys that nobody
	// can reach; drops are alone in the pipeline, so this look is exact.
	if err := r.Batch.CheckKeyspaces(); err != nil {
		return err
	}
	switch {
	case r.Decision != nil:
		// It looks at what is visible, and at its group.
		if err := p.flights.drain(r.ctx); err != nil {
			return err
		}
		r.own.Reset() // it may have been made before, in a group that was given up
		r.own.Touch(r.keyspace)
		return p.env.Validate(r, live)
	case r.Reads != nil:
		return p.flights.validate(r, live)
	}
	return nil
}

// runMembers commits those of a group that have no error yet, and sets the error of each, or
// says that they fly. It returns ErrGivenUp, and has set no errors by that, if a member did not
// want to wait.
func runMembers(p *Pipeline, group []*Request) (flies bool, err error) {
	live := p.live[:0]
	for _, r := range group {
		if r.err != nil {
			continue
		}
		if r.err = r.admit(p, live); r.err == nil {
			live = append(live, r)
		}
	}
	p.live = live
	defer forget(live)
	if len(live) == 0 {
		return false, nil
	}
	flies, err = p.commitGroup(live, true)
	if errors.Is(err, ErrGivenUp) {
		return false, err
	}
	if err == nil {
		p.Measures.commits.Add(uint64(len(live)))
	}
	if err != nil {
		failBehind(group, err)
	}
	if err != nil && errors.Is(err, vfs.ErrNoSpace) {
		all := len(live)
		if live = setAside(live, err); 0 < len(live) && len(live) < all {
			flies, err = p.commitGroup(live, true)
		}
	}
	if errors.Is(err, ErrGivenUp) {
		return false, err
	}
	if err != nil {
		for _, r := range live {
			r.err = err
		}
	}
	if flies {
		group[0].flight.board(&p.write, group, live)
	}
	return flies, err
}

// forget lets go of what a group had. Most groups are of one, and a call to clear that costs
// as much as to queue it.
func forget[T any](s []T) {
	if len(s) == 1 {
		var none T
		s[0] = none
		return
	}
	clear(s)
}

// setAside gives those of a group that add data an error, and returns the others, in
// the same memory: deletes do not share the fate of what they happened to come with. Who
// has one already, since it rests on others, goes with them.
func setAside(group []*Request, err error) []*Request {
	return slices.DeleteFunc(group, func(r *Request) bool {
		if r.Batch.Adds() {
			r.err = err
		}
		return r.err != nil
	})
}

// commitGroup brings some requests of a group into the log, makes that as durable as the
// strictest member asks, applies the batches to the memtable and publishes them, in this
// order: nobody can read a synced write that a crash could take back. Where the group may
// fly, and does, all but the first step are left to its landing.
func (p *Pipeline) commitGroup(members []*Request, mayFly bool) (flies bool, err error) {
	g := &p.write
	g.fill(members, p.lastSeq)
	defer func() {
		forget(g.patience)
		g.patience = g.patience[:0]
		if !flies {
			forget(g.Payloads)
		}
	}()
	if g.Last > base.SeqNumMax {
		return false, ErrSeqNumsUsedUp
	}
	joins := p.flights.count.Load() > 0 && p.env.Join(g)
	if !joins {
		if err := p.flights.drainFor(g); err != nil {
			return false, err
		}
		if err := p.env.MakeRoom(g); err != nil {
			return false, err
		}
	}
	if joins || mayFly && g.Durability == Sync && !g.Large {
		if err := p.env.Append(g); err != nil {
			return false, err
		}
		p.lastSeq = g.Last
		return true, nil
	}
	if err := p.env.WriteLog(g); err != nil {
		return false, err
	}
	p.lastSeq = g.Last
	return false, p.env.Apply(g)
}
