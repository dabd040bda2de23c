package keyspace

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

func TestKeyspacePrefixes(t *testing.T) {
	ids := []uint64{0, 1, 2, 0xee, 0xef, 0xf0, 0xff, 0x100, 0xffff, 0x10000, 1 << 40, math.MaxUint64}
	var last []byte
	for i, id := range ids {
		p := AppendPrefix(nil, id)
		if len(p) > base.MaxPrefixBytes {
			t.Errorf("prefix of %d has %d bytes", id, len(p))
		}
		if got, n := SplitPrefix(append(slices.Clone(p), "key"...)); got != id || n != len(p) {
			t.Errorf("prefix of %d reads as %d, %d bytes", id, got, n)
		}
		if i > 0 && bytes.Compare(last, p) >= 0 {
			t.Errorf("prefix of %d does not come after that of %d", id, ids[i-1])
		}
		if i > 0 && bytes.HasPrefix(p, last) {
			t.Errorf("prefix of %d begins with that of %d", id, ids[i-1])
		}
		end := PrefixEnd(p)
		if end != nil && (bytes.Compare(end, append(slices.Clone(p), 0xff, 0xff)) <= 0) {
			t.Errorf("end %x of prefix %x cuts off keys", end, p)
		}
		last = p
	}
	for _, key := range [][]byte{nil, {0xf8}, {0xff, 1}} {
		SplitPrefix(key) // malformed, must not fault
	}
	if PrefixEnd([]byte{0xff, 0xff}) != nil {
		t.Error("a prefix of ones has an end")
	}
}
