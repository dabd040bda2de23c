package view

import (
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
)

// pins are the read points of the snapshots that are open, those of transactions
// included. To open and to close one takes no lock, and mostly touches a line of memory
// that its goroutine has to itself: a short transaction costs little more than its reads.
//
// A pin is a slot that is free, or says what its snapshot reads at. Slots are in blocks,
// each of which is twice as large as the one before it, and which stay. One is looked for in the
// first block near a place that the goroutine has mostly to itself, and then anywhere in
// the others.
//
// Who opens a snapshot chooses a read point, puts it into a pin, and looks then whether it
// is still what a new one would choose; if not, he chooses again (Reader.open). Who drops
// old records looks at the pins after what he drops has become visible. So either he finds
// the pin, or the snapshot is at least as new as all that he has seen.
//
// The methods are safe for concurrent use.
type pins struct {
	blocks [pinBlocks]atomic.Pointer[pinBlock]
}

// pinBlock is some slots.
type pinBlock struct {
	pins []pin
	// used is how many of them are not free, or about to be taken. The first block, which
	// is small, does not count: its slots are there not to share a line.
	used atomic.Int32
}

const (
	pinsFirst = 32 // slots of the first block
	pinBlocks = 24
	pinTries  = 8 // slots that are looked at in each block
)

// pin is a slot. Its user alone changes it, but for pinListed in its word, and for since, which
// ExpireHandles negates.
type pin struct {
	word  atomic.Uint64 // 0: free; else see pinWord
	time  atomic.Int64  // that the snapshot reads at
	since atomic.Int64  // when it was opened, in nanoseconds since 1970, negated once it has expired; 0: just now
	stack atomic.Pointer[[]byte]
	block *pinBlock       // that it is counted in; nil: in none
	_     [2*64 - 40]byte // lines are fetched in pairs
}

// pinListed is the bit of a word that says that somebody keeps something for the snapshot.
const pinListed uint64 = 1

// pinWord is a number to read at, with whether a snapshot or a transaction reads, as the word
// of a pin.
func pinWord(kind HandleKind, seq base.SeqNum) uint64 {
	return uint64(seq+1)<<2 | uint64(kind-KindSnapshot)<<1
}

func (p *pin) seqOf(word uint64) base.SeqNum { return base.SeqNum(word>>2) - 1 }
func (p *pin) kindOf(word uint64) HandleKind { return KindSnapshot + HandleKind(word>>1&1) }

// claim returns a pin that reads at a point.
func (ps *pins) claim(kind HandleKind, at ReadPoint) *pin {
	word := pinWord(kind, at.Seq)
	place := epoch.Place()
	for i := 0; ; i = min(i+1, pinBlocks-1) { // nobody comes to the last one
		block := ps.block(i)
		if i > 0 {
			block.used.Add(1) // before the pin can be seen: who finds none used looks at none
		}
		for n := range uint64(pinTries) {
			p := &block.pins[(place+n)%uint64(len(block.pins))]
			if p.word.Load() == 0 && p.word.CompareAndSwap(0, word) {
				p.setTime(at.Time)
				return p
			}
		}
		if i > 0 {
			block.used.Add(-1)
		}
		place = uint64(rand.Uint32()) // a goroutine may have many
	}
}

// block returns a block, made if there is none.
func (ps *pins) block(i int) *pinBlock {
	if b := ps.blocks[i].Load(); b != nil {
		return b
	}
	b := &pinBlock{pins: make([]pin, pinsFirst<<i)}
	for n := range b.pins {
		if i > 0 {
			b.pins[n].block = b
		}
	}
	ps.blocks[i].CompareAndSwap(nil, b)
	return ps.blocks[i].Load()
}

// move has a pin read at another point.
func (p *pin) move(kind HandleKind, at ReadPoint) {
	for {
		word := p.word.Load()
		if p.word.CompareAndSwap(word, pinWord(kind, at.Seq)|word&pinListed) {
			p.setTime(at.Time)
			return
		}
	}
}

// setTime leaves the line alone where the time is the same: mostly 0, for nothing expires.
// Whoever looks meanwhile finds the time of who had the slot before, earlier or later. That
// does no harm: who drops what expires has said up to when before he looks, and drops
// nothing that expires later, and who opens a snapshot looks at that afterwards; see
// Timeline.Purged.
func (p *pin) setTime(at base.Instant) {
	if p.time.Load() != int64(at) {
		p.time.Store(int64(at))
	}
}

// noteOpened notes when, and where, the snapshot was opened.
func (p *pin) noteOpened(at time.Time, track bool) {
	p.since.Store(at.UnixNano())
	if track {
		stack := debug.Stack()
		p.stack.Store(&stack)
	}
}

// release makes a pin free. It reports whether somebody keeps something for the snapshot.
func (p *pin) release() (listed bool) {
	p.since.Store(0)
	if p.stack.Load() != nil {
		p.stack.Store(nil)
	}
	word := p.word.Swap(0)
	if p.block != nil {
		p.block.used.Add(-1)
	}
	return word&pinListed != 0
}

// list returns what a pin reads at, for somebody who keeps it; false if it is free, or has expired. The bit
// is set in the word of the very snapshot: when that is closed, the workers are told.
func (p *pin) list() (at ReadPoint, ok bool) {
	for {
		word := p.word.Load()
		if word == 0 || p.hasExpired() {
			return at, false
		}
		if word&pinListed != 0 || p.word.CompareAndSwap(word, word|pinListed) {
			return ReadPoint{p.seqOf(word), base.Instant(p.time.Load())}, true
		}
	}
}

// all yields the pins that are not free, with their words.
func (ps *pins) all(yield func(p *pin, word uint64) bool) {
	for i := range ps.blocks {
		block := ps.blocks[i].Load()
		if block == nil {
			return
		}
		if i > 0 && block.used.Load() == 0 {
			continue
		}
		for n := range block.pins {
			p := &block.pins[n]
			if word := p.word.Load(); word != 0 && !yield(p, word) {
				return
			}
		}
	}
}

// newest returns the largest number that is read at, 0 if there is none.
func (ps *pins) newest() (newest base.SeqNum) {
	for p, word := range ps.all {
		newest = max(newest, p.seqOf(word))
	}
	return newest
}

// any reports whether there is a pin that is not free.
func (ps *pins) any() bool {
	for range ps.all {
		return true
	}
	return false
}
