package keyenc

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
)

// source is a key that is read. Its methods read one element each and return
// the offset after it; they accept only what Append makes, and no bytes make
// them panic.
//
// Descending elements are the complement of ascending ones. The bytes of an
// element are read through its mask, 0x00 or 0xff, which turns twice where a
// descending element is inside of a descending tuple.
type source []byte

// element is one whose tag was read.
type element struct {
	tag        byte // of the ascending form
	mask       byte // makes bytes of the key those of the ascending form
	descending bool // relative to the tuple that it is in
	body       int  // offset after the tag
}

const endOfKey = "end of key"

func directed(name string, descending bool) string {
	if descending {
		return "descending " + name
	}
	return name
}

// element reads the tag of the element at an offset, in a tuple with a mask.
func (s source) element(at int, mask byte) (element, error) {
	if at >= len(s) {
		return element{}, &DecodeError{at, endOfKey, "an element"}
	}
	e := element{tag: s[at] ^ mask, mask: mask, body: at + 1}
	if e.tag&descendingBit != 0 {
		e.tag, e.mask, e.descending = ^e.tag, ^mask, true
	}
	if typeName(e.tag) == "" {
		return element{}, &DecodeError{at, fmt.Sprintf("0x%02x", s[at]), "the tag of an element"}
	}
	return e, nil
}

// fixed reads size bytes at an offset as a number, the highest first.
func (s source) fixed(at, size int, mask byte) (uint64, error) {
	if len(s)-at < size {
		return 0, &DecodeError{len(s), endOfKey, fmt.Sprintf("%d B more", at+size-len(s))}
	}
	var v uint64
	for _, b := range s[at : at+size] {
		v = v<<8 | uint64(b^mask)
	}
	return v, nil
}

// refused is the error for a body that stands for no value or for one that has
// another encoding.
func (s source) refused(at, after int, want string) error {
	return &DecodeError{at, fmt.Sprintf("0x%x", []byte(s[at:after])), want}
}

// integer is a number from -2^63 to 2^64-1.
type integer struct {
	low      uint64 // in two's complement
	positive bool   // or 0
}

func (i integer) String() string {
	if i.positive {
		return strconv.FormatUint(i.low, 10)
	}
	return strconv.FormatInt(int64(i.low), 10)
}

func (s source) integer(e element) (v integer, after int, err error) {
	var size int
	switch tag := int(e.tag); {
	case tag > tagLarge:
		size = tag - tagLarge
	case tag < tagSmall:
		size = tagSmall - tag
	default:
		return integer{uint64(tag - tagZero), tag >= tagZero}, e.body, nil
	}
	after = e.body + size
	low, err := s.fixed(e.body, size, e.mask)
	if err != nil {
		return integer{}, 0, err
	}
	v = integer{low, true}
	shortest := low > smallMax && byteLen(low) == size
	if e.tag < tagSmall {
		v = integer{low | ^(math.MaxUint64 >> (64 - 8*size)), false}
		magnitude := ^v.low // one less than the absolute value
		shortest = magnitude >= -smallMin && byteLen(magnitude) == size && magnitude <= math.MaxInt64
	}
	if !shortest {
		return integer{}, 0, s.refused(e.body, after, "an integer in its shortest form")
	}
	return v, after, nil
}

func (s source) float(e element) (v float64, after int, err error) {
	after = e.body + floatBytes
	stored, err := s.fixed(e.body, floatBytes, e.mask)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case stored == floatNaN:
		return math.NaN(), after, nil
	case stored&floatSign != 0:
		v = math.Float64frombits(stored &^ floatSign)
	default:
		v = math.Float64frombits(^stored)
	}
	if floatKey(v) != stored {
		return 0, 0, s.refused(e.body, after, "a number, or NaN in its one form")
	}
	return v, after, nil
}

