// Package buffers keeps buffers of some size for those who write tables or read them past
// the cache, one after the other: as garbage they would be far more than what is in use.
// What is very large is not kept, and the garbage collector takes the rest in time.
//
// All functions are safe for concurrent use.
package buffers

import "sync"

// MinBytes is the size of the smallest buffer that is kept.
const MinBytes = 32 << 10

const (
	largeBytes = 256 << 10
	maxBytes   = 8 << 20
)

// kept are of *[]byte: those below largeBytes, and the others. Who needs little
// would otherwise have those in use that others then have to make.
var kept [2]sync.Pool

func ofSize(sizeBytes int) *sync.Pool {
	if sizeBytes < largeBytes {
		return &kept[0]
	}
	return &kept[1]
}

// Take returns a buffer of sizeBytes with any content.
func Take(sizeBytes int) []byte {
	if b := Spare(sizeBytes); cap(b) >= sizeBytes {
		return b[:sizeBytes]
	}
	return make([]byte, sizeBytes)
}

// Spare returns an empty buffer that somebody has given up, of about some size, or
// nil.
func Spare(sizeBytes int) []byte {
	if b, _ := ofSize(sizeBytes).Get().(*[]byte); b != nil {
		return (*b)[:0]
	}
	return nil
}

// Growing returns an empty buffer for what may become large: a large one if
// somebody has given one up.
func Growing() []byte {
	if b := Spare(largeBytes); b != nil {
		return b
	}
	return Spare(MinBytes)
}

// Put gives up a buffer.
func Put(b []byte) {
	if MinBytes <= cap(b) && cap(b) <= maxBytes {
		ofSize(cap(b)).Put(&b)
	}
}
