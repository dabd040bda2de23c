package workload

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// KeyBytes is the length of every key.
const KeyBytes = 16

// MinValueBytes is the shortest value that can be checked.
const MinValueBytes = 16

// mix is a bijection of 64-bit numbers that looks random (the finaliser of
// SplitMix64, Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const (
	keySalt     = 0x9e3779b97f4a7c15
	tailSalt    = 0xd1b54a32d192ed03
	versionStep = 0xe7037ed1a0b428db
	valueStep   = 0xa0761d6478bd642f
)

// order says how the keys of successive records lie.
type order bool

const (
	scattered order = false // at random
	ascending order = true
)

// makeKey sets key to the key of record number n. The second half follows from
// the first, so that a key that nobody put is recognised.
func (o order) makeKey(key *[KeyBytes]byte, n int64) {
	head := uint64(n)
	if o == scattered {
		head = mix(head + keySalt)
	}
	binary.BigEndian.PutUint64(key[:8], head)
	binary.BigEndian.PutUint64(key[8:], mix(head^tailSalt))
}

// makeValue fills value with what belongs to a key in some version: the
// version, then words that no codec can compress.
func makeValue(value, key []byte, version uint64) {
	binary.LittleEndian.PutUint64(value, version)
	word := binary.LittleEndian.Uint64(key[8:]) + version*versionStep
	for value = value[8:]; len(value) >= 8; value = value[8:] {
		binary.LittleEndian.PutUint64(value, word)
		word += valueStep
	}
	var last [8]byte
	binary.LittleEndian.PutUint64(last[:], word)
	copy(value, last[:])
}

// wrongAnswer is an answer that no database may give.
type wrongAnswer string

func (w wrongAnswer) Error() string { return "wrong answer: " + string(w) }

func wrong(format string, args ...any) error { return wrongAnswer(fmt.Sprintf(format, args...)) }

// checkRecord reports a key that is none of ours, or a value that does not
// belong to it in any version.
func checkRecord(key, value []byte, valueBytes int) error {
	if len(key) != KeyBytes ||
		binary.BigEndian.Uint64(key[8:]) != mix(binary.BigEndian.Uint64(key)^tailSalt) {
		return wrong("key %x was never put", key)
	}
	return checkValue(key, value, valueBytes)
}

func checkValue(key, value []byte, valueBytes int) error {
	if len(value) != valueBytes {
		return wrong("key %x has a value of %d bytes, not %d", key, len(value), valueBytes)
	}
	word := binary.LittleEndian.Uint64(key[8:]) + binary.LittleEndian.Uint64(value)*versionStep
	ok, rest := true, value[8:]
	for len(rest) >= 8 {
		ok = ok && binary.LittleEndian.Uint64(rest) == word
		rest = rest[8:]
		word += valueStep
	}
	for i, b := range rest {
		ok = ok && b == byte(word>>(8*i))
	}
	if !ok {
		return wrong("key %x has the value %.64x", key, value)
	}
	return nil
}

// random is a small fast generator (SplitMix64), one a goroutine.
type random uint64

func (r *random) next() uint64 {
	*r += keySalt
	return mix(uint64(*r))
}

func (r *random) below(n int64) int64 {
	high, _ := bits.Mul64(r.next(), uint64(n))
	return int64(high)
}

// fraction returns a number in [0, 1).
func (r *random) fraction() float64 { return float64(r.next()>>11) / (1 << 53) }
