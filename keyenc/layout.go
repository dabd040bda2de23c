package keyenc

import "fmt"

// The tags that elements begin with, in the order of the types; the gaps are
// for types to come. docs/format/keyenc.md describes them byte for byte.
//
// Two invariants hold the encoding together. No element is the beginning of
// another one, so that the first byte in which two keys differ is inside the
// first element in which the tuples differ. And all tags are below 0x80, so
// that the complement of an element, which is its descending form, is told
// from every ascending one by its first byte.
const (
	tagEnd   = 0x00 // of a nested tuple: before every element, so that shorter is less
	tagNil   = 0x04
	tagFalse = 0x08
	tagTrue  = 0x09

	// An integer from smallMin to smallMax is one byte, tagZero plus its value.
	// Others have as many bytes as they need; the tag says how many, and
	// grows with them above zero and shrinks with them below.
	tagIntMin = 0x10
	tagZero   = 0x20
	tagIntMax = 0x5f

	tagFloat  = 0x60
	tagTime   = 0x64
	tagUUID   = 0x68
	tagString = 0x6c
	tagBytes  = 0x70
	tagTuple  = 0x74

	descendingBit = 0x80 // set in complemented tags only

	smallMin = -8
	smallMax = 55
	tagSmall = tagZero + smallMin // below it by n: negative, n bytes follow
	tagLarge = tagZero + smallMax // above it by n: positive, n bytes follow
)

// In a string or []byte, a byte b that is 0 or 1 becomes escape, b+1; so
// terminator occurs at the end only and sorts before whatever could be there.
const (
	terminator = 0x00
	escape     = 0x01
)

const (
	floatBytes       = 8
	uuidBytes        = 16
	timeSecondsBytes = 5
	timeNanosBytes   = 4

	floatSign = 1 << 63
	floatNaN  = 0 // would be a negative NaN, which is not kept, and is before -Inf

	secondsTo1970 = 62_135_596_800  // from the beginning of year 1
	secondsMax    = 315_537_897_599 // from there to the last second of year 9999
	nanosMax      = 999_999_999

	// depthMax bounds the recursion of encoder and decoder.
	depthMax = 64
)

// typeName names the type that a tag stands for, or is "".
func typeName(tag byte) string {
	switch tag {
	case tagNil:
		return "nil"
	case tagFalse, tagTrue:
		return "bool"
	case tagFloat:
		return "float"
	case tagTime:
		return "time"
	case tagUUID:
		return "UUID"
	case tagString:
		return "string"
	case tagBytes:
		return "bytes"
	case tagTuple:
		return "tuple"
	}
	if tag >= tagIntMin && tag <= tagIntMax {
		return "integer"
	}
	return ""
}

// EncodeError says which element cannot be in a key.
type EncodeError struct {
	Index  int    // of the element among those given, from 0
	Reason string // e.g. "type chan int has no encoding"
}

func (e *EncodeError) Error() string {
	return fmt.Sprintf("encode key: element %d: %s", e.Index, e.Reason)
}

// DecodeError says where a key is not what was asked for: another type, or
// bytes that Append never makes.
type DecodeError struct {
	Offset int    // of the byte that is wrong; the length of the key if it ends too soon
	Found  string // e.g. "descending string"
	Want   string // e.g. "integer"
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("decode key: byte %d: found %s, want %s", e.Offset, e.Found, e.Want)
}
