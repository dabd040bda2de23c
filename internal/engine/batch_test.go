package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

type batchOp struct {
	kind       base.Kind
	key, value string
}

func decodeAll(payload []byte) ([]batchOp, error) {
	r := batchReader{rest: payload}
	var ops []batchOp
	for {
		ok, err := r.next()
		if err != nil || !ok {
			return ops, err
		}
		ops = append(ops, batchOp{r.kind, string(r.key), string(r.value)})
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
		if _, err := decodeAll(payload); !errors.Is(err, errBatchEncoding) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestBatchReset(t *testing.T) {
	b := encode(t, []batchOp{{base.KindSet, "ab", "c"}})
	b.Touch(&KeyspaceInfo{ID: 1})
	b.Reset()
	if b.Len() != 0 || b.SizeBytes() != 0 || b.memBytes != 0 || len(b.keyspaces) != 0 {
		t.Errorf("after reset: %+v", b)
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
		r := batchReader{rest: batch.buf}
		for ok := true; ok; {
			ok, _ = r.next()
		}
	}
}

func TestKeyspacePrefixes(t *testing.T) {
	ids := []uint64{0, 1, 2, 0xee, 0xef, 0xf0, 0xff, 0x100, 0xffff, 0x10000, 1 << 40, math.MaxUint64}
	var last []byte
	for i, id := range ids {
		p := AppendPrefix(nil, id)
		if len(p) > base.MaxPrefixBytes {
			t.Errorf("prefix of %d has %d bytes", id, len(p))
		}
		if got, n := splitPrefix(append(slices.Clone(p), "key"...)); got != id || n != len(p) {
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
		splitPrefix(key) // malformed, must not fault
	}
	if PrefixEnd([]byte{0xff, 0xff}) != nil {
		t.Error("a prefix of ones has an end")
	}
}

func TestParseTableName(t *testing.T) {
	for _, n := range []base.FileNum{1, 999999, 1000000, 1 << 40} {
		if got, ok := parseTableName(tableName(n)); !ok || got != n {
			t.Errorf("%s reads as %d, %v", tableName(n), got, ok)
		}
	}
	for _, name := range []string{"1.sst", "000001", "000001.wal", "x00001.sst", "0000001.sst", "-00001.sst", "000001.sst.sst"} {
		if n, ok := parseTableName(name); ok {
			t.Errorf("%s reads as %d", name, n)
		}
	}
}

func TestLargeBatchOrder(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var ops []batchOp
		for range 50 {
			ops = append(ops, batchOp{base.KindSet, fmt.Sprintf("k%02d", rng.IntN(20)), fmt.Sprint(rng.Uint32())})
		}
		large, err := newLargeBatch(encode(t, ops).buf, 10)
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
