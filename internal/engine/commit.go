package engine

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/ranked"
)

// pipeline is the combining queue of commits. At any time at most one
// goroutine, the leader, writes the log and the memtable. A committer that
// finds no leader becomes it and runs the whole path inline; others queue, and
// the leader takes all that wait as one group when it starts, so that one
// write and one sync serve many. When a group is done, leadership passes to
// the head of the queue before the group's members are woken.
//
// The fields after mu are guarded by it; those of the block after that belong
// to the leader, and flushPending to all.
type pipeline struct {
	// pool is of *request. It stands behind a pointer, because the runtime keeps
	// a used pool, and whatever it is a part of, until the second garbage
	// collection from then: a closed database would stay in memory.
	pool *sync.Pool

	mu    ranked.Mutex[ranked.Queue]
	busy  bool
	queue []*request

	leads    ranked.Token[ranked.Leader]
	group    []*request
	live     []*request // the members of group that are written
	payloads [][]byte
	// hotWrites are the hashes of the keys that the hot-record cache knows to
	// be written.
	hotWrites []uint64
	lastSeq   base.SeqNum // the newest sequence number given out
	merged    []byte      // what an operand comes to, before it is in the memtable
	joinFloor base.SeqNum // operands that are not newer are not joined: see DB.joins

	flushPending atomic.Bool // whether a delayed flush of the log is under way
	flushTimer   clock.Timer // of the last one; nil before the first
}

// request is one commit on its way, or a function that wants to be alone on
// the write path.
type request struct {
	batch      *Batch
	durability Durability
	check      *Check // nil: the batch is written whatever others have written
	exclusive  func() error

	err   error
	state atomic.Uint32
	wake  chan struct{}
	own   Batch // for single writes, so that they need no batch object
}

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
)

var errSeqNumsUsedUp = errors.New("sequence numbers are used up")

// newRequest returns a request from the pipeline's pool. The pool belongs to
// one database, because under testing/synctest the channels do.
func (p *pipeline) newRequest() *request {
	if r, ok := p.pool.Get().(*request); ok {
		return r
	}
	return &request{wake: make(chan struct{}, 1)}
}

// Set writes one key of a keyspace.
func (db *DB) Set(k *KeyspaceInfo, prefix, key, value []byte, d Durability) error {
	r := db.newSingle(k)
	err := r.own.Set(prefix, key, value)
	return db.submitSingle(r, d, err)
}

// SetExpiring writes one key of a keyspace that counts as absent from expiry on.
func (db *DB) SetExpiring(k *KeyspaceInfo, prefix, key, value []byte, expiry base.Instant, d Durability) error {
	r := db.newSingle(k)
	err := r.own.SetExpiring(prefix, key, value, expiry)
	return db.submitSingle(r, d, err)
}

// Delete removes one key of a keyspace.
func (db *DB) Delete(k *KeyspaceInfo, prefix, key []byte, d Durability) error {
	r := db.newSingle(k)
	err := r.own.Delete(prefix, key)
	return db.submitSingle(r, d, err)
}

// DeleteRange removes the internal keys in [lo, hi), all of one keyspace.
func (db *DB) DeleteRange(k *KeyspaceInfo, lo, hi []byte, d Durability) error {
	r := db.newSingle(k)
	err := r.own.DeleteRange(lo, hi)
	return db.submitSingle(r, d, err)
}

func (db *DB) newSingle(k *KeyspaceInfo) *request {
	r := db.pipeline.newRequest()
	r.own.Reset()
	r.own.Touch(k)
	return r
}

func (db *DB) submitSingle(r *request, d Durability, err error) error {
	if err == nil {
		r.batch, r.durability = &r.own, d
		err = db.submit(r)
	}
	r.batch = nil
	if cap(r.own.buf) > ownBatchMaxBytes {
		r.own = Batch{}
	}
	db.pipeline.pool.Put(r)
	return err
}

// Commit writes a batch atomically. The batch can be read and reset afterwards.
func (db *DB) Commit(b *Batch, d Durability) error {
	if b.Len() == 0 {
		return db.writable()
	}
	r := db.pipeline.newRequest()
	r.batch, r.durability = b, d
	err := db.submit(r)
	r.batch = nil
	db.pipeline.pool.Put(r)
	return err
}

