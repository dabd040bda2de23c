package bolt

import (
	"bytes"
	"testing"
)

// Whatever a row is, it is taken apart as what encodes to it, or refused.
func FuzzDecodeEntry(f *testing.F) {
	for _, row := range [][]byte{nil, encodeValue(nil), encodeValue([]byte("v")), encodeBucket(7, 9), {tagBucket}, {7}, encodeNumber(3)} {
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		if n, err := decodeNumber(row); err == nil && !bytes.Equal(encodeNumber(n), row) {
			t.Errorf("%x is taken for %d", row, n)
		}
		e, err := decodeEntry(row)
		if err != nil {
			return
		}
		again := encodeValue(e.value)
		if e.isBucket() {
			again = encodeBucket(e.child, e.sequence)
		}
		if !bytes.Equal(again, row) {
			t.Errorf("%x is taken for %+v", row, e)
		}
	})
}
