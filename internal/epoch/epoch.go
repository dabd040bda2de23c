// Package epoch tells when memory that lock-free readers may still look at can
// be reclaimed.
//
// A reader brackets its work with Enter and Exit. A writer first unlinks an
// object, so that no reader can find it any more, then takes a Ticket from
// Now, and reclaims the object once Passed says so.
//
// # Structure
//
// A Domain has a global epoch G, which only grows, and two counters per
// stripe, one for each parity of the epoch. Enter loads G and adds one to the
// counter of that parity in a stripe picked by the caller's stack address;
// Exit takes one from the same counter. G moves from g to g+1 only after a
// scan, begun while G was g, that found the counter of parity g+1 (which is
// the parity of the previous epoch) at zero in every stripe at least once. An
// object whose ticket is h is reclaimed when G is at least h+3.
//
// # Why h+3, and why it is right
//
// Enter is two steps, and G may move any number of times between them. Such a
// late reader counts itself under a parity that has nothing to do with the
// epoch it runs in, so it does not help to argue about "the epoch of a
// reader". The argument is about counters only:
//
//  1. A reader that can see the object loaded the link before the unlink, so
//     its increment, which precedes the load, came before the unlink as well.
//     From then until its Exit one counter, of whichever parity, is above
//     zero.
//  2. Now loaded h after the unlink; so each move of G from h onwards ends
//     after the unlink. The scan for the move h -> h+1 may have begun before
//     the unlink and may have passed the reader's stripe before it came in;
//     it proves nothing. The scans for h+1 -> h+2 and for h+2 -> h+3 begin
//     when G is at least h+1, hence after the unlink.
//  3. Those two scans look at opposite parities. So by the time G is h+3
//     every counter of either parity was seen at zero at a moment after the
//     unlink. By 1 each reader that could see the object has left before the
//     moment its counter was seen at zero.
//
// With h+2 step 2 would need Enter to load G again after its increment and to
// start over if it moved. One more move of G costs a reclaimer nearly nothing,
// a second load and a loop would cost every reader, and without them Enter is
// wait-free.
//
// The steps order operations on different variables (increment then load of
// the link; unlink then load of the counter), which is why counters, G and
// also the link itself have to be sync/atomic variables: those are
// sequentially consistent in Go. They also give the happens-before edge from a
// reader's last access (Exit) to the reclaimer's first.
//
// G cannot be stalled by a stream of new readers: they count under the parity
// of the current epoch, and the scan looks at the other one, which only late
// readers touch. It is stalled by one reader that stays inside; guards must
// be brief.
//
// # Counting stays
//
// A counter of readers has more bits than readers need, and leaving it is an addition anyway:
// who leaves may add one to a count beside it, of found or of missed, for nothing. Reads that
// take 30 ns are counted exactly that way; a counter of their own, in whatever line, would cost each
// of them a tenth. The fields are small, and moved to larger ones before they run over, by one
// in SampleEvery of those who count: they are the ones that find the sum of the fields at a
// multiple of that, who also are the sample of which more may be asked, such as the time.
//
// All methods are safe for concurrent use.
package epoch

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/ranked"
)

const (
	stripeBits  = 6
	stripeCount = 1 << stripeBits

	// gracePeriod is how many moves of the epoch a retired object outlives;
	// see the package comment.
	gracePeriod = 3

	// Two lines of 64 bytes, since processors prefetch lines in pairs.
	paddedBytes = 128
)

// Ticket marks a moment in the life of a Domain.
type Ticket uint64

// Domain tracks the readers of a set of shared structures. The zero value is
// ready. It must not be copied after first use.
type Domain struct {
	global  atomic.Uint64
	_       [paddedBytes - 8]byte
	stripes [stripeCount]stripe
}

// stripe has a counter for each parity of the epoch. Both share a line because a
// goroutine uses only one of them at a time.
type stripe struct {
	counters [2]counter
	_        [paddedBytes - 2*counterBytes]byte
}

// counter counts the readers that are inside and found one parity of the epoch when they
// came, and the stays that were counted.
type counter struct {
	readers atomic.Uint64 // and in fields above them stays that were counted
	// The other stays that were counted, by how they ended; and what readers have noted.
	found, missed atomic.Uint64
	notes         [noteCount]atomic.Uint64
}

const counterBytes = 24 + 8*int(noteCount)

// The fields of a counter of readers. As many readers as fit cannot be inside: each is a
// goroutine with a stack of 2 KiB at least.
const (
	readerBits = 24
	countBits  = 20
	readerMask = 1<<readerBits - 1
	countMask  = 1<<countBits - 1
	oneFound   = 1 << readerBits
	oneMissed  = 1 << (readerBits + countBits)

	// SampleEvery is of how many counted stays one is in the sample.
	SampleEvery = 64
	// foldFrom is the sum from which on the fields are moved. Between two of the sample there
	// may be some more stays than SampleEvery, of those who come at the same time.
	foldFrom = 1 << 14
)

// Note is something that readers count while they are inside.
type Note int

// What is counted.
const (
	// NoteTree is a read that no cache of records has answered.
	NoteTree Note = iota
	noteCount
)