// alone runs fn while no commit is in progress.
func (db *DB) alone(fn func() error) error {
	r := db.pipeline.newRequest()
	r.exclusive = fn
	err := db.submit(r)
	r.exclusive = nil
	db.pipeline.pool.Put(r)
	return err
}

// submit brings a request through the pipeline.
func (db *DB) submit(r *request) error {
	r.err = nil
	r.state.Store(requestWaiting)
	p := &db.pipeline
	p.mu.Lock()
	if p.busy {
		p.queue = append(p.queue, r)
		p.mu.Unlock()
		if r.await() == requestDone {
			return r.err
		}
		p.mu.Lock()
	}
	p.busy = true
	p.takeGroup(r)
	p.mu.Unlock()

	p.leads.Enter()
	db.runGroup(p.group)
	p.finish(r)
	return r.err
}

// await waits until the request is done or its committer must lead.
func (r *request) await() uint32 {
	spins := spinLoads
	if r.durability == Sync || r.exclusive != nil || runtime.GOMAXPROCS(0) == 1 {
		spins = 0
	}
	for range spins {
		if s := r.state.Load(); s != requestWaiting {
			return s
		}
	}
	if r.state.CompareAndSwap(requestWaiting, requestParked) {
		<-r.wake
	}
	return r.state.Load()
}

// signal moves a queued request to its next state and wakes its committer.
func (r *request) signal(state uint32) {
	if r.state.Swap(state) == requestParked {
		r.wake <- struct{}{}
	}
}

// takeGroup makes the group of the leader's request: itself and those at the
// head of the queue that can go with it.
func (p *pipeline) takeGroup(leader *request) {
	p.group = append(p.group[:0], leader)
	if leader.exclusive != nil {
		return
	}
	size := leader.batch.SizeBytes()
	n := 0
	for ; n < len(p.queue); n++ {
		r := p.queue[n]
		if r.exclusive != nil {
			break
		}
		if size += r.batch.SizeBytes(); size > groupMaxBytes {
			break
		}
		p.group = append(p.group, r)
	}
	p.dequeue(n)
}

func (p *pipeline) dequeue(n int) {
	if n > 0 {
		rest := copy(p.queue, p.queue[n:])
		clear(p.queue[rest:])
		p.queue = p.queue[:rest]
	}
}

// finish hands leadership on and wakes the group. The group slice belongs to
// the next leader from the moment it is signalled, so it is emptied first.
func (p *pipeline) finish(leader *request) {
	var few [8]*request
	members := append(few[:0], p.group[1:]...)
	clear(p.group)
	p.leads.Leave()
	p.mu.Lock()
	var next *request
	if len(p.queue) > 0 {
		next = p.queue[0]
		p.dequeue(1)
	} else {
		p.busy = false
	}
	p.mu.Unlock()
	for _, r := range members {
		r.signal(requestDone)
	}
	if next != nil {
		next.signal(requestLeads)
	}
}

// runGroup commits a group and sets the error of each member.
func (db *DB) runGroup(group []*request) {
	if fn := group[0].exclusive; fn != nil {
		group[0].err = fn()
		return
	}
	// A batch that writes to a dropped keyspace would leave keys that nobody
	// can reach; drops are alone in the pipeline, so this look is exact.
	live := db.pipeline.live[:0]
	for _, r := range group {
		if r.err = r.batch.droppedKeyspace(); r.err == nil {
			r.err = db.validate(r, live)
		}
		if r.err == nil {
			live = append(live, r)
		}
	}
	db.pipeline.live = live
	defer clear(live)
	if len(live) == 0 {
		return
	}
	if err := db.commitGroup(live); err != nil {
		for _, r := range live {
			r.err = err
		}
	}
}

