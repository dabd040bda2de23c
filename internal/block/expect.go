package block

import (
	"unsafe"

	"github.com/lightningdb/lightning/internal/kernel"
)

// This file asks the processor for what Find is going to read, for those who
// have other work until that has come.

// ExpectSlot asks for the slot of the first key with a fingerprint, and returns which it
// is, -1 if no key has it.
func ExpectSlot(v View, fingerprint byte) int {
	pattern, prints := kernel.Broadcast(fingerprint), printsAt(v)
	for at := 0; at < v.Len(); at += 8 {
		mask := kernel.MatchBytes(kernel.Load64(v.base, prints+uintptr(at)), pattern)
		if mask == 0 {
			continue
		}
		slot := at + kernel.FirstByte(mask)
		if slot >= v.Len() {
			return -1 // the padding of the last word
		}
		i := uintptr(slot)
		kernel.Prefetch(unsafe.Add(v.base, v.heads+i*headBytes), headBytes)
		kernel.Prefetch(unsafe.Add(v.base, v.slots()+i*v.slotWidth()), headBytes)
		kernel.Prefetch(unsafe.Add(v.base, v.trailers()+i*v.trailerWidth()), headBytes)
		return slot
	}
	return -1
}

// recordBytes is how much of a record is asked for. What follows that comes by itself.
const recordBytes = 64

// ExpectRecord asks for the record in a slot.
func ExpectRecord(v View, slot int) {
	v.checkSlot(slot)
	kernel.Prefetch(unsafe.Add(v.base, v.records()+v.offset(v.slotWord(slot))), recordBytes)
}
