package block

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// A block in two pieces is what a Builder makes of the record, and is taken apart from
// its beginning.
func TestSingleIsWhatABuilderMakes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		key := make([]byte, 1+rng.IntN(40))
		for i := range key {
			key[i] = byte(rng.UintN(256))
		}
		value := make([]byte, rng.IntN(1<<rng.IntN(18)))
		tr := base.MakeTrailer(base.SeqNum(rng.Uint64N(1<<50)), base.KindSet)
		var b Builder
		b.Add(key, tr, value, base.Hash(key))
		whole := b.Finish()
		head := AppendSingle(nil, key, tr, len(value), base.Hash(key))
		if !bytes.Equal(append(bytes.Clone(head), value...), whole) {
			t.Fatalf("key of %d bytes, value of %d: the blocks differ", len(key), len(value))
		}
		if len(head) > SingleHeadMaxBytes(len(key)) {
			t.Fatalf("head of %d bytes for a key of %d", len(head), len(key))
		}
		start := whole[:min(len(whole), SingleHeadMaxBytes(len(key)))]
		gotKey, gotTr, at, err := ParseSingle(start, len(whole))
		if err != nil || !bytes.Equal(gotKey, key) || gotTr != tr || at != len(head) {
			t.Fatalf("key of %d bytes, value of %d: %x %v %d %v", len(key), len(value), gotKey, gotTr, at, err)
		}
	}
}

// FuzzParseSingle: what is accepted is sound.
func FuzzParseSingle(f *testing.F) {
	f.Add(AppendSingle(nil, []byte("key"), base.MakeTrailer(3, base.KindSet), 100, base.Hash([]byte("key"))), 100)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, head []byte, valueBytes int) {
		if valueBytes < 0 || valueBytes > 1<<20 {
			return
		}
		key, tr, at, err := ParseSingle(head, len(head)+valueBytes)
		if err != nil {
			return
		}
		whole := append(bytes.Clone(head), make([]byte, valueBytes)...)
		v, err := Parse(whole)
		if err != nil || v.Len() != 1 || v.Trailer(0) != tr || !bytes.Equal(v.AppendKey(nil, 0), key) {
			t.Fatalf("%v: %x", err, head)
		}
		if !bytes.Equal(v.Value(0), whole[at:]) {
			t.Errorf("value begins elsewhere than at %d", at)
		}
	})
}
