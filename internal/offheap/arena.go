package offheap

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	// hugePageBytes is the size of a huge page on the platforms that matter;
	// elsewhere it is merely a sensible step.
	hugePageBytes = 2 << 20
	// hugeFromBytes is the capacity from which an arena asks for huge pages.
	hugeFromBytes = 2 * hugePageBytes
	// smallStepBytes is by how much a small arena is committed and accounted.
	// A multiple of the page size everywhere.
	smallStepBytes = 64 << 10
	// baseAlignBytes is what the base of any arena is a multiple of.
	baseAlignBytes = 64
	// maxArenaBytes keeps every offset, and the end, within 32 bits, and the
	// size of the mapping within an int.
	maxArenaBytes = (min(math.MaxUint32, math.MaxInt) - hugePageBytes) &^ (hugePageBytes - 1)
)

// Arena is one contiguous range of zeroed memory, handed out from its start
// and dropped as a whole. Places in it are 32-bit offsets from Base, which is
// a multiple of 64; offset 0 is never handed out, so that it can mean nil.
// Memory is committed and accounted for in steps as the arena fills up. Where the steps
// are large, the kernel provides the next one while this one is being filled, on another
// processor: to clear two megabytes takes longer than to write a hundred records.
//
// One goroutine at a time may call Alloc and Used; any number may read the
// memory and call Committed. Nobody may use the arena during or after Free.
type Arena struct {
	base      unsafe.Pointer
	next      uint64 // first byte not handed out yet
	committed uint64 // first byte not committed yet
	end       uint64 // of what may have memory: whole steps
	capacity  uint64
	stepBytes uint64

	mapping   []byte // as reserve returned it
	usable    []byte // the aligned part of it
	acct      *Accountant
	owner     Owner
	published atomic.Int64 // accounted for, for other goroutines

	// ahead is held while the kernel provides memory that is not used yet. usable is
	// not given back meanwhile, and capacity not set to 0.
	ahead sync.Mutex
}

// NewArena reserves an arena of capBytes, a little less than 4 GiB at most
// (2 GiB on 32-bit platforms).
func NewArena(acct *Accountant, owner Owner, capBytes int) (*Arena, error) {
	if capBytes <= 0 || capBytes > maxArenaBytes {
		return nil, fmt.Errorf("arena capacity of %d bytes is not in 1..%d", capBytes, maxArenaBytes)
	}
	align, step := baseAlignBytes, smallStepBytes
	if capBytes >= hugeFromBytes {
		align, step = hugePageBytes, hugePageBytes
	}
	sizeBytes := (capBytes + step - 1) / step * step
	mapping, err := reserve(sizeBytes + align)
	if err != nil {
		return nil, err
	}
	// Sound: the address is only used as a number, to find the aligned start.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(mapping)))
	skip := int(-addr & uintptr(align-1))
	a := &Arena{
		next:      baseAlignBytes,
		capacity:  uint64(capBytes),
		stepBytes: uint64(step),
		mapping:   mapping,
		usable:    mapping[skip : skip+sizeBytes],
		acct:      acct,
		owner:     owner,
	}
	a.base = unsafe.Pointer(unsafe.SliceData(a.usable))
	if step == hugePageBytes {
		adviseHuge(a.usable)
	}
	return a, nil
}

// Alloc returns the offset of sizeBytes fresh zeroes, a multiple of
// alignBytes, which is a power of two of at most 64. ok is false, and nothing
// has changed, when they do not fit.
func (a *Arena) Alloc(sizeBytes, alignBytes uint32) (offset uint32, ok bool) {
	start := (a.next + uint64(alignBytes) - 1) &^ (uint64(alignBytes) - 1)
	end := start + uint64(sizeBytes)
	if end > a.committed && !a.grow(end) {
		return 0, false
	}
	a.next = end
	return uint32(start), true
}

