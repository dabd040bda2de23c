package table

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
)

// Codec turns records into the bytes of a row and back. It must be safe for
// concurrent use.
type Codec[R any] interface {
	// Name is kept with the table, so that rows are not read with another
	// codec than they were written with.
	Name() string
	// Append appends the encoding of rec to dst and returns the longer slice.
	Append(dst []byte, rec R) ([]byte, error)
	// Decode returns the record that data is the encoding of. data may be memory of
	// the database: it is valid until Decode returns, so the record must not keep
	// any of it, and it must not be written to.
	Decode(data []byte) (R, error)
}

// JSON is the codec that a table has by default: package encoding/json. It has no
// form for text that is not UTF-8; []byte is for what need not be.
type JSON[R any] struct{}

// Name returns "json".
func (JSON[R]) Name() string { return "json" }

// Append appends the JSON form of rec. It fails with ErrNotUTF8 where that would not
// be what rec is.
func (c JSON[R]) Append(dst []byte, rec R) ([]byte, error) {
	text, err := json.Marshal(rec)
	if err == nil && bytes.Contains(text, replacement) {
		err = c.checkReplacements(text)
	}
	if err != nil {
		return dst, err
	}
	return append(dst, text...), nil
}

// replacement is what package encoding/json writes for a byte that is no UTF-8. The
// character itself it writes as it is.
var replacement = []byte(`\ufffd`)

// checkReplacements tells replacements apart from what a record writes for itself, in
// a json.RawMessage: what was read does not write those again.
func (c JSON[R]) checkReplacements(text []byte) error {
	rec, err := c.Decode(text)
	if err != nil {
		return err
	}
	again, err := json.Marshal(rec)
	if err == nil && !bytes.Equal(again, text) {
		err = ErrNotUTF8
	}
	return err
}

// Decode reads the JSON form of a record.
func (JSON[R]) Decode(data []byte) (R, error) {
	var rec R
	err := json.Unmarshal(data, &rec)
	return rec, err
}

// Binary is the codec for records that have an encoding of their own, as time.Time and
// many generated types do: MarshalBinary of R, and UnmarshalBinary of *R, which must not
// keep any of the data. The second type is left out: Binary[Point]().
func Binary[R encoding.BinaryMarshaler, P interface {
	*R
	encoding.BinaryUnmarshaler
}]() Codec[R] {
	return codec[R]{
		name:    "binary",
		marshal: func(rec R) ([]byte, error) { return rec.MarshalBinary() },
		unmarshal: func(data []byte) (rec R, err error) {
			return rec, P(&rec).UnmarshalBinary(data)
		},
	}
}

// Protobuf is the codec for messages of Protocol Buffers. The table is one of pointers:
//
//	table.Schema[*pb.Person, string]{
//		Codec: table.Protobuf[pb.Person](proto.Marshal, proto.Unmarshal),
//		...
//	}
//
// M is the interface that the functions take, proto.Message; *R must be one. The library
// itself needs no package for it, and other pairs of functions of this form do as well.
// What marshal returns belongs to the codec. What unmarshal gets is valid until it returns
// and must not be written to.
func Protobuf[R, M any](marshal func(M) ([]byte, error), unmarshal func([]byte, M) error) Codec[*R] {
	message := func(rec *R) (M, error) {
		m, ok := any(rec).(M)
		if !ok {
			return m, fmt.Errorf("%T is not what the functions of the codec take", rec)
		}
		return m, nil
	}
	return codec[*R]{
		name: "protobuf",
		marshal: func(rec *R) ([]byte, error) {
			m, err := message(rec)
			if err != nil {
				return nil, err
			}
			return marshal(m)
		},
		unmarshal: func(data []byte) (*R, error) {
			rec := new(R)
			m, err := message(rec)
			if err != nil {
				return nil, err
			}
			return rec, unmarshal(data, m)
		},
	}
}

// codec is one made of functions.
type codec[R any] struct {
	name      string
	marshal   func(rec R) ([]byte, error)
	unmarshal func(data []byte) (R, error)
}

func (c codec[R]) Name() string { return c.name }

func (c codec[R]) Append(dst []byte, rec R) ([]byte, error) {
	data, err := c.marshal(rec)
	if err != nil {
		return dst, err
	}
	return append(dst, data...), nil
}

func (c codec[R]) Decode(data []byte) (R, error) { return c.unmarshal(data) }
