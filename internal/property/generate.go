package property

import (
	"iter"
	"math"
	"math/bits"
)

// Generator draws values of a type. It has no state of its own, so that many
// runs may share it.
type Generator[V any] struct{ draw func(t *T) V }

// Draw draws a value. Where draws are logged, it is logged under its label, unless
// it is a part of another one.
func (g Generator[V]) Draw(t *T, label string) V {
	t.nested++
	v := g.draw(t)
	t.nested--
	if t.nested == 0 && t.rng == nil {
		t.note("%s: %#v", label, v)
	}
	return v
}

// Custom draws what a function draws.
func Custom[V any](draw func(t *T) V) Generator[V] { return Generator[V]{draw} }

// Just draws always the same.
func Just[V any](v V) Generator[V] { return Custom(func(*T) V { return v }) }

// Map draws what a function makes of what another generator draws.
func Map[U, V any](g Generator[U], fn func(U) V) Generator[V] {
	return Custom(func(t *T) V { return fn(g.draw(t)) })
}

// Bool draws false and true.
func Bool() Generator[bool] { return Custom(func(t *T) bool { return t.choose(2) == 1 }) }

// SampledFrom draws one of the values.
func SampledFrom[V any](values []V) Generator[V] {
	return Custom(func(t *T) V { return values[t.choose(uint64(len(values)))] })
}

// OneOf draws from one of the generators.
func OneOf[V any](generators ...Generator[V]) Generator[V] {
	return Custom(func(t *T) V { return SampledFrom(generators).draw(t).draw(t) })
}

// Times goes round lo to hi times. Each round is cut down by itself.
func Times(t *T, lo, hi int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < lo || i < hi && t.choose(uint64(hi-i+1)) > 0; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

// SliceOfN draws lo to hi values.
func SliceOfN[V any](g Generator[V], lo, hi int) Generator[[]V] {
	return Custom(func(t *T) []V {
		values := []V{}
		for range Times(t, lo, hi) {
			values = append(values, g.draw(t))
		}
		return values
	})
}

// below draws a number below n; all numbers are below 0. Of many numbers, those
// near the ends are drawn more often.
func below(t *T, n uint64) uint64 {
	if 0 < n && n <= 1<<10 {
		return t.choose(n)
	}
	fromEnd := t.choose(4) == 3
	size := t.choose(uint64(bits.Len64(n-1) + 1))
	v := t.choose(1 << size) // 1 << 64 is 0
	if n > 0 {
		v %= n
	}
	if fromEnd {
		v = n - 1 - v
	}
	return v
}

// Byte draws all bytes.
func Byte() Generator[byte] { return Custom(func(t *T) byte { return byte(t.choose(256)) }) }

// IntRange draws from lo to hi.
func IntRange(lo, hi int) Generator[int] {
	return Map(Int64Range(int64(lo), int64(hi)), func(v int64) int { return int(v) })
}

// Int64Range draws from lo to hi.
func Int64Range(lo, hi int64) Generator[int64] {
	return Custom(func(t *T) int64 { return int64(uint64(lo) + below(t, uint64(hi)-uint64(lo)+1)) })
}

// Int64 draws all numbers, those near 0 first.
func Int64() Generator[int64] {
	return Custom(func(t *T) int64 {
		v := int64(below(t, 0))
		if t.choose(2) == 1 {
			return -v
		}
		return v
	})
}

// Uint64 draws all numbers.
func Uint64() Generator[uint64] { return Uint64Min(0) }

// Uint64Min draws numbers from lo.
func Uint64Min(lo uint64) Generator[uint64] {
	return Custom(func(t *T) uint64 { return lo + below(t, -lo) })
}

// Float64 draws all numbers, but neither NaN nor infinities.
func Float64() Generator[float64] {
	return Custom(func(t *T) float64 {
		switch t.choose(3) {
		case 0:
			return float64(Int64().draw(t))
		case 1:
			return float64(Int64().draw(t)) / (1 << 32)
		}
		v := math.Float64frombits(t.choose(0))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0
		}
		return v
	})
}
