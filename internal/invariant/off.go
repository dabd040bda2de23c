//go:build !invariants && !race

// Package invariant holds assertions that are compiled in under the build tag
// "invariants" or the race detector, and cost nothing otherwise.
package invariant

// Enabled says whether assertions are compiled in. Guard costly checks with it.
const Enabled = false

// Yield does nothing in a release build.
func Yield() {}

// Check does nothing in a release build.
func Check(bool, string, ...any) {}
