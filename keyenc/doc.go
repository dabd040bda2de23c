// Package keyenc turns tuples into keys that sort as the tuples do: comparing
// two keys byte by byte is comparing the tuples element by element. It is how
// an index or a table is laid out in an ordered key-value store:
//
//	key, err := keyenc.Append(nil, "order", customer, keyenc.Desc(placed), id)
//
// holds the orders of each customer together, newest first. What was written
// is read back with the types that it was written with:
//
//	d := keyenc.NewDecoder(key)
//	table, err := d.String()
//	customer, err := d.Int64()
//	placed, err := d.Desc().Time()
//	id, err := d.UUID()
//	err = d.End()
//
// There is one way to write, Append, and everything that takes elements takes
// them as Append does. There are two ways to read: a Decoder for keys whose
// types are known, and Decode for those whose types are not.
//
// # Elements and their order
//
// The types sort in the order of this table, whatever the values:
//
//	nil                                   nil
//	bool                                  false, true
//	int, int8 to int64, uint to uint64    one number line, -2^63 to 2^64-1
//	float32, float64                      as cmp.Compare: NaN before all
//	time.Time                             by instant, to the nanosecond
//	UUID                                  by bytes
//	string                                by bytes
//	[]byte                                by bytes
//	Tuple                                 by its elements
//	Descending, which Desc makes          backwards
//
// A tuple that begins another one sorts before it. Types that are declared
// with one of the basic types above, with []byte or with [16]byte are taken as
// what they are made of: a time.Duration is an integer, and the UUID types of
// other packages are UUIDs. All else is refused with an *EncodeError.
//
// A descending element sorts after every ascending one, so an element should
// have the same direction in all keys of an index.
//
// # Canonical form
//
// Values that are equal have one encoding, and reading refuses every other: a
// key that decodes is the key that Append makes of what was decoded. So equal
// tuples are one key, and a key can be compared without decoding it.
//
// Integers of different Go types are equal if the numbers are; they are
// decoded as int64, and as uint64 above its range. An integer and a float are
// never equal. A float32 is the float64 of the same value. There is one NaN,
// and -0 is 0, which it is decoded as: a lookup of 0 must find both.
//
// A time is an instant in the years 1 to 9999, in UTC; its location and its
// monotonic reading are not kept. The zero time.Time is the first of them.
//
// Tuples can be nested 64 deep.
//
// # Stability
//
// Keys are meant to be stored. The bytes are described in
// docs/format/keyenc.md and do not change.
//
// # Thread-safety
//
// Functions can be called at any time from anywhere. A Decoder is for one
// goroutine at a time.
package keyenc
