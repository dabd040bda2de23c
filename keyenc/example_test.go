package keyenc_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lightningdb/lightning/keyenc"
)

// The orders of each customer are together, the newest first.
func ExampleAppend() {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	var keys [][]byte
	for _, order := range []struct {
		customer int
		placed   time.Time
	}{{7, day(1)}, {300, day(2)}, {7, day(3)}} {
		key, err := keyenc.Append(nil, "order", order.customer, keyenc.Desc(order.placed))
		if err != nil {
			fmt.Println(err)
			return
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, bytes.Compare)
	for _, key := range keys {
		fmt.Println(keyenc.Format(key))
	}
	// Output:
	// ("order", 7, desc 2026-01-03T00:00:00Z)
	// ("order", 7, desc 2026-01-01T00:00:00Z)
	// ("order", 300, desc 2026-01-02T00:00:00Z)
}

func ExampleDecoder() {
	key, err := keyenc.Append(nil, "score", "anna", keyenc.Desc(99))
	if err != nil {
		fmt.Println(err)
		return
	}
	d := keyenc.NewDecoder(key)
	_, err1 := d.String()
	name, err2 := d.String()
	score, err3 := d.Desc().Int64()
	if err := errors.Join(err1, err2, err3, d.End()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(name, score)

	_, err = keyenc.NewDecoder(key).Int64()
	fmt.Println(err)
	// Output:
	// anna 99
	// decode key: byte 0: found string, want integer
}

func ExampleDecode() {
	key, err := keyenc.Append(nil, "path", keyenc.Tuple{"usr", "bin"}, uint8(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	tuple, err := keyenc.Decode(key)
	fmt.Printf("%#v %v\n", tuple[2], err)
	// Output: 1 <nil>
}

// The bounds of all orders of one customer, ready for a scan or for deleting a
// range.
func ExampleRange() {
	lo, hi, err := keyenc.Range("order", 7)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, customer := range []int{6, 7, 8} {
		key, err := keyenc.Append(nil, "order", customer, "something")
		if err != nil {
			fmt.Println(err)
			return
		}
		inside := bytes.Compare(lo, key) <= 0 && bytes.Compare(key, hi) < 0
		fmt.Println(customer, inside)
	}
	// Output:
	// 6 false
	// 7 true
	// 8 false
}

// The bounds of all names that begin with "an".
func ExamplePrefixEnd() {
	lo, err := keyenc.Append(nil, "name", "an")
	if err != nil {
		fmt.Println(err)
		return
	}
	lo = lo[:len(lo)-1] // the byte that ends the string
	hi := keyenc.PrefixEnd(lo)
	for _, name := range []string{"al", "an", "anna", "ao"} {
		key, err := keyenc.Append(nil, "name", name)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(name, bytes.Compare(lo, key) <= 0 && bytes.Compare(key, hi) < 0)
	}
	// Output:
	// al false
	// an true
	// anna true
	// ao false
}
