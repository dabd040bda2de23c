// Package memtable holds the newest writes in order, in memory: an adaptive
// radix tree in an off-heap arena. Its files are table.go (the table and point
// reads), add.go (the writer), iter.go, node.go (inner nodes), record.go
// (leaves and versions) and rangedels.go (range deletes).
package memtable

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
)

// ErrFull is returned when a record does not fit in what is left of the arena.
// Nothing has changed then.
var ErrFull = errors.New("memtable is full")

// Table is an ordered table of versioned records with one writer at a time
// (Add, AddRangeDelete, AvailableBytes) beside any number of readers (all else)
// that take no locks. A record is visible to all reads that begin after the Add
// of it returned; one that is added meanwhile may or may not be seen, but only
// whole. Nothing is moved, changed or reclaimed before Free, so what a reader
// has found stays valid until then.
//
// The offset of each object becomes reachable through a single atomic store,
// after everything in the object was written.
type Table struct {
	mem   unsafe.Pointer
	arena *offheap.Arena
	root  atomic.Uint32

	rangeDeletes RangeDeletes

	// What follows is written by each Add; the gap keeps it off the cache
	// lines that readers need.
	_       [64]byte
	stats   atomic.Uint64 // used bytes << 32 | records
	deletes atomic.Uint32 // of the records
	finger  finger
}

// New returns an empty table whose records may take up to capBytes. The memory
// is committed, and accounted for, as it is used.
func New(acct *offheap.Accountant, capBytes int) (*Table, error) {
	arena, err := offheap.NewArena(acct, offheap.OwnerMemtable, capBytes)
	if err != nil {
		return nil, fmt.Errorf("memtable: %w", err)
	}
	t := &Table{mem: arena.Base(), arena: arena}
	t.finger.slot = &t.root
	t.rangeDeletes.mem, t.rangeDeletes.arena = t.mem, arena
	return t, nil
}

// Get returns the newest version of key whose sequence number is at most seq.
// The value belongs to the table and is valid until Free.
func (t *Table) Get(key []byte, seq base.SeqNum) (tr base.Trailer, value []byte, found bool) {
	at := t.find(key)
	if at == 0 {
		return 0, nil, false
	}
	l := leafAt(t.mem, at)
	newest := l.newest.Load()
	if newest == 0 {
		if tr = base.Trailer(l.trailer); tr.Seq() > seq {
			return 0, nil, false
		}
		return tr, l.value(), true
	}
	switch visible := (chain{t.mem, at}).atOrBefore(newest, seq); visible {
	case 0:
		return 0, nil, false
	case at:
		return base.Trailer(l.trailer), l.value(), true
	default:
		v := versionAt(t.mem, visible)
		return base.Trailer(v.trailer), v.value(), true
	}
}

// AppendNewest appends the value of the newest version of key to dst. It is for those
// who make a new record of it, and finds none that is not what was added: others may
// have written into what Get has returned.
func (t *Table) AppendNewest(dst, key []byte) (tr base.Trailer, value []byte, found bool) {
	at := t.find(key)
	if at == 0 {
		return 0, dst, false
	}
	tr, stored, sum := recordOf(t.mem, at, newestOf(t.mem, at))
	value = append(dst, stored...) // nobody else can write to the copy
	if base.RecordSum(base.Hash(key), tr, value[len(dst):]).Short() != sum {
		return 0, dst, false
	}
	return tr, value, true
}

// find returns the offset of the leaf of key, 0 if there is none. On the way
// down it compares at most eight of the bytes that a node's path leaves out;
// the comparison with the leaf's key settles the rest.
func (t *Table) find(key []byte) uint32 {
	r, from := t.root.Load(), 0
	for r&shapeMask != shapeLeaf {
		h := headerAt(t.mem, r)
		// Where nothing is left out, which is the common case, what follows
		// does not depend on the header: both are fetched at once.
		if depth := int(h.depth); depth != from {
			if depth > len(key) || !tailMatches(h, key, from, depth) {
				return 0
			}
			from = depth
		}
		if from >= len(key) {
			r = h.end.Load()
			break
		}
		slot := childSlot(t.mem, r, key[from])
		if slot == nil {
			return 0
		}
		r = slot.Load()
		from++
	}
	if r == 0 || !bytes.Equal(leafAt(t.mem, r).key(), key) {
		return 0
	}
	return r
}

// Len returns the number of records, range deletes not counted.
func (t *Table) Len() int { return int(uint32(t.stats.Load())) }

// DeleteCount returns how many of them are deletes.
func (t *Table) DeleteCount() int { return int(t.deletes.Load()) }

// UsedBytes returns how much of the arena is taken.
func (t *Table) UsedBytes() int { return int(t.stats.Load() >> 32) }

// AvailableBytes returns how much of the arena is left for the next group of commits:
// all its records can be added if their AddBounds together are not larger.
func (t *Table) AvailableBytes() int { return t.leftBytes() - t.rangeDeletes.keptBackBytes() }

// leftBytes returns how much of the arena is left.
func (t *Table) leftBytes() int { return t.arena.Cap() - t.arena.Used() }

// CommittedBytes returns what the table has of the system. It may be called by any
// goroutine.
func (t *Table) CommittedBytes() int { return t.arena.Committed() }

// Shrink gives back the memory of all but some places in it, at which alone anybody
// will look from now on.
func (t *Table) Shrink(keep [][]byte) { t.arena.Shrink(keep) }

// Free gives the memory back. The owner guarantees that nobody reads any more,
// and that no iterator, value or bound is used afterwards.
func (t *Table) Free() { t.arena.Free() }
