// Package inuse tells that something which is used by one goroutine at a time is
// used by two. Whoever has such a thing gives it a Word, enters it before he touches
// the thing, and leaves it afterwards: where two meet, one is in and the other one is
// told, so that nobody ever sees a thing half changed.
//
// A word costs one atomic operation for each entry, on a cache line that its user
// has to himself. It orders nothing between goroutines that take turns: that is up
// to them, as it is without it.
package inuse

import (
	"errors"
	"runtime"
	"sync/atomic"
)

// ErrConcurrentUse says that a call came while another goroutine was in one of the
// same thing, and did nothing.
var ErrConcurrentUse = errors.New("in use: another goroutine, or a loop over the same rows, is in a call")

// Word says whether somebody is in. The zero Word is free. It must not be copied.
type Word struct {
	turn    uint32 // counts who enters and who leaves: odd while somebody is in
	misused atomic.Bool
	waiting atomic.Pointer[waiter]
}

// waiter is what waits for a word to be free.
type waiter struct {
	fn   func()
	next *waiter
}

// Enter returns true to one who may go in, and has to Leave. Anybody else has met
// another one, which is remembered.
func (w *Word) Enter() bool {
	if w.TryEnter() {
		return true
	}
	w.misused.Store(true)
	return false
}

// Begin is Enter for one who wants an error.
func (w *Word) Begin() error {
	if w.Enter() {
		return nil
	}
	return ErrConcurrentUse
}

// TryEnter is Enter for one to whom it is no misuse that somebody is in.
func (w *Word) TryEnter() bool {
	turn := atomic.LoadUint32(&w.turn)
	return turn&1 == 0 && atomic.CompareAndSwapUint32(&w.turn, turn, turn+1)
}

// Leave ends what Enter or TryEnter began.
func (w *Word) Leave() {
	w.release()
	if w.waiting.Load() != nil {
		w.runWaiting()
	}
}

// Turn returns what Moved compares. Between the two one may copy what those who
// enter change, and has to throw it away if it has moved.
func (w *Word) Turn() uint32 { return atomic.LoadUint32(&w.turn) }

// Moved reports whether somebody has been in since a turn, which is remembered as
// misuse.
func (w *Word) Moved(turn uint32) bool {
	if turn&1 == 0 && atomic.LoadUint32(&w.turn) == turn {
		return false
	}
	w.misused.Store(true)
	return true
}

// Misused reports whether anybody has met another one.
func (w *Word) Misused() bool { return w.misused.Load() }

// Forgive forgets that. Its caller is in.
func (w *Word) Forgive() { w.misused.Store(false) }

// Err returns ErrConcurrentUse if anybody has met another one.
func (w *Word) Err() error {
	if w.Misused() {
		return ErrConcurrentUse
	}
	return nil
}

// WhenFree has fn run by somebody who is in then: the caller, if nobody else is, or
// else the one who is, when he leaves.
func (w *Word) WhenFree(fn func()) {
	n := &waiter{fn: fn, next: w.waiting.Load()}
	for !w.waiting.CompareAndSwap(n.next, n) {
		n.next = w.waiting.Load()
	}
	w.runWaiting()
	// Whoever was about to leave may have looked too early, and is gone now.
	runtime.Gosched()
	w.runWaiting()
}

// runWaiting runs what waits for the word to be free, if it is.
func (w *Word) runWaiting() {
	if !w.TryEnter() {
		return
	}
	defer w.release()
	for n := w.waiting.Swap(nil); n != nil; n = n.next {
		n.fn()
	}
}

// Busy reports whether somebody is in. One who has told all who come to look out, in an
// atomic of his own, and finds nobody in, knows that whoever comes will have been told.
func (w *Word) Busy() bool { return atomic.LoadUint32(&w.turn)&1 != 0 }
