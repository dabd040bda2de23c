package linear

import (
	"encoding/binary"
	"fmt"

	"github.com/lightningdb/lightning"
)

// A value is a number that no other write has, and filler that follows from
// it: so it tells who wrote it, and bytes that were mixed up do not go
// unnoticed. The number 0 stands for a key that has no value.

// values are those of the keys of one family, and behind them its counter, which is no
// such number and which only conditional writes change.
type values [familyKeys + 1]int64

// counterAt is where the counter is, and wholeMask the mask of all.
const (
	counterAt = familyKeys
	wholeMask = 1<<len(values{}) - 1
)

// absent is the number of a key without a value.
const absent int64 = 0

// present is what a read that shows no value, but that there is one, found.
const present int64 = -1

func mix(x uint64) uint64 { // the finalizer of splitmix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fillerBytes makes most values small enough for the hot-record cache, and a
// few of them span blocks.
func fillerBytes(number int64) int {
	h := mix(uint64(number) + 1)
	if h%16 == 0 {
		return int(h >> 32 % 6000)
	}
	return int(h >> 32 % 80)
}

func encodeValue(number int64) []byte {
	n := fillerBytes(number)
	v := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+n), uint64(number))
	for x := uint64(number); len(v) < 8+n; {
		x = mix(x + 0x9e3779b97f4a7c15)
		v = append(v, byte(x))
	}
	return v
}

// decodeValue returns the number of a value, or says that it is none that was
// ever written.
func decodeValue(v []byte) (int64, error) {
	if len(v) < 8 {
		return 0, fmt.Errorf("a value of %d bytes, %q, was never written", len(v), v)
	}
	number := int64(binary.LittleEndian.Uint64(v))
	if number <= 0 || len(v) != 8+fillerBytes(number) || string(v) != string(encodeValue(number)) {
		return 0, fmt.Errorf("a value that begins with %x (%d bytes) was never written", v[:8], len(v))
	}
	return number, nil
}

// decodeResult is decodeValue for the answer of a get.
func decodeResult(v []byte, err error) (int64, error) {
	switch {
	case err == lightning.ErrNotFound:
		return absent, nil
	case err != nil:
		return 0, err
	}
	return decodeValue(v)
}
