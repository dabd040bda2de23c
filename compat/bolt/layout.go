package bolt

import (
	"encoding/binary"
	"fmt"
)

// Rows of the keyspace. A bucket has a number, the root 0, which is never given out again.
//
//	n                   the last number that was given out
//	r NUMBER key        what a bucket has: 0 and a value, or 1, the number of a bucket in it, and
//	                    its sequence
//	c NUMBER name       the same buckets once more, so that all within a bucket are found without
//	                    reading what is between them: the number
//
// Numbers are big-endian and of 8 bytes.
const (
	kindNext  = 'n'
	kindRow   = 'r'
	kindChild = 'c'

	tagValue  = 0
	tagBucket = 1

	prefixBytes = 9
)

// number is that of a bucket.
type number uint64

const rootNumber number = 0

// rowKey returns the key of what a bucket has under a key.
func rowKey(bucket number, key []byte) []byte { return keyOf(kindRow, bucket, key) }

// childKey returns the key of the row that finds a bucket in a bucket.
func childKey(bucket number, name []byte) []byte { return keyOf(kindChild, bucket, name) }

func keyOf(kind byte, bucket number, rest []byte) []byte {
	key := make([]byte, 0, prefixBytes+len(rest))
	key = append(key, kind)
	key = binary.BigEndian.AppendUint64(key, uint64(bucket))
	return append(key, rest...)
}

// entry is what a bucket has under a key.
type entry struct {
	value    []byte // nil where it is a bucket
	child    number // where it is a bucket
	sequence uint64
}

func (e *entry) isBucket() bool { return e.value == nil }

// decodeEntry takes a stored row apart. The value is a part of the row.
func decodeEntry(row []byte) (e entry, err error) {
	switch {
	case len(row) > 0 && row[0] == tagValue:
		e.value = row[1:]
	case len(row) == 1+8+8 && row[0] == tagBucket:
		e.child = number(binary.BigEndian.Uint64(row[1:]))
		e.sequence = binary.BigEndian.Uint64(row[9:])
	default:
		return e, fmt.Errorf("%w: %x", errLayout, row[:min(len(row), 32)])
	}
	return e, nil
}

// encodeBucket returns the row of a bucket.
func encodeBucket(child number, sequence uint64) []byte {
	row := binary.BigEndian.AppendUint64([]byte{tagBucket}, uint64(child))
	return binary.BigEndian.AppendUint64(row, sequence)
}

// encodeValue returns the row of a value.
func encodeValue(value []byte) []byte { return append([]byte{tagValue}, value...) }

// encodeNumber and decodeNumber are for the rows that have a number alone.
func encodeNumber(n number) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func decodeNumber(row []byte) (number, error) {
	if len(row) != 8 {
		return 0, fmt.Errorf("%w: %x", errLayout, row[:min(len(row), 32)])
	}
	return number(binary.BigEndian.Uint64(row)), nil
}
