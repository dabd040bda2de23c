package view

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/wal"
)

func TestLargeBatchOrder(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var b batch.Batch
		type op struct{ key, value string }
		var ops []op
		for range 50 {
			o := op{fmt.Sprintf("k%02d", rng.IntN(20)), fmt.Sprint(rng.Uint32())}
			ops = append(ops, o)
			if err := b.Set(nil, []byte(o.key), []byte(o.value)); err != nil {
				t.Fatal(err)
			}
		}
		large, err := newLargeBatch([]wal.Group{{First: 10, Payload: b.Bytes()}})
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(large.entries); i++ {
			a, b := large.entries[i-1], large.entries[i]
			if base.Compare(a.key, a.trailer, b.key, b.trailer) >= 0 {
				t.Fatalf("seed %d: entries %d and %d are out of order", seed, i-1, i)
			}
		}
		for seq := base.SeqNum(9); seq < 61; seq++ {
			want, ok := "", false
			for i, op := range ops {
				if op.key == "k07" && base.SeqNum(10+i) <= seq {
					want, ok = op.value, true
				}
			}
			_, got, found := large.get([]byte("k07"), seq)
			if found != ok || string(got) != want {
				t.Fatalf("seed %d: get at %d = %q, %v; want %q", seed, seq, got, found, want)
			}
		}
	}
}
