package sstable

import "sync"

// This file keeps buffers of some size for those who write tables or read them past the
// cache, one after the other: as garbage they would be far more than what is in use.
// What is very large is not kept, and the garbage collector takes the rest in time.

const (
	bufferMinBytes = 32 << 10
	bufferMaxBytes = 8 << 20
)

// buffers is of *[]byte.
var buffers sync.Pool

// takeBuffer returns a buffer of sizeBytes with any content.
func takeBuffer(sizeBytes int) []byte {
	if b := spareBuffer(); cap(b) >= sizeBytes {
		return b[:sizeBytes]
	}
	return make([]byte, sizeBytes)
}

// spareBuffer returns an empty buffer that somebody has given up, or nil.
func spareBuffer() []byte {
	if b, _ := buffers.Get().(*[]byte); b != nil {
		return (*b)[:0]
	}
	return nil
}

// putBuffer gives up a buffer.
func putBuffer(b []byte) {
	if bufferMinBytes <= cap(b) && cap(b) <= bufferMaxBytes {
		buffers.Put(&b)
	}
}
