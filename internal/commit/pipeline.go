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
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// Durability says what a commit waits for.
type Durability uint8

// The levels, weakest first, so that a group of commits takes the largest.
const (
	Async    Durability = iota // nothing but its turn
	Buffered                   // the operating system has it
	Sync                       // it is on stable storage
)

// Env is what a Pipeline has done for a group, in this order. The leader alone
// calls it, so no two calls overlap; only Foresee is called by anybody. Where a step fails for lack of space, it is done
// again for those of the group that add nothing.
type Env struct {
	// Memory accounts for large single writes; nil: they are on Go's heap.
	Memory *offheap.Accountant
	// Admit says whether a request may be committed now.
	Admit func(b *batch.Batch) error
	// Validate says whether a request that has read something may be committed
	// behind those ahead of it in its group. Where it has a Decision it has that made.
	Validate func(r *Request, ahead []*Request) error
	// Foresee makes a Decision as of now, but for its Write, before it stands in line.
	Foresee func(x *Decision) error
	// MakeRoom waits until there is room for a group.
	MakeRoom func(g *Group) error
	// WriteLog writes a group to the log and makes it as durable as it asks.
	WriteLog func(g *Group) error
	// Apply makes a group visible to readers.
	Apply func(g *Group) error
	// Behind says whether work that commits cause waits for a processor. It is asked
	// when the turn has been passed on, by who has led.
	Behind func() bool
}

// Group is what is committed together.
type Group struct {
	First, Last base.SeqNum
	Payloads    [][]byte // encoded batches
	// Sole is the batch of a group of one.
	Sole      *batch.Batch
	Records   int
	SizeBytes int64
	// MemtableBytes bounds what the records take in a memtable.
	MemtableBytes int64
	Durability    Durability // what the strictest member asks
	Merges        bool       // whether a record is a merge operand
	Expires       bool       // whether a record expires
	Adds          bool       // whether a record is more than a delete
}

// Pipeline is the combining queue of commits. At any time at most one
// goroutine, the leader, writes the log and the memtable. A committer that
// finds no leader becomes it and runs the whole path inline; others queue, and
// the leader takes all that wait as one group when it starts, so that one
// write and one sync serve many. When a group is done, leadership passes to
// the head of the queue before the group's members are woken.
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
}

// Request is one commit on its way, or a function that wants to be alone on
// the write path.
type Request struct {
	Batch      *batch.Batch
	Durability Durability
	// Reads must still hold; nil: the batch is written whatever others have
	// written.
	Reads *view.ReadSet
	// Decision says what is written; nil: the batch.
	Decision *Decision

	exclusive func() error
	ctx       context.Context // ends its waiting in line; nil: nothing does
	err       error
	state     atomic.Uint32
	wake      chan struct{}
	own       batch.Batch // for single writes, so that they need no batch object
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
func (p *Pipeline) Init(env Env) { p.env, p.pool = env, new(sync.Pool) }

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
// while the commit waits in line, nothing is written; once its turn has come it goes
// on to the end.
func (p *Pipeline) Commit(ctx context.Context, b *batch.Batch, d Durability, reads *view.ReadSet) error {
	r := p.newRequest()
	r.Batch, r.Durability, r.Reads, r.ctx = b, d, reads, ctx
	err := p.submit(r)
	r.Batch, r.Reads, r.ctx = nil, nil, nil
	p.pool.Put(r)
	return err
}

// Alone runs fn while no commit is in progress, as the leader. Of ctx the same is
// true as for Commit.
func (p *Pipeline) Alone(ctx context.Context, fn func() error) error {
	r := p.newRequest()
	r.exclusive, r.ctx = fn, ctx
	err := p.submit(r)
	r.exclusive, r.ctx = nil, nil
	p.pool.Put(r)
	return err
}

// AwaitGroup waits until the group of commits that is under way now, if there is one, is
// done. Unlike Alone it holds nobody up.
func (p *Pipeline) AwaitGroup(ctx context.Context) error {
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
	return p.commitGroup([]*Request{&r})
}

// submit brings a request through the pipeline.
func (p *Pipeline) submit(r *Request) error {
	r.err = nil
	if p.turn.CompareAndSwap(turnFree, turnTaken) {
		p.group = append(p.group[:0], r)
	} else if !p.lead(r) {
		return r.err
	}
	p.leads.Enter()
	p.runGroup(p.group)
	p.leads.Leave()
	p.finish()
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
		if p.await(r) == requestDone {
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

// await waits until the request is done or its committer must lead.
func (p *Pipeline) await(r *Request) uint32 {
	spins := spinLoads
	if r.exclusive != nil || r.Durability == Sync || runtime.GOMAXPROCS(0) == 1 {
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

// runGroup commits a group and sets the error of each member.
func (p *Pipeline) runGroup(group []*Request) {
	if fn := group[0].exclusive; fn != nil {
		group[0].err = fn()
		return
	}
	// A batch that writes to a dropped keyspace would leave keys that nobody
	// can reach; drops are alone in the pipeline, so this look is exact.
	live := p.live[:0]
	for _, r := range group {
		if r.err = p.env.Admit(r.Batch); r.err == nil {
			r.err = r.Batch.CheckKeyspaces()
		}
		if r.err == nil && (r.Reads != nil || r.Decision != nil) {
			r.err = p.env.Validate(r, live)
		}
		if r.err == nil {
			live = append(live, r)
		}
	}
	p.live = live
	defer forget(live)
	if len(live) == 0 {
		return
	}
	err := p.commitGroup(live)
	if err != nil {
		failBehind(group, err)
	}
	if err != nil && errors.Is(err, vfs.ErrNoSpace) {
		all := len(live)
		if live = setAside(live, err); 0 < len(live) && len(live) < all {
			err = p.commitGroup(live)
		}
	}
	if err != nil {
		for _, r := range live {
			r.err = err
		}
	}
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

// commitGroup writes the log, makes it as durable as the strictest member
// asks, applies the batches to the memtable and publishes them, in this order:
// nobody can read a synced write that a crash could take back.
func (p *Pipeline) commitGroup(members []*Request) error {
	g := &p.write
	*g = Group{Payloads: g.Payloads[:0]}
	if len(members) == 1 {
		g.Sole = members[0].Batch
	}
	for _, r := range members {
		g.Payloads = append(g.Payloads, r.Batch.Bytes())
		g.Records += r.Batch.Len()
		g.SizeBytes += int64(r.Batch.SizeBytes())
		g.MemtableBytes += r.Batch.MemtableBytes()
		g.Durability = max(g.Durability, r.Durability)
		g.Merges = g.Merges || r.Batch.Merges()
		g.Expires = g.Expires || r.Batch.Expires()
		g.Adds = g.Adds || r.Batch.Adds()
	}
	defer forget(g.Payloads)
	g.First, g.Last = p.lastSeq+1, p.lastSeq+base.SeqNum(g.Records)
	if g.Last > base.SeqNumMax {
		return ErrSeqNumsUsedUp
	}
	if err := p.env.MakeRoom(g); err != nil {
		return err
	}
	if err := p.env.WriteLog(g); err != nil {
		return err
	}
	p.lastSeq = g.Last
	return p.env.Apply(g)
}
