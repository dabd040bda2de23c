// Package clock puts wall and monotonic time behind one seam, so that tests
// decide when time passes. All other rooms take a Clock; none calls the time
// package for "now".
package clock

import "time"

// Clock tells the time and makes timers. Implementations are safe for
// concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc runs fn in its own goroutine once d has passed.
	AfterFunc(d time.Duration, fn func()) Timer
}

// Timer is a pending AfterFunc.
type Timer interface {
	// Stop prevents the function from running; it reports whether it did.
	Stop() bool
}

// System is the machine's clock. Under testing/synctest it follows the
// bubble's fake time.
var System Clock = system{}

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) AfterFunc(d time.Duration, fn func()) Timer { return time.AfterFunc(d, fn) }
