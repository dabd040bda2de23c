package catalogue

import (
	"encoding/binary"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/keyenc"
)

// A sealed record is a version, a tuple and a checksum of both.
const (
	recordVersion = 1
	sealBytes     = 4
)

// ErrRecord says that a record of the catalogue, or an index entry, is not what
// a writer makes.
var ErrRecord = fmt.Errorf("malformed record: %w", base.ErrCorrupted)

// seal encodes a record. Its elements are of types that have encodings.
func seal(elems ...any) []byte {
	record, _ := keyenc.Append([]byte{recordVersion}, elems...)
	return binary.BigEndian.AppendUint32(record, checksum.CRC(0, record))
}

func unseal(record []byte) (*reader, error) {
	if len(record) < 1+sealBytes {
		return nil, ErrRecord
	}
	body, sum := record[:len(record)-sealBytes], record[len(record)-sealBytes:]
	if checksum.CRC(0, body) != binary.BigEndian.Uint32(sum) {
		return nil, ErrRecord
	}
	if version := body[0]; version != recordVersion {
		return nil, fmt.Errorf("version %d is not known, %d is", version, recordVersion)
	}
	elems, err := keyenc.Decode(body[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return &reader{elems: elems, bad: new(bool)}, nil
}

// reader takes the elements of a record one after the other. What is not there,
// or of another type, makes it fail, for good.
type reader struct {
	elems keyenc.Tuple
	bad   *bool // shared with the readers of inner tuples
}

func (r *reader) failed() bool { return *r.bad }
func (r *reader) fail()        { *r.bad = true }

func (r *reader) more() bool { return len(r.elems) > 0 && !r.failed() }

func (r *reader) end() {
	if len(r.elems) > 0 {
		r.fail()
	}
}

func (r *reader) next() any {
	if !r.more() {
		r.fail()
		return nil
	}
	elem := r.elems[0]
	r.elems = r.elems[1:]
	return elem
}

// take returns the next element if it is of type T.
func take[T any](r *reader) T {
	elem, ok := r.next().(T)
	if !ok {
		r.fail()
	}
	return elem
}

// number reads a number that is not negative. All that is stored is small.
func (r *reader) number() uint64 {
	n := take[int64](r)
	if n < 0 {
		r.fail()
	}
	return uint64(n)
}

func (r *reader) text() string  { return take[string](r) }
func (r *reader) boolean() bool { return take[bool](r) }
func (r *reader) bytes() []byte { return take[[]byte](r) }
func (r *reader) tuple() *reader {
	return &reader{elems: take[keyenc.Tuple](r), bad: r.bad}
}
