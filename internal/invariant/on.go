//go:build invariants || race

// Package invariant holds assertions that are compiled in under the build tag
// "invariants" or the race detector, and cost nothing otherwise.
package invariant

import "fmt"

// Enabled says whether assertions are compiled in. Guard costly checks with it.
const Enabled = true

// Check panics when ok is false: the program itself is wrong. It is never
// used for I/O, corruption or misuse by the caller of the library.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic("invariant violated: " + fmt.Sprintf(format, args...))
	}
}
