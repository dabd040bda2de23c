//go:build !amd64 || race

package inuse

import "sync/atomic"

// release lets the next one in.
func (w *Word) release() { atomic.StoreUint32(&w.turn, atomic.LoadUint32(&w.turn)+1) }
