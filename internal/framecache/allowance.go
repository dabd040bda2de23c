package framecache

import "sync/atomic"

// Allowance is memory beside a cache, for what is not worth a frame: Borrow says whether
// the caller may allocate so much, and Return gives it back. All of it together is a
// small part of the capacity. It takes no lock.
type Allowance struct {
	borrowed, max atomic.Int64
}

// Borrow grants sizeBytes, or nothing.
func (a *Allowance) Borrow(sizeBytes int64) bool {
	if a.borrowed.Add(sizeBytes) <= a.max.Load() {
		return true
	}
	a.Return(sizeBytes)
	return false
}

// Return gives back what Borrow has granted.
func (a *Allowance) Return(sizeBytes int64) { a.borrowed.Add(-sizeBytes) }
