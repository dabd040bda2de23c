//go:build !race

package inuse

// release is a plain store. All stores of this processor are seen in the order in
// which they were made, so that whoever sees this one sees what was done before; an
// atomic store would also wait until it is seen, which costs as much as Enter. Its
// reader is always an atomic operation.
func (w *Word) release() { w.turn++ }