// commitGroup writes the log, makes it as durable as the strictest member
// asks, applies the batches to the memtable and publishes them, in this order:
// nobody can read a synced write that a crash could take back.
func (db *DB) commitGroup(group []*request) error {
	var bytes, memBytes int64
	count := 0
	durability := Async
	payloads := db.pipeline.payloads[:0]
	for _, r := range group {
		memBytes += r.batch.memBytes
		count += r.batch.Len()
		durability = max(durability, r.durability)
		payloads = append(payloads, r.batch.buf)
		bytes += int64(r.batch.SizeBytes())
		if r.batch.expiring {
			db.timeline.used.Store(true)
		}
	}
	db.pipeline.payloads = payloads
	defer clear(payloads)
	if err := db.writable(); err != nil {
		return err
	}
	db.pause(bytes)
	first := db.pipeline.lastSeq + 1
	last := db.pipeline.lastSeq + base.SeqNum(count)
	if last > base.SeqNumMax {
		return errSeqNumsUsedUp
	}
	large := db.isLarge(count, bytes)
	if err := db.makeRoom(memBytes, large); err != nil {
		return err
	}
	if err := db.writeLog(first, last, payloads, durability); err != nil {
		return err
	}
	db.pipeline.lastSeq = last
	if large {
		return db.applyLarge(payloads, first, last)
	}
	if slices.ContainsFunc(group, func(r *request) bool { return r.batch.merging }) {
		defer db.beginJoins()()
	}
	defer db.endHotWrites()
	if err := db.apply(payloads, first); err != nil {
		return db.poison("memtable", err)
	}
	invariant.Yield()
	db.publish(last)
	invariant.Yield()
	return nil
}

// publish lets readers see everything up to last, and wakes the feeds that wait
// for it; one load where none does.
func (db *DB) publish(last base.SeqNum) {
	db.visible.Store(uint64(last))
	db.feeds.wake()
}

// beginHotWrite tells the hot-record cache of a record that is about to be
// applied.
func (db *DB) beginHotWrite(r *batchReader) {
	if db.hot == nil {
		return
	}
	if r.kind == base.KindRangeDelete {
		db.hot.BeginAll()
		return
	}
	hash := base.Hash(r.key)
	db.hot.BeginWrite(hash)
	db.pipeline.hotWrites = append(db.pipeline.hotWrites, hash)
	invariant.Yield()
}

// endHotWrites tells it that they are visible, or will never be.
func (db *DB) endHotWrites() {
	if db.hot == nil {
		return
	}
	for _, hash := range db.pipeline.hotWrites {
		db.hot.EndWrite(hash)
	}
	invariant.Yield()
	db.pipeline.hotWrites = db.pipeline.hotWrites[:0]
	db.hot.EndAll()
}

// writeLog appends a group and brings it where its durability asks. After an
// error nothing is known about what a crash would leave of it.
func (db *DB) writeLog(first, last base.SeqNum, payloads [][]byte, d Durability) error {
	if _, err := db.log.Append(first, last, payloads...); err != nil {
		if db.log.Failure() == nil {
			db.makeSpace(err)
			return fmt.Errorf("append to the log: %w", err) // nothing was written
		}
		return db.poison("log", err)
	}
	var err error
	switch d {
	case Sync:
		err = db.log.Sync()
	case Flush:
		err = db.log.Flush()
	default:
		db.flushLogLater()
	}
	if err != nil {
		return db.poison("log", err)
	}
	return nil
}

// apply puts the records into the memtable. There is room for them.
func (db *DB) apply(payloads [][]byte, first base.SeqNum) error {
	mem := db.state.Load().mem.table
	seq := first
	for _, payload := range payloads {
		r := batchReader{rest: payload}
		for {
			ok, err := r.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			db.beginHotWrite(&r)
			switch r.kind {
			case base.KindRangeDelete:
				err = mem.AddRangeDelete(r.key, r.value, seq)
			case base.KindMerge:
				err = db.addOperand(mem, r.key, r.value, seq)
			default:
				err = mem.Add(r.key, base.MakeTrailer(seq, r.kind), r.value)
			}
			if err != nil {
				return err
			}
			seq++
		}
	}
	return nil
}

// poison records the first failed write of the log, the manifest or the
// directory. From then
// on reads go on and every write gets the same error: after a failed sync
// nobody knows what is on the disk, so nothing may be built on it.
//
// A log or manifest that Close has closed did not fail: the caller was late.
func (db *DB) poison(what string, err error) error {
	if errors.Is(err, base.ErrClosed) {
		return base.ErrClosed
	}
	f := &failure{fmt.Errorf("writes are refused after a failed %s write: %w", what, err)}
	if db.failure.CompareAndSwap(nil, f) {
		db.opts.Logger.Error("database refuses writes", "cause", what, "err", err)
		db.mu.Lock()
		db.broadcast()
		db.mu.Unlock()
		db.feeds.wake()
	}
	return db.failure.Load().err
}
