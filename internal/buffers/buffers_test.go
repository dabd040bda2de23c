package buffers

import "testing"

// A buffer that was given up comes back to one who needs as much, whoever has asked for
// little meanwhile; the pool may forget it, but never gives it to two.
func TestBuffers(t *testing.T) {
	for _, size := range []int{0, 1, MinBytes, largeBytes, maxBytes, maxBytes + 1} {
		b := Take(size)
		if len(b) != size {
			t.Fatalf("%d bytes, not %d", len(b), size)
		}
		Put(b)
		again, other := Take(size), Take(size)
		if size > 0 && &again[0] == &other[0] {
			t.Errorf("two have the buffer of %d bytes", size)
		}
	}
	Put(make([]byte, maxBytes))
	for range 10 {
		if b := Spare(1); cap(b) >= largeBytes {
			t.Errorf("who needs little has %d bytes", cap(b))
		}
		if b := Growing(); len(b) != 0 {
			t.Errorf("%d bytes in an empty buffer", len(b))
		}
	}
}
