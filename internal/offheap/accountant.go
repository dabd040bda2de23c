// Package offheap hands out memory that the garbage collector neither scans
// nor counts: arenas, which grow and are dropped as a whole, and slabs, whose
// blocks are freed one by one. All of it is accounted for by owner, because
// neither GOGC nor GOMEMLIMIT sees it.
//
// Under the race detector all memory comes from the Go heap instead, since the
// detector ignores addresses outside of it.
package offheap

import (
	"fmt"
	"sync/atomic"
)

// Owner says what a piece of memory is used for.
type Owner uint8

// The owners.
const (
	OwnerMemtable Owner = iota
	OwnerCache
	OwnerHotCache
	OwnerLarge
	OwnerBuffers
	ownerCount
)

func (o Owner) String() string {
	switch o {
	case OwnerMemtable:
		return "memtable"
	case OwnerCache:
		return "cache"
	case OwnerHotCache:
		return "hot records"
	case OwnerLarge:
		return "large values"
	case OwnerBuffers:
		return "buffers"
	}
	return fmt.Sprintf("owner(%d)", uint8(o))
}

// Owners returns all owners.
func Owners() []Owner {
	return []Owner{OwnerMemtable, OwnerCache, OwnerHotCache, OwnerLarge, OwnerBuffers}
}

// Accountant counts the bytes that arenas and slabs hold, by owner. Counted is
// what the operating system may have had to provide, not merely reserved
// address space. The zero value is ready, and it may be used by many
// goroutines at once.
type Accountant struct {
	bytes [ownerCount]atomic.Int64
}

// Bytes returns what o holds.
func (a *Accountant) Bytes(o Owner) int64 { return a.bytes[o].Load() }

// Total returns what all owners hold.
func (a *Accountant) Total() int64 {
	var total int64
	for i := range a.bytes {
		total += a.bytes[i].Load()
	}
	return total
}

func (a *Accountant) add(o Owner, deltaBytes int) { a.bytes[o].Add(int64(deltaBytes)) }
