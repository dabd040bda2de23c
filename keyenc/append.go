package keyenc

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"reflect"
	"strconv"
	"time"
)

// Tuple is a sequence of elements. As an element of another tuple it sorts
// element by element, and a tuple that begins another one sorts before it.
type Tuple []any

// UUID is 16 bytes that sort as they are.
type UUID [uuidBytes]byte

// String returns the usual form, as in 6ba7b810-9dad-11d1-80b4-00c04fd430c8.
func (u UUID) String() string {
	digits := make([]byte, 0, 2*uuidBytes+4)
	begin := 0
	for _, end := range [...]int{4, 6, 8, 10, uuidBytes} {
		if begin > 0 {
			digits = append(digits, '-')
		}
		digits = hex.AppendEncode(digits, u[begin:end])
		begin = end
	}
	return string(digits)
}

// Descending is an element that sorts backwards. Desc makes it, and Decode
// returns it.
type Descending struct{ Value any }

// Desc makes value, an element of any other type, sort backwards.
func Desc(value any) Descending { return Descending{value} }

// Append appends the encoding of a tuple of these elements to dst, which can
// be nil, and returns the longer slice. What it appends to the encoding of a
// tuple makes that of the longer tuple, so a key can be made in steps. It does
// not allocate when dst has room, and keeps none of the elements.
//
// It fails with an *EncodeError on an element that has no encoding, and then
// returns dst as it was.
func Append(dst []byte, elems ...any) ([]byte, error) {
	key := dst
	for i, elem := range elems {
		var reason string
		if key, reason = appendElement(key, elem, 0); reason != "" {
			return dst, &EncodeError{Index: i, Reason: reason}
		}
	}
	return key, nil
}

// appendElement appends one element inside depth tuples, or says why not. It
// must not let elem escape, or callers of Append would have to allocate their
// elements; that is why it returns no error that could hold one.
func appendElement(dst []byte, elem any, depth int) (key []byte, reason string) {
	switch v := elem.(type) {
	case nil:
		return append(dst, tagNil), ""
	case bool:
		return appendBool(dst, v), ""
	case int:
		return appendInt(dst, int64(v)), ""
	case int64:
		return appendInt(dst, v), ""
	case uint64:
		return appendUint(dst, v), ""
	case float64:
		return appendFloat(dst, v), ""
	case string:
		return appendText(dst, tagString, v), ""
	case []byte:
		return appendText(dst, tagBytes, v), ""
	case time.Time:
		return appendTime(dst, v)
	case UUID:
		return append(append(dst, tagUUID), v[:]...), ""
	case Tuple:
		return appendTuple(dst, v, depth+1)
	case Descending:
		return appendDescending(dst, v, depth)
	}
	return appendKind(dst, elem)
}

// appendKind appends the basic types that appendElement does not know by name,
// and types declared with them.
func appendKind(dst []byte, elem any) (key []byte, reason string) {
	v := reflect.ValueOf(elem)
	switch v.Kind() {
	case reflect.Bool:
		return appendBool(dst, v.Bool()), ""
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return appendInt(dst, v.Int()), ""
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return appendUint(dst, v.Uint()), ""
	case reflect.Float32, reflect.Float64:
		return appendFloat(dst, v.Float()), ""
	case reflect.String:
		return appendText(dst, tagString, v.String()), ""
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return appendText(dst, tagBytes, v.Bytes()), ""
		}
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Len() == uuidBytes {
			dst = append(dst, tagUUID)
			for i := range uuidBytes {
				dst = append(dst, byte(v.Index(i).Uint()))
			}
			return dst, ""
		}
	}
	return dst, "type " + v.Type().String() + " has no encoding"
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, tagTrue)
	}
	return append(dst, tagFalse)
}

func appendInt(dst []byte, v int64) []byte {
	if v >= 0 {
		return appendUint(dst, uint64(v))
	}
	if v >= smallMin {
		return append(dst, byte(tagZero+v))
	}
	size := byteLen(^uint64(v))
	return appendLow(append(dst, byte(tagSmall-size)), uint64(v), size)
}

func appendUint(dst []byte, v uint64) []byte {
	if v <= smallMax {
		return append(dst, byte(tagZero+v))
	}
	size := byteLen(v)
	return appendLow(append(dst, byte(tagLarge+size)), v, size)
}

// byteLen returns how many bytes v needs.
func byteLen(v uint64) int { return (bits.Len64(v) + 7) / 8 }

// appendLow appends the low size bytes of v, the highest first.
func appendLow(dst []byte, v uint64, size int) []byte {
	var whole [8]byte
	binary.BigEndian.PutUint64(whole[:], v)
	return append(dst, whole[8-size:]...)
}

func appendFloat(dst []byte, v float64) []byte {
	return appendLow(append(dst, tagFloat), floatKey(v), floatBytes)
}

// floatKey maps floats to integers of the same order.
func floatKey(v float64) uint64 {
	image := math.Float64bits(v)
	switch {
	case v != v:
		return floatNaN
	case v < 0:
		return ^image
	}
	return image | floatSign // 0 and -0 alike
}

// appendText appends a string or []byte.
func appendText[T string | []byte](dst []byte, tag byte, text T) []byte {
	dst = append(dst, tag)
	done := 0
	for i := 0; i < len(text); i++ {
		if text[i] > escape {
			continue
		}
		dst = append(dst, text[done:i]...)
		dst = append(dst, escape, text[i]+1)
		done = i + 1
	}
	dst = append(dst, text[done:]...)
	return append(dst, terminator)
}

func appendTime(dst []byte, v time.Time) (key []byte, reason string) {
	seconds := v.Unix() + secondsTo1970
	if seconds < 0 || seconds > secondsMax {
		return dst, "time is outside of the years 1 to 9999 in UTC"
	}
	dst = appendLow(append(dst, tagTime), uint64(seconds), timeSecondsBytes)
	return appendLow(dst, uint64(v.Nanosecond()), timeNanosBytes), ""
}

func appendTuple(dst []byte, v Tuple, depth int) (key []byte, reason string) {
	if depth > depthMax {
		return dst, "more than " + strconv.Itoa(depthMax) + " tuples in each other"
	}
	key = append(dst, tagTuple)
	for _, elem := range v {
		if key, reason = appendElement(key, elem, depth); reason != "" {
			return dst, reason
		}
	}
	return append(key, tagEnd), ""
}

func appendDescending(dst []byte, v Descending, depth int) (key []byte, reason string) {
	if _, twice := v.Value.(Descending); twice {
		return dst, "Desc of Desc"
	}
	key, reason = appendElement(dst, v.Value, depth)
	if reason != "" {
		return dst, reason
	}
	complement(key[len(dst):])
	return key, ""
}

func complement(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}
