package block

import (
	"bytes"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// Partitions hold all entries in their order, end where they are full but not before they have
// some entries, and say which entry they begin with and end with.
func TestIndexBuilder(t *testing.T) {
	b := IndexBuilder{LimitBytes: 200, LeastEntries: 3, TrailerBytes: 10}
	const count = 100
	trailer := base.MakeTrailer(7, base.KindSet)
	key := func(i int) []byte { return []byte{byte(i / 4)} } // four blocks end in versions of one key
	for i := range count {
		next := key(i + 1)
		if i == count-1 {
			next = nil
		}
		b.Add([]byte{byte(i)}, key(i), trailer, next)
	}
	estimate, seen := b.SizeBytes(), 0
	parts := b.Finish()
	for i, p := range parts {
		v, err := Parse(p.Payload)
		if err != nil || int(p.FirstBlock) != seen {
			t.Fatalf("partition %d begins with %d of %d: %v", i, p.FirstBlock, seen, err)
		}
		if last := i == len(parts)-1; v.Len() < 3 && !last || len(p.Payload) > 200 && v.Len() > 3 {
			t.Errorf("partition %d: %d entries, %d bytes", i, v.Len(), len(p.Payload))
		}
		for slot := range v.Len() {
			if v.Value(slot)[0] != byte(seen) || !bytes.Equal(v.AppendKey(nil, slot), key(seen)) || v.Trailer(slot) != trailer {
				t.Errorf("entry %d is %x %v", seen, v.AppendKey(nil, slot), v.Trailer(slot))
			}
			seen++
		}
		if !bytes.Equal(p.Separator, key(seen-1)) || p.Trailer != trailer {
			t.Errorf("partition %d ends with %x %v", i, p.Separator, p.Trailer)
		}
		estimate -= int64(len(p.Payload) + 10)
	}
	if seen != count || b.Len() != count || len(parts) < 5 || estimate < -100 || estimate > 200 {
		t.Errorf("%d entries in %d partitions, %d bytes more were expected", seen, len(parts), estimate)
	}
}
