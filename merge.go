package lightning

import "github.com/lightningdb/lightning/internal/merge"

// The merge operators that every database has, for KeyspaceOptions.Merge.
const (
	// MergeAddInt64 adds integers of 8 bytes, little-endian, two's complement.
	// An absent key counts as zero. A sum that does not fit wraps around.
	MergeAddInt64 = merge.AddInt64
	// MergeMax and MergeMin keep the greatest or the least of all values, in the
	// order of their bytes, which for numbers is what package keyenc encodes.
	MergeMax = merge.Max
	MergeMin = merge.Min
	// MergeAppend puts the operands one after the other.
	MergeAppend = merge.Append
	// MergeSetUnion unites sets as AppendSet encodes them.
	MergeSetUnion = merge.SetUnion
	// MergeJSONPatch applies JSON merge patches (RFC 7396) to a JSON document.
	MergeJSONPatch = merge.JSONPatch
)

// MergeOperator is a way to apply operands to values, so that a value can be
// changed without being read first: a counter, a set, a running maximum. A
// keyspace has one or none, for good, by the operator's name.
//
// The functions must depend on their arguments alone: they are called again and
// again with the same operands, by several goroutines, while data is read,
// written out and merged, also after later starts of the program. The slices are
// valid until the function returns, and it must not write to any but dst, behind
// its length; it must not keep one. An error, or a panic, is what a reader of the
// key gets, as a *MergeError; the operands are kept.
type MergeOperator struct {
	// Name of the operator, up to 255 bytes.
	Name string
	// Check says what is wrong with an operand; Merge fails with that, as
	// ErrMergeRefused, and nothing is written. Nil accepts all.
	Check func(operand []byte) error
	// CheckValue says what is wrong with a value that is written as a whole; Put
	// fails with that as Merge does, so that no key is written that cannot be read
	// once an operand lies over it. Nil accepts all.
	CheckValue func(value []byte) error
	// Merge appends to dst what the operands, the oldest first, make of value,
	// which is nil if the key has none.
	Merge func(dst, value []byte, operands [][]byte) ([]byte, error)
	// Combine appends to dst one operand that does what several do, the oldest
	// first. It returns false if there is none. It may be nil; with it, a key
	// that is merged often and read seldom takes less space.
	Combine func(dst []byte, operands [][]byte) ([]byte, bool)
}

// AppendSet appends the encoding of a set of byte strings to dst, as
// MergeSetUnion takes and makes them. It sorts elements in place.
func AppendSet(dst []byte, elements ...[]byte) []byte { return merge.AppendSet(dst, elements) }

// DecodeSet returns the elements of a set, ascending. They are parts of set: they are
// valid as long as it is, and must not be written to where it must not.
func DecodeSet(set []byte) ([][]byte, error) { return merge.DecodeSet(nil, set) }