func (s source) time(e element) (v time.Time, after int, err error) {
	nanosAt := e.body + timeSecondsBytes
	after = nanosAt + timeNanosBytes
	seconds, err := s.fixed(e.body, timeSecondsBytes, e.mask)
	if err != nil {
		return time.Time{}, 0, err
	}
	if seconds > secondsMax {
		return time.Time{}, 0, s.refused(e.body, nanosAt, "seconds before the year 10000")
	}
	nanos, err := s.fixed(nanosAt, timeNanosBytes, e.mask)
	if err != nil {
		return time.Time{}, 0, err
	}
	if nanos > nanosMax {
		return time.Time{}, 0, s.refused(nanosAt, after, "less than 10^9 nanoseconds")
	}
	return time.Unix(int64(seconds)-secondsTo1970, int64(nanos)).UTC(), after, nil
}

func (s source) uuid(e element) (v UUID, after int, err error) {
	after = e.body + uuidBytes
	if len(s) < after {
		return UUID{}, 0, &DecodeError{len(s), endOfKey, fmt.Sprintf("%d B more", after-len(s))}
	}
	for i, b := range s[e.body:after] {
		v[i] = b ^ e.mask
	}
	return v, after, nil
}

func (s source) str(e element) (v string, after int, err error) {
	var short [64]byte // most strings need no memory but their own
	text, after, err := s.text(short[:0], e)
	return string(text), after, err
}

// text appends a string or []byte to dst.
func (s source) text(dst []byte, e element) (longer []byte, after int, err error) {
	size := bytes.IndexByte(s[e.body:], terminator^e.mask)
	if size < 0 {
		return dst, 0, &DecodeError{len(s), endOfKey, "the end of a text"}
	}
	after = e.body + size + 1
	longer = dst
	for at, end := e.body, after-1; ; {
		clean := bytes.IndexByte(s[at:end], escape^e.mask)
		if clean < 0 {
			clean = end - at
		}
		begin := len(longer)
		longer = append(longer, s[at:at+clean]...)
		if e.mask != 0 {
			complement(longer[begin:])
		}
		at += clean
		if at == end {
			return longer, after, nil
		}
		// Below end there is no terminator, so the terminator itself is refused
		// here as well.
		escaped := s[at+1] ^ e.mask
		if escaped != escape && escaped != escape+1 {
			return dst, 0, s.refused(at, at+2, "an escaped 0x00 or 0x01")
		}
		longer = append(longer, escaped-1)
		at += 2
	}
}

// tuple reads the elements of a nested tuple, which is depth tuples deep.
func (s source) tuple(e element, depth int) (v Tuple, after int, err error) {
	if depth > depthMax {
		want := fmt.Sprintf("at most %d tuples in each other", depthMax)
		return nil, 0, &DecodeError{e.body - 1, "another tuple", want}
	}
	v = Tuple{}
	for at := e.body; ; {
		if at >= len(s) {
			return nil, 0, &DecodeError{at, endOfKey, "the end of a tuple"}
		}
		if s[at]^e.mask == tagEnd {
			return v, at + 1, nil
		}
		var elem any
		elem, at, err = s.any(at, e.mask, depth)
		if err != nil {
			return nil, 0, err
		}
		v = append(v, elem)
	}
}

// any reads the element at an offset, in depth tuples the last of which has a
// mask.
func (s source) any(at int, mask byte, depth int) (v any, after int, err error) {
	e, err := s.element(at, mask)
	if err != nil {
		return nil, 0, err
	}
	switch e.tag {
	case tagNil:
		after = e.body
	case tagFalse, tagTrue:
		v, after = e.tag == tagTrue, e.body
	case tagFloat:
		v, after, err = s.float(e)
	case tagTime:
		v, after, err = s.time(e)
	case tagUUID:
		v, after, err = s.uuid(e)
	case tagString:
		v, after, err = s.str(e)
	case tagBytes:
		v, after, err = s.text([]byte{}, e)
	case tagTuple:
		v, after, err = s.tuple(e, depth+1)
	default:
		var number integer
		number, after, err = s.integer(e)
		if v = int64(number.low); number.positive && number.low > math.MaxInt64 {
			v = number.low
		}
	}
	if err != nil {
		return nil, 0, err
	}
	if e.descending {
		v = Descending{v}
	}
	return v, after, nil
}
