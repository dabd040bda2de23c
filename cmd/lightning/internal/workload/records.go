package workload

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// KeyBytes is the length of every key.
const KeyBytes = 16

// mix is a bijection of 64-bit numbers that looks random (the finaliser of
// SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const (
	keySalt   = 0x9e3779b97f4a7c15
	tailSalt  = 0xd1b54a32d192ed03
	valueStep = 0xa0761d6478bd642f
)

// makeKey sets key to the key of record number n: different for all n, and in
// random order.
func makeKey(key *[KeyBytes]byte, n int64) {
	head := mix(uint64(n) + keySalt)
	binary.BigEndian.PutUint64(key[:8], head)
	binary.BigEndian.PutUint64(key[8:], mix(head^tailSalt))
}

// makeValue fills value, of any length, with what belongs to a key: words that
// no codec can compress.
func makeValue(value []byte, key []byte) {
	word := binary.LittleEndian.Uint64(key[8:])
	for len(value) >= 8 {
		binary.LittleEndian.PutUint64(value, word)
		value = value[8:]
		word += valueStep
	}
	var last [8]byte
	binary.LittleEndian.PutUint64(last[:], word)
	copy(value, last[:])
}

// checkRecord reports a key that is none of ours or a value that does not
// belong to its key.
func checkRecord(key, value []byte, valueBytes int) error {
	if len(key) != KeyBytes ||
		binary.BigEndian.Uint64(key[8:]) != mix(binary.BigEndian.Uint64(key)^tailSalt) {
		return fmt.Errorf("wrong answer: key %x was never put", key)
	}
	return checkValue(key, value, valueBytes)
}

// checkValue reports a value that does not belong to a key.
func checkValue(key, value []byte, valueBytes int) error {
	ok := len(value) == valueBytes
	word := binary.LittleEndian.Uint64(key[8:])
	rest := value
	for len(rest) >= 8 {
		ok = ok && binary.LittleEndian.Uint64(rest) == word
		rest = rest[8:]
		word += valueStep
	}
	for i, b := range rest {
		ok = ok && b == byte(word>>(8*i))
	}
	if !ok {
		return fmt.Errorf("wrong answer: key %x has value %x", key, value)
	}
	return nil
}

// random is a small fast generator (SplitMix64), one a goroutine.
type random uint64

func (r *random) below(n int64) int64 {
	*r += keySalt
	high, _ := bits.Mul64(mix(uint64(*r)), uint64(n))
	return int64(high)
}