// grow commits memory up to and including the step that end is in.
func (a *Arena) grow(end uint64) bool {
	if end > a.capacity {
		return false
	}
	target := (end + a.stepBytes - 1) / a.stepBytes * a.stepBytes
	if err := commit(a.usable[a.committed:target]); err != nil {
		return false
	}
	// A part of the last step may lie beyond the capacity: keep Alloc from
	// handing it out without another look here.
	a.committed = min(target, a.capacity)
	if populates && a.stepBytes == hugePageBytes && target < uint64(len(a.usable)) {
		next := a.usable[target:][:hugePageBytes]
		target += hugePageBytes
		go a.populateAhead(next)
	}
	a.end = target
	a.acct.add(a.owner, int(target-uint64(a.published.Load())))
	a.published.Store(int64(target))
	return true
}

// populateAhead has the memory of a step provided, unless nothing is handed out any
// more.
func (a *Arena) populateAhead(next []byte) {
	a.ahead.Lock()
	defer a.ahead.Unlock()
	if a.capacity > 0 {
		populate(next)
	}
}

// SliceBytes returns what count values take of an arena, each list of them for itself.
func SliceBytes[T any](count int) int { return count * int(unsafe.Sizeof(*new(T))) }

// Slice hands out count zero values, of a type without pointers; nil, with nothing
// changed, when they do not fit. They are valid until Free.
func Slice[T any](a *Arena, count int) []T {
	sizeBytes := SliceBytes[T](count)
	if int64(sizeBytes) > math.MaxUint32 {
		return nil
	}
	offset, ok := a.Alloc(uint32(sizeBytes), baseAlignBytes)
	if !ok {
		return nil
	}
	// Sound: the bytes were handed out for this alone, and are aligned for any type.
	return unsafe.Slice((*T)(unsafe.Add(a.base, offset)), count)
}

// Bytes returns sizeBytes bytes of the arena from an offset on, all of which must
// have been handed out. They are valid until Free.
func (a *Arena) Bytes(offset, sizeBytes uint32) []byte {
	return a.usable[offset:][:sizeBytes:sizeBytes]
}

// Base returns where offset 0 is.
func (a *Arena) Base() unsafe.Pointer { return a.base }

// Used returns how many bytes are taken, from the start; only for the
// goroutine that allocates.
func (a *Arena) Used() int { return int(a.next) }

// Committed returns how many bytes are accounted for: Used, rounded up to
// whole steps, and where steps are large, one more. It may be called by any goroutine.
func (a *Arena) Committed() int { return int(a.published.Load()) }

// Cap returns the capacity in bytes.
func (a *Arena) Cap() int { return int(a.capacity) }

// Shrink gives back the memory of all but the pages in which some bytes of the arena
// lie; the rest is zeroes, or lost, from now on. Nothing is handed out any more. Nobody
// else may use anything but those bytes. It may be called again with fewer of them.
func (a *Arena) Shrink(keep [][]byte) {
	base, accounted := uintptr(a.base), a.published.Load()
	var kept []span
	for _, b := range keep {
		// Sound: addresses are only compared, as numbers.
		at := int64(uintptr(unsafe.Pointer(unsafe.SliceData(b))) - base)
		if len(b) > 0 && at >= 0 && at < int64(len(a.usable)) {
			kept = append(kept, span{at / pageBytes * pageBytes, (at + int64(len(b)) + pageBytes - 1) / pageBytes * pageBytes})
		}
	}
	slices.SortFunc(kept, func(x, y span) int { return cmp.Compare(x.from, y.from) })
	a.stopPopulating()
	var from, left int64
	for _, s := range append(kept, span{int64(a.end), int64(a.end)}) {
		if s.from > from {
			discard(a.usable[from:s.from])
		}
		if s.to > from {
			left += s.to - max(s.from, from)
			from = s.to
		}
	}
	a.acct.add(a.owner, int(left-accounted))
	a.published.Store(left)
}

// span is a part of an arena.
type span struct{ from, to int64 }

// stopPopulating ends the life of the arena as one that hands out memory.
func (a *Arena) stopPopulating() {
	a.ahead.Lock()
	defer a.ahead.Unlock()
	a.capacity = 0
}

// Free gives all memory back. Calling it again does nothing.
func (a *Arena) Free() {
	if a.mapping == nil {
		return
	}
	a.stopPopulating()
	release(a.mapping)
	a.acct.add(a.owner, -int(a.published.Load()))
	a.published.Store(0)
	a.base, a.mapping, a.usable = nil, nil, nil
	a.next, a.committed, a.end = 0, 0, 0
}