// Guard is one stay of a reader inside a Domain. It may be passed to another
// goroutine; Exit, or one of its kind, is called exactly once.
type Guard struct {
	counter *counter
}

// Enter begins a stay: objects that are found in the structures from now on
// stay intact until Exit. It is wait-free and does not allocate. Stays may
// nest.
func (d *Domain) Enter() Guard {
	index := Place() >> (placeBits - stripeBits)
	c := &d.stripes[index].counters[d.global.Load()&1]
	c.readers.Add(1)
	return Guard{c}
}

// EnterCounted is Enter for a stay that ends with ExitFound or ExitMissed. sampled says that it
// is in the sample.
func (d *Domain) EnterCounted() (g Guard, sampled bool) {
	index := Place() >> (placeBits - stripeBits)
	c := &d.stripes[index].counters[d.global.Load()&1]
	fields := c.readers.Add(1)
	return Guard{c}, counted(fields)%SampleEvery == 0
}

// counted is the sum of the fields of stays that were counted.
func counted(fields uint64) uint64 {
	return fields>>readerBits&countMask + fields>>(readerBits+countBits)
}

// ExitFound ends a counted stay that has found what it was there for.
func (g Guard) ExitFound() { g.leave(oneFound - 1) }

// ExitMissed ends a counted stay that has not.
func (g Guard) ExitMissed() { g.leave(oneMissed - 1) }

// Note counts something; the zero Guard counts nothing.
func (g Guard) Note(n Note) {
	if g.counter != nil {
		g.counter.notes[n].Add(1)
	}
}

// Fold moves the counts to where they have more room, if there are many. Those of the sample
// call it.
func (g Guard) Fold() {
	c := g.counter
	fields := c.readers.Load()
	for counted(fields) >= foldFrom {
		if c.readers.CompareAndSwap(fields, fields&readerMask) {
			c.found.Add(fields >> readerBits & countMask)
			c.missed.Add(fields >> (readerBits + countBits))
			return
		}
		fields = c.readers.Load()
	}
}

// Counts are the numbers of stays that were counted, and of what was noted.
type Counts struct {
	Found, Missed uint64
	Notes         [noteCount]uint64
}

// Counts adds up all stripes. While stays are being counted it may miss those of one move.
func (d *Domain) Counts() (sum Counts) {
	for i := range d.stripes {
		for j := range d.stripes[i].counters {
			c := &d.stripes[i].counters[j]
			fields := c.readers.Load()
			sum.Found += fields>>readerBits&countMask + c.found.Load()
			sum.Missed += fields>>(readerBits+countBits) + c.missed.Load()
			for n := range c.notes {
				sum.Notes[n] += c.notes[n].Load()
			}
		}
	}
	return sum
}

// placeBits is how many bits a place has.
const placeBits = 32

// Place returns a number that the calling goroutine mostly has to itself while it is
// running, for picking one of several places in memory. Its high bits are good.
func Place() uint64 {
	var marker byte
	// Only the number is used: stacks are at least 2 KiB apart. The pointer is never
	// followed, so it does not matter that a stack can move.
	stack := uint64(uintptr(unsafe.Pointer(&marker)))
	return (stack >> 11) * 0x9e3779b97f4a7c15 >> (64 - placeBits)
}

// Exit ends the stay.
func (g Guard) Exit() { g.leave(^uint64(0)) }

func (g Guard) leave(delta uint64) {
	left := g.counter.readers.Add(delta)
	if invariant.Enabled {
		invariant.Check(left&readerMask < readerMask/2, "epoch guard exited twice")
	}
}

// Now returns a ticket for what was unlinked before the call.
func (d *Domain) Now() Ticket { return Ticket(d.global.Load()) }

// Passed reports whether every stay that began before Now gave out t has
// ended. It moves the epoch as far as the readers inside allow and never
// blocks. Once true for a ticket, it stays true for it and all earlier ones.
func (d *Domain) Passed(t Ticket) bool {
	for {
		g := d.global.Load()
		if g >= uint64(t)+gracePeriod {
			return true
		}
		if !d.idle((g + 1) & 1) {
			return false
		}
		// A lost race means that another caller made the same move.
		d.global.CompareAndSwap(g, g+1)
	}
}

// idle reports whether each counter of the parity was zero when looked at.
func (d *Domain) idle(parity uint64) bool {
	for i := range d.stripes {
		if d.stripes[i].counters[parity].readers.Load()&readerMask != 0 {
			return false
		}
	}
	return true
}

// Synchronize blocks until every stay that began before the call has ended.
// It is for background workers; a caller that is inside a stay itself would
// wait forever.
func (d *Domain) Synchronize() {
	ranked.AssertWait("the end of epochs")
	const (
		yields    = 32
		pauseMin  = 10 * time.Microsecond
		pauseMax  = time.Millisecond
		pauseGrow = 2
	)
	t := d.Now()
	pause := pauseMin
	for i := 0; !d.Passed(t); i++ {
		if i < yields {
			runtime.Gosched()
			continue
		}
		time.Sleep(pause)
		pause = min(pause*pauseGrow, pauseMax)
	}
}
