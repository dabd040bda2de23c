package keyenc

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"time"

	"github.com/lightningdb/lightning/internal/property"
)

// The order of the documentation, told a second time and without the encoding:
// what the tests compare keys with.

// rank is the place of an element's type in the order of types.
func rank(elem any) int {
	switch elem.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case int64, uint64:
		return 2
	case float64:
		return 3
	case time.Time:
		return 4
	case UUID:
		return 5
	case string:
		return 6
	case []byte:
		return 7
	case Tuple:
		return 8
	}
	return 9 // Descending
}

func number(elem any) *big.Int {
	if v, ok := elem.(uint64); ok {
		return new(big.Int).SetUint64(v)
	}
	return big.NewInt(elem.(int64))
}

func compareElements(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case bool:
		one := map[bool]int{true: 1}
		return cmp.Compare(one[a], one[b.(bool)])
	case int64, uint64:
		return number(a).Cmp(number(b))
	case float64:
		return cmp.Compare(a, b.(float64))
	case time.Time:
		return a.Compare(b.(time.Time))
	case UUID:
		other := b.(UUID)
		return bytes.Compare(a[:], other[:])
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case Tuple:
		return compareTuples(a, b.(Tuple))
	case Descending:
		return compareDescending(a, b.(Descending))
	}
	return 0 // nil
}

// compareDescending reverses the order of types as well.
func compareDescending(a, b Descending) int { return compareElements(b.Value, a.Value) }

func compareTuples(a, b Tuple) int {
	for i := range min(len(a), len(b)) {
		if c := compareElements(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// The generators draw elements as Decode returns them, and often such that are
// next to each other or begin in the same way.

func drawInteger() property.Generator[any] {
	return property.Custom(func(t *property.T) any {
		if property.Bool().Draw(t, "above int64") {
			return property.Uint64Min(math.MaxInt64+1).Draw(t, "uint64")
		}
		edge := int64(1) << property.IntRange(0, 62).Draw(t, "edge")
		near := property.Int64Range(-2, 2).Draw(t, "near")
		return property.SampledFrom([]int64{
			near, edge + near, -edge + near, smallMin + near, smallMax + near,
			math.MinInt64 + 2 + near, math.MaxInt64 - 2 + near, property.Int64().Draw(t, "int64"),
		}).Draw(t, "integer")
	})
}

func drawFloat() property.Generator[any] {
	edges := []float64{
		0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64,
		math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64,
	}
	return property.Custom(func(t *property.T) any {
		v := property.SampledFrom(append(edges, property.Float64().Draw(t, "float64"))).Draw(t, "float")
		if v == 0 {
			v = 0 // a -0 is decoded as 0
		}
		return v
	})
}

func drawTime() property.Generator[any] {
	return property.Custom(func(t *property.T) any {
		seconds := property.SampledFrom([]int64{
			-secondsTo1970, -1, 0, 1, secondsMax - secondsTo1970,
			property.Int64Range(-secondsTo1970, secondsMax-secondsTo1970).Draw(t, "any second"),
		}).Draw(t, "seconds")
		return time.Unix(seconds, property.Int64Range(0, nanosMax).Draw(t, "nanos")).UTC()
	})
}

func drawText() property.Generator[[]byte] {
	edges := property.SampledFrom([]byte{0, 1, 2, 3, 'a', 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff})
	return property.OneOf(property.SliceOfN(edges, 0, 4), property.SliceOfN(property.Byte(), 0, 80))
}

func drawUUID() property.Generator[any] {
	return property.Custom(func(t *property.T) any {
		var v UUID
		copy(v[:], drawText().Draw(t, "uuid"))
		return v
	})
}

func drawElement(depth int) property.Generator[any] {
	kinds := []property.Generator[any]{
		property.Just[any](nil),
		property.Map(property.Bool(), func(v bool) any { return v }),
		drawInteger(),
		drawFloat(),
		drawTime(),
		drawUUID(),
		property.Map(drawText(), func(v []byte) any { return string(v) }),
		property.Map(drawText(), func(v []byte) any { return v }),
	}
	if depth > 0 {
		kinds = append(kinds, property.Map(drawTuple(depth-1), func(v Tuple) any { return v }))
	}
	plain := property.OneOf(kinds...)
	return property.Custom(func(t *property.T) any {
		v := plain.Draw(t, "element")
		if property.Bool().Draw(t, "desc") {
			return Desc(v)
		}
		return v
	})
}

func drawTuple(depth int) property.Generator[Tuple] {
	return property.Map(property.SliceOfN(drawElement(depth), 0, 4), func(v []any) Tuple { return v })
}

// drawLike draws a tuple that shares its beginning with another one, inside
// nested tuples too.
func drawLike(t *property.T, like Tuple) Tuple {
	same := property.IntRange(0, len(like)).Draw(t, "same")
	drawn := append(Tuple{}, like[:same]...)
	if same < len(like) && property.Bool().Draw(t, "alike") {
		drawn = append(drawn, drawAlike(t, like[same]))
	}
	return append(drawn, drawTuple(1).Draw(t, "rest")...)
}

func drawTextLike(t *property.T, like []byte) []byte {
	same := property.IntRange(max(len(like)-1, 0), len(like)).Draw(t, "same")
	return append(bytes.Clone(like[:same]), drawText().Draw(t, "more")...)
}

func drawAlike(t *property.T, like any) any {
	switch like := like.(type) {
	case Descending:
		return Desc(drawAlike(t, like.Value))
	case Tuple:
		return drawLike(t, like)
	case string:
		return string(drawTextLike(t, []byte(like)))
	case []byte:
		return drawTextLike(t, like)
	case int64:
		return like/2 + property.Int64Range(-300, 300).Draw(t, "more")
	case float64:
		return drawFloat().Draw(t, "another")
	case time.Time:
		return time.Unix(like.Unix(), property.Int64Range(0, nanosMax).Draw(t, "nanos")).UTC()
	}
	return like
}
