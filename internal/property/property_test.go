package property

import (
	"flag"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outer is a test that may fail.
type outer struct {
	testing.TB
	failure string
}

func (o *outer) Helper() {}

func (o *outer) Fatalf(format string, args ...any) { o.failure += fmt.Sprintf(format, args...) }

// failure returns what Check says of a property.
func failure(t *testing.T, property func(t *T)) string {
	o := &outer{TB: t}
	Check(o, property)
	return o.failure
}

func TestPropertyHolds(t *testing.T) {
	runs := 0
	if text := failure(t, func(t *T) {
		runs++
		if n := IntRange(3, 9).Draw(t, "n"); n < 3 || n > 9 {
			t.Fatal("out of range")
		}
		if n := len(SliceOfN(Byte(), 1, 4).Draw(t, "bytes")); n < 1 || n > 4 {
			t.Errorf("%d bytes", n)
		}
	}); text != "" {
		t.Error(text)
	}
	want := *runsFlag
	if testing.Short() {
		want /= 5
	}
	if runs != want {
		t.Errorf("%d runs, want %d", runs, want)
	}
}

// TestSimplestFailure wants the simplest draws for which each property fails,
// and nothing of what was drawn before those were found.
func TestSimplestFailure(t *testing.T) {
	numbers := SliceOfN(IntRange(0, 1000), 0, 20)
	for name, c := range map[string]struct {
		property func(t *T)
		want     string
	}{
		"number": {func(t *T) {
			if n := Int64Range(-5, 1<<40).Draw(t, "n"); n >= 123_456 {
				t.Fatalf("%d is too large", n)
			}
		}, "n: 123456\n123456 is too large\n"},
		"slice": {func(t *T) {
			if n := numbers.Draw(t, "n"); slices.ContainsFunc(n, func(n int) bool { return n > 700 }) {
				t.Errorf("one is too large")
			}
		}, "n: []int{701}\none is too large\n"},
		"pair": {func(t *T) {
			n := numbers.Draw(t, "n")
			for i := range n {
				if i > 0 && n[i-1] > n[i] {
					t.Fatal("out of order:", n)
				}
			}
		}, "n: []int{1, 0}\nout of order: [1 0]\n"},
		"rounds": {func(t *T) {
			count := 0
			for range Times(t, 0, 30) {
				if SampledFrom([]string{"a", "b", "c"}).Draw(t, "letter") == "b" {
					count++
				}
			}
			if count > 1 {
				t.Fail()
			}
		}, "letter: \"b\"\nletter: \"b\"\n"},
		"parts": {func(t *T) {
			pair := Custom(func(t *T) [2]bool { return [2]bool{Bool().Draw(t, "a"), Bool().Draw(t, "b")} })
			if pair.Draw(t, "pair")[1] {
				t.FailNow()
			}
		}, "pair: [2]bool{false, true}\n"},
	} {
		text := failure(t, c.property)
		first, rest, _ := strings.Cut(text, "\n")
		if rest != c.want || !strings.HasPrefix(first, "-property.seed=") {
			t.Errorf("%s: got\n%s\nwant\n%s", name, text, c.want)
		}
	}
}

func TestPanicIsFailure(t *testing.T) {
	text := failure(t, func(t *T) {
		numbers := SliceOfN(Uint64(), 0, 9).Draw(t, "numbers")
		_ = numbers[len(numbers)*len(numbers)/2]
	})
	if !strings.Contains(text, "numbers: []uint64{}\npanic: ") || !strings.Contains(text, "TestPanicIsFailure") {
		t.Errorf("got %s", text)
	}
}

func TestFailureThatComesOnce(t *testing.T) {
	runs := 0
	text := failure(t, func(t *T) {
		if runs++; runs == 2 {
			t.Fatal("only now")
		}
	})
	if !strings.HasSuffix(text, ":\nonly now\na second run with the same draws does not fail\n") {
		t.Errorf("got %s", text)
	}
}

func TestSeedRepeats(t *testing.T) {
	var drawn [][]uint64
	property := func(t *T) {
		n := SliceOfN(Uint64(), 5, 5).Draw(t, "numbers")
		drawn = append(drawn, n)
		if n[0] > 1<<60 {
			t.Fail()
		}
	}
	seed := regexp.MustCompile(`-property\.seed=(\d+) `).FindStringSubmatch(failure(t, property))
	if seed == nil {
		t.Fatal("nothing failed")
	}
	failed := drawn[slices.IndexFunc(drawn, func(n []uint64) bool { return n[0] > 1<<60 })]
	if err := flag.Set("property.seed", seed[1]); err != nil {
		t.Fatal(err)
	}
	defer func() { *seedFlag = 0 }()
	drawn = nil
	if failure(t, property) == "" || !slices.Equal(drawn[0], failed) {
		t.Errorf("the seed gives %d, it was %d", drawn[0], failed)
	}
}

// TestGeneratorsReachTheirEnds draws often enough that the ends of each range
// come, and what is special.
func TestGeneratorsReachTheirEnds(t *testing.T) {
	*runsFlag *= 20
	defer func() { *runsFlag /= 20 }()
	met := map[string]bool{}
	Check(t, func(t *T) {
		meet := func(what string, yes bool) { met[what] = met[what] || yes }
		n := IntRange(-3, 3).Draw(t, "n")
		meet("-3", n == -3)
		meet("3", n == 3)
		far := Int64Range(-10, math.MaxInt64).Draw(t, "far")
		meet("-10", far == -10)
		meet("far", far > 1<<60)
		meet("max", far == math.MaxInt64)
		any := Int64().Draw(t, "any")
		meet("negative", any < -1<<60)
		meet("0", any == 0)
		high := Uint64Min(1<<63).Draw(t, "high")
		meet("high", high > 1<<63)
		if high < 1<<63 {
			t.Error(high, "is less than 1<<63")
		}
		f := Float64().Draw(t, "f")
		meet("whole", f == math.Trunc(f))
		meet("fraction", math.Abs(f) < 1 && f != 0)
		meet("huge", math.Abs(f) > 1e100)
		size := len(SliceOfN(OneOf(Just(1), Map(Bool(), func(bool) int { return 2 })), 2, 5).Draw(t, "slice"))
		meet("2", size == 2)
		meet("5", size == 5)
	})
	for what, ever := range met {
		if !ever {
			t.Errorf("%s was never drawn", what)
		}
	}
}
