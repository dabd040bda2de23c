package workload

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

func TestRecordsAreChecked(t *testing.T) {
	var key [KeyBytes]byte
	for _, o := range []order{scattered, ascending} {
		for n := range int64(500) {
			for _, size := range []int{MinValueBytes, 17, 100, 1000} {
				o.makeKey(&key, n)
				value := make([]byte, size)
				makeValue(value, key[:], uint64(n)*7)
				if err := checkRecord(key[:], value, size); err != nil {
					t.Fatal(err)
				}
				for _, at := range []int{0, 8, size - 1} {
					value[at] ^= 1
					if err := checkRecord(key[:], value, size); !errors.As(err, new(wrongAnswer)) {
						t.Fatalf("size %d: byte %d changed and not seen: %v", size, at, err)
					}
					value[at] ^= 1
				}
				other := bytes.Clone(key[:])
				other[n%KeyBytes] ^= 1
				if checkRecord(other, value, size) == nil {
					t.Fatal("another key took the value")
				}
				if checkRecord(key[:], value[:size-1], size) == nil {
					t.Fatal("a short value was taken")
				}
			}
		}
	}
}

func TestAscendingKeysAscend(t *testing.T) {
	var a, b [KeyBytes]byte
	for n := range int64(1000) {
		ascending.makeKey(&a, n)
		ascending.makeKey(&b, n+1)
		if bytes.Compare(a[:], b[:]) >= 0 {
			t.Fatalf("key %d is not below the next", n)
		}
	}
}

// The popularity of the first numbers comes near to 1/k^theta; the method is not
// exact for them.
func TestZipfian(t *testing.T) {
	const items, draws = 1000, 2_000_000
	z, r := newZipfian(items), random(1)
	counts := make([]int, items)
	for range draws {
		counts[z.draw(&r)]++
	}
	for k := range 5 {
		want := draws / z.zeta / math.Pow(float64(k+1), theta)
		if got := float64(counts[k]); math.Abs(got-want) > 0.25*want {
			t.Errorf("number %d was drawn %.0f times, not about %.0f", k, got, want)
		}
	}
	if !slices.Contains(counts[items*9/10:], 1) && slices.Max(counts[items*9/10:]) == 0 {
		t.Error("the last numbers were never drawn")
	}
	for _, items := range []int64{1, 2, 3} {
		z := newZipfian(items)
		for range 1000 {
			if n := z.draw(&r); n < 0 || n >= items {
				t.Fatalf("drew %d of %d items", n, items)
			}
		}
	}
}

func BenchmarkZipfian(b *testing.B) {
	z, r := newZipfian(1_000_000), random(1)
	b.ReportAllocs()
	for b.Loop() {
		z.draw(&r)
	}
}

func BenchmarkMakeAndCheck(b *testing.B) {
	var key [KeyBytes]byte
	value := make([]byte, 100)
	b.ReportAllocs()
	for n := int64(0); b.Loop(); n++ {
		scattered.makeKey(&key, n)
		makeValue(value, key[:], 1)
		if err := checkRecord(key[:], value, len(value)); err != nil {
			b.Fatal(err)
		}
	}
}
