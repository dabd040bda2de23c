package commit

import (
	"context"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/offheap"
)

// Durability says what a commit waits for.
type Durability uint8

// The levels, weakest first, so that a group of commits takes the largest.
const (
	Async    Durability = iota // nothing but its turn
	Buffered                   // the operating system has it
	Sync                       // it is on stable storage
)

// Env is what a Pipeline has done for a group, in this order. The leader calls it, but
// for Harden and Apply of groups in flight, which whoever lands them calls, and Foresee, which
// is called by anybody. Where a step
// of the leader fails for lack of space, it is done again for those of the group that add
// nothing.
type Env struct {
	// Memory accounts for large single writes; nil: they are on Go's heap.
	Memory *offheap.Accountant
	// Clock measures how long a sync takes.
	Clock clock.Clock
	// Admit says whether a request may be committed now.
	Admit func(b *batch.Batch) error
	// Validate says whether a request that has read something may be committed
	// behind those ahead of it in its group. Where it has a Decision it has that made; nothing
	// is in flight then.
	Validate func(r *Request, ahead []*Request) error
	// Foresee makes a Decision as of now, but for its Write, before it stands in line.
	Foresee func(x *Decision) error
	// Join takes the room for a group behind those in flight, which are being made durable
	// or applied meanwhile. It returns false where that takes more than to count: then
	// MakeRoom is called, when they have landed.
	Join func(g *Group) bool
	// MakeRoom waits until there is room for a group. Nothing is in flight. It fails with
	// ErrGivenUp where Group.Until has ended its waiting.
	MakeRoom func(g *Group) error
	// WriteLog writes a group to the log and makes it as durable as it asks. Nothing is in
	// flight, and Apply follows.
	WriteLog func(g *Group) error
	// Append writes a group that is to fly to the log's buffer.
	Append func(g *Group) error
	// Harden makes everything that was appended as durable as d says. After a failure
	// everything later fails.
	Harden func(d Durability) error
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
	DeletesRanges bool       // whether a record is a range delete
	// Large is set by MakeRoom: the group goes into no memtable, and does not fly.
	Large bool
	Flown bool // whether it was in flight: Append and Harden were called, and not WriteLog

	patience []context.Context // of the members that may give up, while the group waits: see Until
}

// fill makes it the group of some requests, behind the number last.
func (g *Group) fill(members []*Request, last base.SeqNum) {
	*g = Group{Payloads: g.Payloads[:0], patience: g.patience[:0]}
	if len(members) == 1 {
		g.Sole = members[0].Batch
	}
	for _, r := range members {
		if r.ctx != nil && r.ctx.Done() != nil {
			g.patience = append(g.patience, r.ctx)
		}
		g.Payloads = append(g.Payloads, r.Batch.Bytes())
		g.Records += r.Batch.Len()
		g.SizeBytes += int64(r.Batch.SizeBytes())
		g.MemtableBytes += r.Batch.MemtableBytes()
		g.Durability = max(g.Durability, r.Durability)
		g.Merges = g.Merges || r.Batch.Merges()
		g.Expires = g.Expires || r.Batch.Expires()
		g.Adds = g.Adds || r.Batch.Adds()
		g.DeletesRanges = g.DeletesRanges || r.Batch.DeletesRanges()
	}
	g.First, g.Last = last+1, last+base.SeqNum(g.Records)
}

// join makes it the group of flights that follow one another.
func (g *Group) join(batch []*flight) {
	*g = Group{First: batch[0].group.First, Flown: true, Payloads: g.Payloads[:0]}
	if len(batch) == 1 {
		g.Sole = batch[0].group.Sole
	}
	for _, f := range batch {
		o := &f.group
		g.Last = o.Last
		g.Payloads = append(g.Payloads, o.Payloads...)
		g.Records += o.Records
		g.SizeBytes += o.SizeBytes
		g.MemtableBytes += o.MemtableBytes
		g.Durability = max(g.Durability, o.Durability)
		g.Merges = g.Merges || o.Merges
		g.Expires = g.Expires || o.Expires
		g.Adds = g.Adds || o.Adds
	}
}
