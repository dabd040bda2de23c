package keyenc

import (
	"testing"
	"time"
)

// The elements are variables, so that the compiler has to make interfaces of
// them at run time.
type row struct {
	table  string
	tenant ownUUID
	count  int
	large  uint64
	score  float64
	at     time.Time
	id     UUID
	raw    []byte
	path   Tuple
}

func sample() row {
	return row{
		table:  "orders of a long name\x00",
		tenant: ownUUID{1},
		count:  123456,
		large:  1 << 63,
		score:  -1.5,
		at:     time.Unix(1_800_000_000, 5),
		id:     UUID{2},
		raw:    []byte("raw\x00"),
		path:   Tuple{"a", 1000, Tuple{}},
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	r := sample()
	buf := make([]byte, 0, 1024)
	for name, step := range map[string]func() ([]byte, error){
		"integers": func() ([]byte, error) {
			return Append(buf, r.count, r.large, int32(r.count), uint8(r.count))
		},
		"string": func() ([]byte, error) { return Append(buf, r.table) },
		"bytes":  func() ([]byte, error) { return Append(buf, r.raw) },
		"float":  func() ([]byte, error) { return Append(buf, r.score, float32(r.score)) },
		"time":   func() ([]byte, error) { return Append(buf, r.at, r.at.Sub(time.Time{})) },
		"UUID":   func() ([]byte, error) { return Append(buf, r.id, r.tenant) },
		"tuple":  func() ([]byte, error) { return Append(buf, r.path, Tuple{r.table, r.count}) },
		"descending": func() ([]byte, error) {
			return Append(buf, Desc(r.at), Desc(r.table), Desc(r.path))
		},
		"named": func() ([]byte, error) {
			return Append(buf, ownString(r.table), ownInt(r.count), ownBytes(r.raw), ownFloat(r.score))
		},
	} {
		allocs := testing.AllocsPerRun(100, func() {
			if key, err := step(); err != nil || len(key) == 0 || &key[0] != &buf[:1][0] {
				t.Fatal("not appended to the buffer", err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	r := sample()
	key := mustAppend(t, r.count, r.large, r.score, Desc(r.at), r.id, true, r.raw, nil)
	buf := make([]byte, 0, 64)
	allocs := testing.AllocsPerRun(100, func() {
		d := NewDecoder(key)
		_, e1 := d.Int64()
		_, e2 := d.Uint64()
		_, e3 := d.Float64()
		_, e4 := d.Desc().Time()
		_, e5 := d.UUID()
		_, e6 := d.Bool()
		_, e7 := d.Bytes(buf)
		if e1 != nil || e2 != nil || e3 != nil || e4 != nil || e5 != nil || e6 != nil || e7 != nil ||
			!d.Nil() || d.End() != nil {
			t.Fatal(e1, e2, e3, e4, e5, e6, e7)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkAppend(b *testing.B) {
	r := sample()
	buf := make([]byte, 0, 1024)
	for name, step := range map[string]func() ([]byte, error){
		"integer": func() ([]byte, error) { return Append(buf, r.count) },
		"string":  func() ([]byte, error) { return Append(buf, r.table) },
		"key":     func() ([]byte, error) { return Append(buf, "order", r.count, Desc(r.at), r.id) },
		"nested":  func() ([]byte, error) { return Append(buf, Tuple{r.table, r.count}, r.score) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := step(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	r := sample()
	key := mustAppend(b, "order", r.count, Desc(r.at), r.id)
	b.Run("typed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d := NewDecoder(key)
			_, e1 := d.String()
			_, e2 := d.Int64()
			_, e3 := d.Desc().Time()
			_, e4 := d.UUID()
			if e1 != nil || e2 != nil || e3 != nil || e4 != nil || d.End() != nil {
				b.Fatal(e1, e2, e3, e4)
			}
		}
	})
	b.Run("untyped", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
