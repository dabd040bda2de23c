package keyenc

import (
	"math"
	"strconv"
	"time"
)

// Decoder reads the elements of a key one after the other, each with the
// method of its type. A method fails with a *DecodeError if the next element
// is of another type or direction, is not the canonical form of a value, or is
// missing; the Decoder then stays where it is. A key that was read to its End
// without errors is one that Append makes.
//
// What the methods return is the caller's and does not refer to the key.
type Decoder struct {
	key  source
	at   int  // of the next element
	desc bool // the next element is to be descending
}

// NewDecoder returns a Decoder for the elements of key.
func NewDecoder(key []byte) *Decoder { return &Decoder{key: key} }

// Desc says that the next element that is asked for is a descending one, as in
// d.Desc().Time(). It returns d.
func (d *Decoder) Desc() *Decoder {
	d.desc = true
	return d
}

// More reports whether an element follows.
func (d *Decoder) More() bool { return d.at < len(d.key) }

// End returns an error if an element follows.
func (d *Decoder) End() error {
	if !d.More() {
		return nil
	}
	return &DecodeError{d.at, strconv.Itoa(len(d.key)-d.at) + " B more", "end of key"}
}

// next begins to read an element with a tag from first to last.
func (d *Decoder) next(first, last byte) (element, error) {
	desc := d.desc
	d.desc = false
	e, err := d.key.element(d.at, 0)
	if err == nil && e.tag >= first && e.tag <= last && e.descending == desc {
		return e, nil
	}
	want := directed(typeName(first), desc)
	if err == nil {
		return e, &DecodeError{d.at, directed(typeName(e.tag), e.descending), want}
	}
	if !d.More() {
		return e, &DecodeError{d.at, endOfKey, want}
	}
	return e, err
}

// Nil reports whether the next element is nil, and if so goes on to the one
// after it. It is the way to read an element that can be nil:
//
//	if !d.Nil() {
//		count, err = d.Int64()
//	}
func (d *Decoder) Nil() bool {
	e, err := d.next(tagNil, tagNil)
	if err != nil {
		return false
	}
	d.at = e.body
	return true
}

// Bool reads a bool.
func (d *Decoder) Bool() (bool, error) {
	e, err := d.next(tagFalse, tagTrue)
	if err != nil {
		return false, err
	}
	d.at = e.body
	return e.tag == tagTrue, nil
}

// integer looks at an integer, which ends at after. The caller passes it.
func (d *Decoder) integer() (v integer, after int, err error) {
	e, err := d.next(tagIntMin, tagIntMax)
	if err != nil {
		return integer{}, 0, err
	}
	return d.key.integer(e)
}

// Int64 reads an integer. It fails on those above math.MaxInt64.
func (d *Decoder) Int64() (int64, error) {
	v, after, err := d.integer()
	if err != nil {
		return 0, err
	}
	if v.positive && v.low > math.MaxInt64 {
		return 0, &DecodeError{d.at, "integer " + v.String(), "an integer of at most 2^63-1"}
	}
	d.at = after
	return int64(v.low), nil
}

// Uint64 reads an integer. It fails on negative ones.
func (d *Decoder) Uint64() (uint64, error) {
	v, after, err := d.integer()
	if err != nil {
		return 0, err
	}
	if !v.positive {
		return 0, &DecodeError{d.at, "integer " + v.String(), "an integer of at least 0"}
	}
	d.at = after
	return v.low, nil
}

// Float64 reads a float. A float32 that was written converts back unchanged.
func (d *Decoder) Float64() (float64, error) {
	e, err := d.next(tagFloat, tagFloat)
	if err != nil {
		return 0, err
	}
	v, after, err := d.key.float(e)
	if err != nil {
		return 0, err
	}
	d.at = after
	return v, nil
}

// Time reads a time, in UTC.
func (d *Decoder) Time() (time.Time, error) {
	e, err := d.next(tagTime, tagTime)
	if err != nil {
		return time.Time{}, err
	}
	v, after, err := d.key.time(e)
	if err != nil {
		return time.Time{}, err
	}
	d.at = after
	return v, nil
}

// UUID reads a UUID.
func (d *Decoder) UUID() (UUID, error) {
	e, err := d.next(tagUUID, tagUUID)
	if err != nil {
		return UUID{}, err
	}
	v, after, err := d.key.uuid(e)
	if err != nil {
		return UUID{}, err
	}
	d.at = after
	return v, nil
}

// String reads a string.
func (d *Decoder) String() (string, error) {
	e, err := d.next(tagString, tagString)
	if err != nil {
		return "", err
	}
	v, after, err := d.key.str(e)
	if err != nil {
		return "", err
	}
	d.at = after
	return v, nil
}

// Bytes reads a []byte. It appends it to dst, which can be nil, and returns
// the longer slice.
func (d *Decoder) Bytes(dst []byte) ([]byte, error) {
	e, err := d.next(tagBytes, tagBytes)
	if err != nil {
		return dst, err
	}
	v, after, err := d.key.text(dst, e)
	if err != nil {
		return dst, err
	}
	d.at = after
	return v, nil
}

// Tuple reads a tuple inside the key, with the types of Decode.
func (d *Decoder) Tuple() (Tuple, error) {
	e, err := d.next(tagTuple, tagTuple)
	if err != nil {
		return nil, err
	}
	v, after, err := d.key.tuple(e, 1)
	if err != nil {
		return nil, err
	}
	d.at = after
	return v, nil
}

// Any reads an element of any type, with the types of Decode. A descending one
// is a Descending, whether or not Desc was called.
func (d *Decoder) Any() (any, error) {
	d.desc = false
	v, after, err := d.key.any(d.at, 0, 0)
	if err != nil {
		return nil, err
	}
	d.at = after
	return v, nil
}

// Decode returns the elements of a key, as nil, bool, int64, uint64 (above the
// range of int64 only), float64, time.Time, UUID, string, []byte, Tuple and
// Descending. It fails with a *DecodeError on a key that Append does not make.
func Decode(key []byte) (Tuple, error) {
	tuple := Tuple{}
	for d := NewDecoder(key); d.More(); {
		elem, err := d.Any()
		if err != nil {
			return nil, err
		}
		tuple = append(tuple, elem)
	}
	return tuple, nil
}
