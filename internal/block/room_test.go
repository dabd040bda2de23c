package block

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// TestRoomIsNeverTooOptimistic fills blocks of keys whose common prefix comes
// and goes, and compares with the size they turn out to have.
func TestRoomIsNeverTooOptimistic(t *testing.T) {
	const limit = 2048
	for name, key := range shapes {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(2, 2))
			for range 200 {
				entries := slices.CompactFunc(randomEntries(rng, key), func(a, b entry) bool {
					return bytes.Equal(a.key, b.key)
				})
				for i := range entries {
					entries[i].trailer = entries[0].trailer // widths that grow are not foreseen
				}
				testRoom(t, limit, entries)
			}
		})
	}
}

func testRoom(t *testing.T, limit int, entries []entry) {
	t.Helper()
	var b Builder
	var r Room
	var last []byte
	for _, e := range entries {
		if b.Len() > 0 && !r.Take(&b, base.CommonPrefix(last, e.key), len(e.key), len(e.value)) {
			if n := b.Len(); n > 1 && len(b.Finish()) > limit {
				t.Fatalf("%d records take %d bytes", n, len(b.Finish()))
			}
			b.Reset()
		}
		if b.Len() == 0 {
			r.Begin(limit, len(e.key), len(e.value))
		}
		b.Add(e.key, e.trailer, e.value, 0)
		last = e.key
	}
}
