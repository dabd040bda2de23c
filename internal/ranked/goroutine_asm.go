//go:build invariants && !race && (amd64 || arm64) && !windows

package ranked

// goroutine tells the goroutines that live from one another: it is the address of
// what the runtime knows of this one, which stays where it is, and which no other
// one gets before this one ends.
func goroutine() uintptr
