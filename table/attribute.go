package table

import (
	"bytes"
	"reflect"
	"slices"
	"time"

	"github.com/lightningdb/lightning/keyenc"
)

// Attr is a named value of type V that is computed from a record of type R.
// It makes conditions for queries, and it is a Column. Make one with One or
// Many, once for each attribute: two of the same name are not the same.
//
// V is a type that package keyenc takes, or one with a method KeyElement: see
// Element.
type Attr[R, V any] struct {
	*attribute[R]
	encode func(dst []byte, value V) ([]byte, error)
}

// Column is an Attr without the type of its values.
type Column[R any] interface{ column() *attribute[R] }

// Element is implemented by types that package keyenc does not take, such as a
// struct that is a composite key. KeyElement returns what stands for the value
// in a key, for example a keyenc.Tuple. Equal values must have equal elements.
type Element interface{ KeyElement() any }

// attribute is an Attr without the type of its values. Of its two functions it
// has one. They append or return encoded elements.
type attribute[R any] struct {
	name string
	kind string // of its values; "" if they cannot be encoded
	one  func(dst []byte, rec R) ([]byte, error)
	many func(rec R) ([][]byte, error) // ascending, without duplicates
}

func (a *attribute[R]) column() *attribute[R] { return a }

// One makes an attribute that has exactly one value in each record. value must
// depend on the record only.
func One[R, V any](name string, value func(rec R) V) Attr[R, V] {
	kind, encode := encoderOf[V]()
	return Attr[R, V]{
		attribute: &attribute[R]{
			name: name,
			kind: kind,
			one:  func(dst []byte, rec R) ([]byte, error) { return encode(dst, value(rec)) },
		},
		encode: encode,
	}
}

// Many makes an attribute that has any number of values in a record, or none.
// values must depend on the record only; the order of the values and
// repetitions among them mean nothing.
//
// A condition on such an attribute holds if one of its values meets it.
func Many[R, V any](name string, values func(rec R) []V) Attr[R, V] {
	kind, encode := encoderOf[V]()
	encodeAll := func(rec R) ([][]byte, error) {
		var encoded [][]byte
		for _, value := range values(rec) {
			element, err := encode(nil, value)
			if err != nil {
				return nil, err
			}
			encoded = append(encoded, element)
		}
		slices.SortFunc(encoded, bytes.Compare)
		return slices.CompactFunc(encoded, bytes.Equal), nil
	}
	return Attr[R, V]{
		attribute: &attribute[R]{name: name, kind: kind, many: encodeAll},
		encode:    encode,
	}
}

// encoderOf returns the kind of a type and what encodes its values. The two
// encoders are apart so that values do not escape through the first.
func encoderOf[V any]() (kind string, encode func(dst []byte, value V) ([]byte, error)) {
	kind = kindOf(reflect.TypeFor[V]())
	if reflect.TypeFor[V]().Implements(reflect.TypeFor[Element]()) {
		return kind, func(dst []byte, value V) ([]byte, error) {
			return keyenc.Append(dst, any(value).(Element).KeyElement())
		}
	}
	return kind, func(dst []byte, value V) ([]byte, error) { return keyenc.Append(dst, value) }
}

const kindAny = "any" // told by each value

// kindOf names the type of elements that a Go type is encoded as, or returns
// "" if it is none. The names are stored.
func kindOf(t reflect.Type) string {
	switch {
	case t.Implements(reflect.TypeFor[Element]()), t == reflect.TypeFor[keyenc.Descending]():
		return kindAny
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t == reflect.TypeFor[keyenc.Tuple]():
		return "tuple"
	}
	switch t.Kind() {
	case reflect.Interface:
		return kindAny
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	case reflect.Float32, reflect.Float64:
		return "float"
	case reflect.String:
		return "string"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
	case reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && t.Len() == len(keyenc.UUID{}) {
			return "uuid"
		}
	}
	return ""
}
