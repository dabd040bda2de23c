package table

import (
	"encoding/json"
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

// JSON is the codec that a table has by default: package encoding/json.
type JSON[R any] struct{}

// Name returns "json".
func (JSON[R]) Name() string { return "json" }

// Append appends the JSON form of rec.
func (JSON[R]) Append(dst []byte, rec R) ([]byte, error) {
	text, err := json.Marshal(rec)
	return append(dst, text...), err
}

// Decode reads the JSON form of a record.
func (JSON[R]) Decode(data []byte) (R, error) {
	var rec R
	err := json.Unmarshal(data, &rec)
	return rec, err
}
