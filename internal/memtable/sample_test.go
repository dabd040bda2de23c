package memtable

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
)

// With as many leaves as there are keys a sample is all of them, in order, once each; with few
// it stands for about as many, and never shows what is not within the bounds.
func TestSample(t *testing.T) {
	var memory offheap.Accountant
	table, err := New(&memory, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Free()
	rng := rand.New(rand.NewPCG(1, 1))
	keys := map[string]bool{}
	for i := range 20_000 {
		key := fmt.Sprintf("%s/%05d", []string{"a", "users", "users/of"}[rng.IntN(3)], i)
		if i%50 == 0 {
			key = key[:rng.IntN(len(key))]
		}
		keys[key] = true
		if err := table.Add([]byte(key), base.Hash([]byte(key)), base.MakeTrailer(base.SeqNum(i+1), base.KindSet), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ lo, hi string }{
		{"", ""}, {"a/1", "users"}, {"users/0", "users/1"}, {"users", "users/of/1"}, {"b", "c"}, {"users/of/15", ""}, {"a/00017", "a/00018"},
	} {
		var hi []byte
		if c.hi != "" {
			hi = []byte(c.hi)
		}
		truth := 0
		for key := range keys {
			if key >= c.lo && (hi == nil || key < c.hi) {
				truth++
			}
		}
		for _, leaves := range []int{1, 500, math.MaxInt32} {
			sum, shown, last := 0.0, 0, []byte(nil)
			Sample(table, []byte(c.lo), hi, leaves, func(rec *base.Record, weight float64) {
				key := string(rec.Key)
				if !keys[key] || key < c.lo || hi != nil && key >= c.hi {
					t.Errorf("%v: %q is shown", c, key)
				}
				if last != nil && bytes.Compare(rec.Key, last) <= 0 && leaves > 1000 {
					t.Errorf("%v: %q is shown behind %q", c, key, last)
				}
				sum, shown, last = sum+weight, shown+1, bytes.Clone(rec.Key)
			})
			exact := leaves > len(keys)
			if exact && (shown != truth || sum != float64(truth)) || shown > leaves {
				t.Errorf("%v: %d keys of %d are shown, for %v", c, shown, truth, sum)
			}
			if leaves == 500 && math.Abs(sum-float64(truth)) > 0.2*float64(truth)+20 {
				t.Errorf("%v: %d leaves of %d keys stand for %v", c, shown, truth, sum)
			}
		}
	}
}
