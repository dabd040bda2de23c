//go:build lmdb || rocksdb

package engine

import "C"

import (
	"encoding/binary"
	"unsafe"
)

// appendFlat appends records for C code to read: for each the number of bytes
// of key and value, four bytes each in the machine's order, then both. C may
// not be passed Go memory that points to other Go memory, and one copy is
// cheaper than a call, or a pin, for each record.
func appendFlat(dst []byte, records []Record) []byte {
	for _, r := range records {
		dst = binary.NativeEndian.AppendUint32(dst, uint32(len(r.Key)))
		dst = binary.NativeEndian.AppendUint32(dst, uint32(len(r.Value)))
		dst = append(dst, r.Key...)
		dst = append(dst, r.Value...)
	}
	return dst
}

// chars is the memory of b for C, to be used before b changes.
func chars(b []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))) }
