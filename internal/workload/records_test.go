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
	for _, o := range []Order{Scattered, Ascending} {
		for n := range int64(500) {
			for _, size := range []int{1, 8, VersionedBytes - 1, VersionedBytes, 17, 100, 1000} {
				o.MakeKey(&key, n)
				value := make([]byte, size)
				MakeValue(value, key[:], uint64(n)*7)
				if err := CheckRecord(key[:], value, size); err != nil {
					t.Fatal(err)
				}
				for at := int(n % 7); at < size; at += 7 {
					value[at] ^= 1
					if err := CheckRecord(key[:], value, size); !errors.As(err, new(WrongAnswer)) {
						t.Fatalf("size %d: byte %d changed and not seen: %v", size, at, err)
					}
					value[at] ^= 1
				}
				other := bytes.Clone(key[:])
				other[n%KeyBytes] ^= 1
				if CheckRecord(other, value, size) == nil {
					t.Fatal("another key took the value")
				}
				if CheckRecord(key[:], value[:size-1], size) == nil {
					t.Fatal("a short value was taken")
				}
			}
		}
	}
}

func TestAscendingKeysAscend(t *testing.T) {
	var a, b [KeyBytes]byte
	for n := range int64(1000) {
		Ascending.MakeKey(&a, n)
		Ascending.MakeKey(&b, n+1)
		if bytes.Compare(a[:], b[:]) >= 0 {
			t.Fatalf("key %d is not below the next", n)
		}
	}
}

// The popularity of the first numbers comes near to 1/k^theta; the method is not
// exact for them.
func TestZipfian(t *testing.T) {
	const items, draws = 1000, 2_000_000
	z, r := NewZipfian(items), Random(1)
	counts := make([]int, items)
	for range draws {
		counts[z.Draw(&r)]++
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
		z := NewZipfian(items)
		for range 1000 {
			if n := z.Draw(&r); n < 0 || n >= items {
				t.Fatalf("drew %d of %d items", n, items)
			}
		}
	}
}

// The quick way to draw draws what the formula says.
func TestZipfianIsExact(t *testing.T) {
	for _, items := range []int64{2, 10, 3001, 1_000_000, 50_000_000} {
		z := &Zipfian{items: items, alpha: 1 / (1 - theta)}
		r := Random(items)
		for range 200_000 {
			x := r.Fraction()
			if x = 1 - x*x; x <= 0 { // most powers of small numbers are 0
				continue
			}
			want := int64(float64(items) * math.Pow(x, z.alpha))
			if got := int64(z.scaled(x)); got != want {
				t.Fatalf("%d items: %v gives %d, not %d", items, x, got, want)
			}
		}
	}
}
