package sstable

import "sync"

// This file keeps buffers of some size for those who write tables or read them past the
// cache, one after the other: as garbage they would be far more than what is in use.
// What is very large is not kept, and the garbage collector takes the rest in time.

const (
	bufferMinBytes   = 32 << 10
	bufferLargeBytes = 256 << 10
	bufferMaxBytes   = 8 << 20
)

// buffers are of *[]byte: those below bufferLargeBytes, and the others. Who needs little
// would otherwise have those in use that others then have to make.
var buffers [2]sync.Pool

func buffersOf(sizeBytes int) *sync.Pool {
	if sizeBytes < bufferLargeBytes {
		return &buffers[0]
	}
	return &buffers[1]
}

// takeBuffer returns a buffer of sizeBytes with any content.
func takeBuffer(sizeBytes int) []byte {
	if b := spareBuffer(sizeBytes); cap(b) >= sizeBytes {
		return b[:sizeBytes]
	}
	return make([]byte, sizeBytes)
}

// spareBuffer returns an empty buffer that somebody has given up, of about some size, or
// nil.
func spareBuffer(sizeBytes int) []byte {
	if b, _ := buffersOf(sizeBytes).Get().(*[]byte); b != nil {
		return (*b)[:0]
	}
	return nil
}

// growingBuffer returns an empty buffer for what may become large: a large one if
// somebody has given one up.
func growingBuffer() []byte {
	if b := spareBuffer(bufferLargeBytes); b != nil {
		return b
	}
	return spareBuffer(bufferMinBytes)
}

// putBuffer gives up a buffer.
func putBuffer(b []byte) {
	if bufferMinBytes <= cap(b) && cap(b) <= bufferMaxBytes {
		buffersOf(cap(b)).Put(&b)
	}
}
