package keyenc

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzDecode reads arbitrary bytes: nothing panics, what decodes is canonical,
// and the typed methods agree with Any.
func FuzzDecode(f *testing.F) {
	for _, c := range goldens() {
		f.Add(fromHex(f, c.key))
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		before := bytes.Clone(key)
		if Format(key) == "" {
			t.Error("shown as nothing")
		}
		tuple, err := Decode(key)
		if err == nil {
			again, err := Append(nil, tuple...)
			if err != nil || !bytes.Equal(again, key) {
				t.Errorf("%x is decoded as %#v, which is encoded as %x, %v", key, tuple, again, err)
			}
		}
		d := NewDecoder(key)
		for d.More() {
			at := d.at
			elem, anyErr := d.Any()
			after := d.at
			d.at = at
			readTyped(t, d, elem, anyErr)
			if d.at != after {
				t.Fatalf("%x: read to %d with its type, to %d without", key, d.at, after)
			}
			if anyErr != nil {
				break
			}
		}
		if d.More() != (err != nil) {
			t.Errorf("%x: read to %d, but decoded with %v", key, d.at, err)
		}
		if !bytes.Equal(key, before) {
			t.Errorf("%x was changed to %x", before, key)
		}
	})
}

// readTyped tries all methods on an element that Any has read as elem.
func readTyped(t *testing.T, d *Decoder, elem any, anyErr error) {
	t.Helper()
	inner, desc := elem.(Descending)
	if desc {
		elem = inner.Value
	}
	start, end := d.at, d.at
	for _, direction := range []bool{false, true} {
		for _, read := range []func() (any, error){
			func() (any, error) { return d.Bool() },
			func() (any, error) { return d.Int64() },
			func() (any, error) { return d.Uint64() },
			func() (any, error) { return d.Float64() },
			func() (any, error) { return d.Time() },
			func() (any, error) { return d.UUID() },
			func() (any, error) { return d.String() },
			func() (any, error) { return d.Bytes([]byte{}) },
			func() (any, error) { return d.Tuple() },
			func() (any, error) {
				if !d.Nil() {
					return nil, &DecodeError{}
				}
				return nil, nil
			},
		} {
			d.at, d.desc = start, direction
			v, err := read()
			if err != nil {
				if d.at != start {
					t.Fatalf("a failed read moved from %d to %d", start, d.at)
				}
				continue
			}
			if _, unsigned := v.(uint64); unsigned && reflect.TypeOf(elem) != reflect.TypeOf(v) {
				v = int64(v.(uint64))
			}
			if anyErr != nil || direction != desc || !sameTuple(Tuple{v}, Tuple{elem}) {
				t.Fatalf("read %#v at %d, and %#v, %v without its type", v, start, elem, anyErr)
			}
			end = d.at
		}
	}
	d.at = end
}

// FuzzOrder compares the tuples of keys that decode.
func FuzzOrder(f *testing.F) {
	table := goldens()
	for i, c := range table {
		f.Add(fromHex(f, c.key), fromHex(f, table[(i+1)%len(table)].key))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		tupleA, errA := Decode(a)
		tupleB, errB := Decode(b)
		if errA != nil || errB != nil {
			return
		}
		if got, want := bytes.Compare(a, b), compareTuples(tupleA, tupleB); got != want {
			t.Errorf("%s and %s compare as %d, want %d", Format(a), Format(b), got, want)
		}
	})
}
