//go:build invariants && !race && !((amd64 || arm64) && !windows)

package ranked

import "runtime"

// goroutine is the number of this goroutine, which the runtime gives to no other
// one. Where no assembly tells one from another, a stack is the place to find it.
func goroutine() uintptr {
	var buf [32]byte
	text := buf[:runtime.Stack(buf[:], false)]
	var number uintptr
	for _, c := range text[len("goroutine "):] {
		if c < '0' || c > '9' {
			break
		}
		number = number*10 + uintptr(c-'0')
	}
	return number
}
