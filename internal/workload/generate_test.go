package workload

import (
	"fmt"
	"testing"
	"time"
)

// The generators give what they have always given, here spelled out; what rows
// make of them is in testdata/operations.txt.
func TestGeneratorsStay(t *testing.T) {
	var key [KeyBytes]byte
	value := make([]byte, 29)
	keyOf := func(o Order, n int64) string {
		o.MakeKey(&key, n)
		return fmt.Sprintf("%x", key)
	}
	valueOf := func(n int64, version uint64) string {
		Scattered.MakeKey(&key, n)
		MakeValue(value, key[:], version)
		return fmt.Sprintf("%x", value)
	}
	draw := func(seed Random, fn func(*Random) int64) string {
		var numbers [6]int64
		for i := range numbers {
			numbers[i] = fn(&seed)
		}
		return fmt.Sprint(numbers)
	}
	zipf := NewZipfian(1_000_000)
	first := seedOf(0) ^ Random(3*time.Second) // of a row of three seconds
	for _, c := range []struct{ what, got, want string }{
		{"key 0", keyOf(Scattered, 0), "e220a8397b1dcdaf927a7c57dc016e42"},
		{"key 1", keyOf(Scattered, 1), "910a2dec89025cc1afe5d660580bbfa9"},
		{"key 1,000,000", keyOf(Scattered, 1_000_000), "680d1cce9cff45e70bdf4941843b3f51"},
		{"an absent key", keyOf(Scattered, absentFrom), "1fdd7128f310c38974eec6505948124e"},
		{"ascending key 1", keyOf(Ascending, 1), "000000000000000101d60447fea35413"},
		{"value 0", valueOf(0, 0), "0000000000000000927a7c57dc016e42c1de39d0401fe4e2f042f748a5"},
		{"value 0, version 7", valueOf(0, 7), "07000000000000008f9869bc97798693befc2635fc96fc33ed60e4ad60"},
		{"the seeds", fmt.Sprintf("%x %x", uint64(seedOf(0)), uint64(seedOf(63))), "5692161d100b05e5 8aa449ce2d0ca1d3"},
		{"uniform", draw(first, func(r *Random) int64 { return r.Below(1_000_000) }), "[220332 855326 692469 925500 771271 589188]"},
		{"hot", draw(first, func(r *Random) int64 { return r.Below(hotRecords) }), "[2203 8553 6924 9255 7712 5891]"},
		{"zipf", draw(first, zipf.Draw), "[13 136494 13818 360397 42129 3145]"},
		{"thousandths", draw(first, func(r *Random) int64 { return int64(r.Fraction() * 1000) }), "[220 855 692 925 771 589]"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, not %s", c.what, c.got, c.want)
		}
	}
}

func TestRandomCoversItsRange(t *testing.T) {
	seen := map[int64]bool{}
	numbers := Random(1)
	for range 1000 {
		n := numbers.Below(10)
		if n < 0 || n >= 10 {
			t.Fatalf("%d is not below 10", n)
		}
		seen[n] = true
	}
	if len(seen) != 10 {
		t.Errorf("only %d numbers of 10", len(seen))
	}
}

// What is made and checked must cost little beside an operation of a database.
func BenchmarkGenerate(b *testing.B) {
	const records = 1_000_000
	var key [KeyBytes]byte
	value := make([]byte, 100)
	random, zipf := seedOf(0), NewZipfian(records)
	Scattered.MakeKey(&key, 0)
	MakeValue(value, key[:], 0)
	for _, c := range []struct {
		name string
		fn   func()
	}{
		{"key", func() { Scattered.MakeKey(&key, 1) }},
		{"key-uniform", func() { Scattered.MakeKey(&key, random.Below(records)) }},
		{"key-zipf", func() { Scattered.MakeKey(&key, zipf.Draw(&random)) }},
		{"value", func() { MakeValue(value, key[:], 1) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.fn()
			}
		})
	}
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		Scattered.MakeKey(&key, 1)
		MakeValue(value, key[:], 1)
		for b.Loop() {
			if err := CheckRecord(key[:], value, len(value)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("record-latency", func(b *testing.B) {
		b.ReportAllocs()
		h := NewHistogram()
		for b.Loop() {
			h.Record(time.Duration(random.Next() >> 40))
		}
	})
}
