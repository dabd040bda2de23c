package table

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// index is one that the handle knows, with its keyspace.
//
// Its entries: the key is the columns, and in an index that is not unique the
// primary key after them. The value is the length of each column, and in a
// unique index the primary key after them. So a unique index has one key for
// equal columns, and two transactions that write it are in conflict.
type index[R any] struct {
	id       uint64
	name     string
	unique   bool
	columns  []*attribute[R]
	keyspace *lightning.Keyspace
}

// entry is what an index holds for a row, encoded.
type entry struct{ key, value []byte }

// entries returns those of a record, ascending and without duplicates: values
// ascend, and no element is the beginning of another one.
func (x *index[R]) entries(rec R, primary []byte) ([]entry, error) {
	values := make([][][]byte, len(x.columns))
	count := 1
	for i, column := range x.columns {
		var err error
		if column.many == nil {
			var element []byte
			element, err = column.one(nil, rec)
			values[i] = [][]byte{element}
		} else {
			values[i], err = column.many(rec)
		}
		if err != nil {
			return nil, fmt.Errorf("index %s: column %s: %w", x.name, column.name, err)
		}
		count *= len(values[i])
		if count > maxEntriesPerRow {
			return nil, fmt.Errorf("index %s: more than %d entries for a row", x.name, maxEntriesPerRow)
		}
	}
	out := make([]entry, 0, count)
	for n := range count {
		out = append(out, x.entry(values, n, primary))
	}
	return out, nil
}

// maxEntriesPerRow bounds what one record can do to an index.
const maxEntriesPerRow = 1 << 16

// entry returns the n-th combination of values, of which the last column turns
// fastest.
func (x *index[R]) entry(values [][][]byte, n int, primary []byte) entry {
	size := len(primary)
	chosen := make([][]byte, len(values))
	for i := len(values) - 1; i >= 0; i-- {
		chosen[i] = values[i][n%len(values[i])]
		n /= len(values[i])
		size += len(chosen[i])
	}
	e := entry{key: make([]byte, 0, size)}
	for _, element := range chosen {
		e.key = append(e.key, element...)
		e.value = binary.AppendUvarint(e.value, uint64(len(element)))
	}
	if x.unique {
		e.value = append(e.value, primary...)
	} else {
		e.key = append(e.key, primary...)
	}
	return e
}

// place is where the parts of an entry are.
type place struct {
	ends    []int  // of each column in the key
	primary []byte // part of key or value
}

// decodeEntry takes an entry of an index with so many columns apart. It reuses
// the memory of ends. Only what must be known to use the entry is checked.
func decodeEntry(ends []int, key, value []byte, columns int, unique bool) (place, error) {
	at := uint64(0)
	ends = ends[:0]
	for range columns {
		size, n := binary.Uvarint(value)
		if n <= 0 || size == 0 || size > uint64(len(key))-at {
			return place{}, fmt.Errorf("index entry: %w", catalogue.ErrRecord)
		}
		at += size
		ends = append(ends, int(at))
		value = value[n:]
	}
	p := place{ends, key[at:]}
	rest := value
	if unique {
		p.primary, rest = value, key[at:]
	}
	if len(p.primary) == 0 || len(rest) > 0 {
		return place{}, fmt.Errorf("index entry: %w", catalogue.ErrRecord)
	}
	return p, nil
}

func (x *index[R]) decode(ends []int, key, value []byte) (place, error) {
	p, err := decodeEntry(ends, key, value, len(x.columns), x.unique)
	if err != nil {
		return p, fmt.Errorf("index %s: key %s: %w", x.name, keyenc.Format(key), err)
	}
	return p, nil
}

// difference returns what is only in one, only in the other and in both of two lists of
// entries of the same row. Equal keys have equal values then.
func difference(old, new []entry) (change edit) {
	for len(old) > 0 && len(new) > 0 {
		switch c := bytes.Compare(old[0].key, new[0].key); {
		case c < 0:
			change.removed = append(change.removed, old[0])
			old = old[1:]
		case c > 0:
			change.added = append(change.added, new[0])
			new = new[1:]
		default:
			change.kept = append(change.kept, new[0])
			old, new = old[1:], new[1:]
		}
	}
	change.removed = append(change.removed, old...)
	change.added = append(change.added, new...)
	return change
}
