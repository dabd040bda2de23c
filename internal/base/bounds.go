package base

import (
	"bytes"
	"math"
)

// The bounds of a table, or of anything else that holds a span of keys, lie in memory at
// all times, two keys for each. A long key is cut there to what separates: the span grows
// by keys that nobody has, and stays within the room that its neighbours leave. Spans of
// one level that were disjoint stay so.

// BoundBytes is the length from which on bounds are cut. It is longer than a keyspace
// prefix by far, so that a cut bound stays in its keyspace.
const BoundBytes = 256

// CutLow returns the shortest prefix of key, of at least BoundBytes, that is not below
// floor; key itself where there is none. Requires floor <= key; nil is below everything.
// The result lies in key.
func CutLow(key, floor []byte) []byte {
	n := CommonPrefix(key, floor)
	if n < len(floor) {
		n++ // key is greater by the byte there
	}
	if n = max(n, BoundBytes); n >= len(key) {
		return key
	}
	return key[:n:n]
}

// CutHigh appends to dst a short bound above key that is not above ceiling: a prefix of
// key, of at least BoundBytes, with its last byte raised by one; the successor of key
// where there is none. Requires key < ceiling; nil is above everything.
func CutHigh(dst, key, ceiling []byte) []byte {
	n := BoundBytes
	if ceiling != nil {
		n = max(n, CommonPrefix(key, ceiling)+1)
	}
	for n < len(key) && key[n-1] == math.MaxUint8 {
		n++
	}
	if n >= len(key) {
		return Successor(dst, key)
	}
	dst = append(dst, key[:n]...)
	dst[len(dst)-1]++
	return dst
}

// IsLow reports whether CutLow may have made bound of key.
func IsLow(bound, key []byte) bool {
	return bytes.Equal(bound, key) || len(bound) >= BoundBytes && bytes.HasPrefix(key, bound)
}

// IsHigh reports whether CutHigh may have made bound of key.
func IsHigh(bound, key []byte) bool {
	n := len(bound) - 1
	if n == len(key) {
		return bound[n] == 0 && bytes.HasPrefix(bound, key)
	}
	return n >= BoundBytes-1 && n < len(key)-1 && bytes.HasPrefix(key, bound[:n]) && key[n]+1 == bound[n] && bound[n] > 0
}

// AppendSeparator appends a short key s with a <= s < b, or a itself if there
// is none that is shorter. Requires a < b.
func AppendSeparator(dst, a, b []byte) []byte {
	shared := 0
	for shared < len(a) && a[shared] == b[shared] {
		shared++
	}
	if shared == len(a) {
		return append(dst, a...) // a is a prefix of b
	}
	// Here a[shared] < b[shared]. Raising a's byte by one is short enough
	// unless that reaches b; then a later byte of a is raised.
	if a[shared]+1 < b[shared] {
		dst = append(dst, a[:shared+1]...)
		dst[len(dst)-1]++
		return dst
	}
	for i := shared + 1; i < len(a); i++ {
		if a[i] != math.MaxUint8 {
			dst = append(dst, a[:i+1]...)
			dst[len(dst)-1]++
			return dst
		}
	}
	return append(dst, a...)
}
