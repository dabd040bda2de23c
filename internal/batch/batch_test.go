package batch

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/keyspace"
)

type batchOp struct {
	kind       base.Kind
	key, value string
}

func decodeAll(payload []byte) ([]batchOp, error) {
	r := NewReader(payload)
	var ops []batchOp
	for {
		ok, err := r.Next()
		if err != nil || !ok {
			return ops, err
		}
		ops = append(ops, batchOp{r.Kind, string(r.Key), string(r.Value)})
	}
}

func encode(t testing.TB, ops []batchOp) *Batch {
	t.Helper()
	b := &Batch{}
	for _, op := range ops {
		var err error
		switch op.kind {
		case base.KindSet:
			err = b.Set([]byte(op.key[:1]), []byte(op.key[1:]), []byte(op.value))
		case base.KindDelete:
			err = b.Delete(nil, []byte(op.key))
		case base.KindRangeDelete:
			err = b.DeleteRange([]byte(op.key), []byte(op.value))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func randomOps(rng *rand.Rand) []batchOp {
	var ops []batchOp
	for range rng.IntN(20) {
		op := batchOp{kind: base.Kind(1 + rng.IntN(3)), key: randomString(rng, 1+rng.IntN(300))}
		if op.kind != base.KindDelete {
			op.value = randomString(rng, rng.IntN(300))
		}
		ops = append(ops, op)
	}
	return ops
}

func randomString(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

func TestBatchRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var want []batchOp
		var payload []byte // several batches in a row, as in a log group
		for range 1 + rng.IntN(3) {
			ops := randomOps(rng)
			b := encode(t, ops)
			if b.Len() != len(ops) {
				t.Fatalf("seed %d: length %d, want %d", seed, b.Len(), len(ops))
			}
			want = append(want, ops...)
			payload = append(payload, b.buf...)
		}
		got, err := decodeAll(payload)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("seed %d: decoded %d operations, %v; want %d", seed, len(got), err, len(want))
		}
		if len(payload) > 0 {
			cut := rng.IntN(len(payload))
			if part, err := decodeAll(payload[:cut]); err == nil && len(part) == len(want) {
				t.Fatalf("seed %d: %d of %d bytes decode to everything", seed, cut, len(payload))
			}
		}
	}
}

func TestBatchRefusesDamage(t *testing.T) {
	for name, payload := range map[string][]byte{
		"short header":   {1, 0},
		"missing record": {1, 0, 0, 0},
		"kind 0":         {1, 0, 0, 0, 0, 1, 'a'},
		"unknown kind":   {1, 0, 0, 0, 200, 1, 'a'},
		"empty key":      {1, 0, 0, 0, byte(base.KindDelete), 0},
		"long key":       {1, 0, 0, 0, byte(base.KindDelete), 9, 'a'},
		"no value":       {1, 0, 0, 0, byte(base.KindSet), 1, 'a'},
		"huge length":    append([]byte{1, 0, 0, 0, byte(base.KindDelete)}, bytes.Repeat([]byte{0xff}, 12)...),
	} {
		if _, err := decodeAll(payload); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestBatchReset(t *testing.T) {
	b := encode(t, []batchOp{{base.KindSet, "ab", "c"}})
	b.Touch(&keyspace.Info{ID: 1})
	if err := errors.Join(b.SetExpiring(nil, []byte("d"), nil, 1), b.Merge(nil, []byte("e"), nil)); err != nil {
		t.Fatal(err)
	}
	if !b.Expires() || !b.Merges() {
		t.Error("the batch does not know what is in it")
	}
	b.Reset()
	if b.Len() != 0 || b.SizeBytes() != 0 || b.memBytes != 0 || len(b.keyspaces) != 0 || b.Expires() || b.Merges() {
		t.Errorf("after reset: %+v", b)
	}
}

// The only record of a batch is what a Reader finds, and no other batch has one.
func TestOnly(t *testing.T) {
	plain := 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		ops := randomOps(rng)
		b := encode(t, ops)
		kind, key, value, ok := b.Only()
		if want := len(ops) == 1 && (ops[0].kind == base.KindSet || ops[0].kind == base.KindDelete); ok != want {
			t.Fatalf("seed %d: only record of %d: %t", seed, len(ops), ok)
		}
		if !ok {
			continue
		}
		plain++
		r := NewReader(b.Bytes())
		if more, err := r.Next(); !more || err != nil {
			t.Fatal(more, err)
		}
		if kind != r.Kind || !bytes.Equal(key, r.Key) || !bytes.Equal(value, r.Value) || (value == nil) != (r.Value == nil) {
			t.Errorf("seed %d: %v of %x to %x, want %v of %x to %x", seed, kind, key, value, r.Kind, r.Key, r.Value)
		}
	}
	if plain < 50 {
		t.Errorf("%d batches of one", plain)
	}
}

// FuzzBatchReader feeds the decoder arbitrary bytes. What it accepts must
// encode to a batch that decodes to the same.
func FuzzBatchReader(f *testing.F) {
	f.Add(encode(f, []batchOp{{base.KindSet, "ab", "c"}, {base.KindDelete, "x", ""}}).buf)
	f.Add(encode(f, []batchOp{{base.KindRangeDelete, "a", "b"}}).buf)
	f.Add([]byte{1, 0, 0, 0, 2, 0x81, 0x00})
	f.Fuzz(func(t *testing.T, payload []byte) {
		ops, err := decodeAll(payload)
		if err != nil {
			return
		}
		again, err := decodeAll(encode(t, ops).buf)
		if err != nil || !slices.Equal(ops, again) {
			t.Fatalf("%d operations became %d, %v", len(ops), len(again), err)
		}
	})
}

func BenchmarkBatchEncodeDecode(b *testing.B) {
	var batch Batch
	key, value := make([]byte, 16), make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for range 100 {
			if err := batch.Set([]byte{0}, key, value); err != nil {
				b.Fatal(err)
			}
		}
		r := NewReader(batch.buf)
		for ok := true; ok; {
			ok, _ = r.Next()
		}
	}
}
