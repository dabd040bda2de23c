package rangedel

import (
	"encoding/binary"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
)

// A fragment is stored as a record whose key is Lo and whose value is:
//
//	uvarint  length of Hi
//	bytes    Hi
//	uvarint  number of sequence numbers, at least 1
//	uvarint  the first, largest sequence number
//	uvarint  for each further one: how much smaller it is than the one before, at least 1
//
// Every uvarint has its shortest form and nothing follows, so that a fragment
// has exactly one encoding.

var (
	errTruncated = errors.New("range delete value is cut short")
	errLong      = errors.New("range delete value has bytes left over")
	errVarint    = errors.New("range delete value holds a malformed number")
)

// AppendValue appends the stored value of the fragment to dst. The key it
// belongs under is Lo.
func (f Fragment) AppendValue(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(f.Hi)))
	dst = append(dst, f.Hi...)
	dst = binary.AppendUvarint(dst, uint64(len(f.Seqs)))
	previous := base.SeqNum(0)
	for i, seq := range f.Seqs {
		if i == 0 {
			dst = binary.AppendUvarint(dst, uint64(seq))
		} else {
			dst = binary.AppendUvarint(dst, uint64(previous-seq))
		}
		previous = seq
	}
	return dst
}

// Decode makes f what AppendValue wrote under the key lo. The bounds alias lo and
// value; the memory of Seqs is used again. Input of any content is safe: it yields a
// well-formed fragment or an error, and no more is allocated than a small multiple of
// the input's length.
func (f *Fragment) Decode(lo, value []byte) error {
	hiBytes, rest, err := takeUvarint(value)
	if err != nil {
		return err
	}
	if hiBytes > uint64(len(rest)) {
		return errTruncated
	}
	f.Lo, f.Hi, rest = lo, rest[:hiBytes:hiBytes], rest[hiBytes:]
	count, rest, err := takeUvarint(rest)
	if err != nil {
		return err
	}
	if count > uint64(len(rest)) { // each takes at least a byte
		return errTruncated
	}
	f.Seqs = f.Seqs[:0]
	for i := range int(count) {
		var number uint64
		if number, rest, err = takeUvarint(rest); err != nil {
			return err
		}
		if i > 0 {
			// A difference beyond the previous number wraps around to one that
			// is not smaller than it, and fails the check below.
			number = uint64(f.Seqs[i-1]) - number
		}
		f.Seqs = append(f.Seqs, base.SeqNum(number))
	}
	if len(rest) > 0 {
		return errLong
	}
	return f.check()
}

// Newest looks into a stored value that was decoded before: the end of the fragment,
// and the largest of its sequence numbers that is not above seq, if there is one.
func Newest(value []byte, seq base.SeqNum) (hi []byte, newest base.SeqNum, found bool) {
	hiBytes, n := binary.Uvarint(value)
	value = value[n:]
	hi, value = value[:hiBytes:hiBytes], value[hiBytes:]
	count, n := binary.Uvarint(value)
	value = value[n:]
	for i := range count {
		number, n := binary.Uvarint(value)
		value = value[n:]
		if i > 0 {
			number = uint64(newest) - number
		}
		if newest = base.SeqNum(number); newest <= seq {
			return hi, newest, true
		}
	}
	return hi, 0, false
}

// takeUvarint reads a number in its shortest form from the begin of b.
func takeUvarint(b []byte) (number uint64, rest []byte, err error) {
	number, n := binary.Uvarint(b)
	switch {
	case n == 0:
		return 0, nil, errTruncated
	case n < 0 || n > 1 && b[n-1] == 0:
		return 0, nil, errVarint
	}
	return number, b[n:], nil
}
