package block

import (
	"bytes"
	"unsafe"

	"github.com/lightningdb/lightning/internal/kernel"
)

// This file asks the processor for what Find is going to read, for those who
// have other work until that has come.

// ExpectSlot asks for the slot of the first key with a fingerprint, and returns which it
// is, -1 if no key has it.
func ExpectSlot(v View, fingerprint byte) int {
	slot := bytes.IndexByte(printsOf(v), fingerprint)
	if slot >= 0 {
		i := uintptr(slot)
		kernel.Prefetch(unsafe.Add(v.base, v.heads+i*headBytes), headBytes)
		kernel.Prefetch(unsafe.Add(v.base, v.slots()+i*v.slotWidth()), headBytes)
		kernel.Prefetch(unsafe.Add(v.base, v.trailers()+i*v.trailerWidth()), headBytes)
	}
	return slot
}

// recordBytes is how much of a record is asked for. What follows that comes by itself.
const recordBytes = 64

// ExpectRecord asks for the record in a slot.
func ExpectRecord(v View, slot int) {
	v.checkSlot(slot)
	kernel.Prefetch(unsafe.Add(v.base, v.records()+v.offset(v.slotWord(slot))), recordBytes)
}
