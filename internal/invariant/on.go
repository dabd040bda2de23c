//go:build invariants || race

// Package invariant holds assertions that are compiled in under the build tag
// "invariants" or the race detector, and cost nothing otherwise.
package invariant

import (
	"fmt"
	"math/rand/v2"
	"runtime"
)

// Enabled says whether assertions are compiled in. Guard costly checks with it.
const Enabled = true

// Check panics when ok is false: the program itself is wrong. It is never
// used for I/O, corruption or misuse by the caller of the library.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic("invariant violated: " + fmt.Sprintf(format, args...))
	}
}

// Yield now and then lets other goroutines run, a few or many of them. It stands
// where two steps have to be seen in one order, or as one, in windows of
// nanoseconds that the scheduler alone would not hit in years.
func Yield() {
	turns := 0
	switch n := rand.Uint32(); {
	case n%256 == 0:
		turns = 100
	case n%8 == 0:
		turns = 1 + int(n>>8%3)
	}
	for range turns {
		runtime.Gosched()
	}
}
