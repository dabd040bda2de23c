package workload

import (
	"encoding/binary"
	"fmt"
)

// Records are made from their numbers: a key follows from the number and an
// Order, a value from the key and a version. So every answer is checked without
// remembering what was written, and a run touches the same keys as one of last
// year. The functions have no state.

// KeyBytes is the length of every key.
const KeyBytes = 16

// VersionedBytes is the length of the shortest value that has a version. One
// that is shorter is the same in all versions.
const VersionedBytes = 16

const (
	keySalt     = 0x9e3779b97f4a7c15
	tailSalt    = 0xd1b54a32d192ed03
	versionStep = 0xe7037ed1a0b428db
	valueStep   = 0xa0761d6478bd642f
)

// Order says how the keys of successive records lie.
type Order bool

// The two orders.
const (
	Scattered Order = false // at random
	Ascending Order = true
)

// MakeKey sets key to the key of record number n. The second half follows from
// the first, so that a key that nobody put is recognised.
func (o Order) MakeKey(key *[KeyBytes]byte, n int64) {
	head := uint64(n)
	if o == Scattered {
		head = mix(head + keySalt)
	}
	binary.BigEndian.PutUint64(key[:8], head)
	binary.BigEndian.PutUint64(key[8:], mix(head^tailSalt))
}

// MakeValue fills value with what belongs to a key in some version: the
// version, then words that no codec can compress.
func MakeValue(value, key []byte, version uint64) {
	word := binary.LittleEndian.Uint64(key[8:])
	if len(value) >= VersionedBytes {
		binary.LittleEndian.PutUint64(value, version)
		word += version * versionStep
		value = value[8:]
	}
	for ; len(value) >= 8; value = value[8:] {
		binary.LittleEndian.PutUint64(value, word)
		word += valueStep
	}
	var last [8]byte
	binary.LittleEndian.PutUint64(last[:], word)
	copy(value, last[:])
}

// WrongAnswer is an answer that no database may give.
type WrongAnswer string

func (w WrongAnswer) Error() string { return "wrong answer: " + string(w) }

func wrong(format string, args ...any) error { return WrongAnswer(fmt.Sprintf(format, args...)) }

// CheckRecord reports a key that is none of ours, or a value that does not
// belong to it in any version.
func CheckRecord(key, value []byte, valueBytes int) error {
	if len(key) != KeyBytes ||
		binary.BigEndian.Uint64(key[8:]) != mix(binary.BigEndian.Uint64(key)^tailSalt) {
		return wrong("key %x was never put", key)
	}
	return CheckValue(key, value, valueBytes)
}

// CheckValue reports a value that does not belong to a key in any version.
func CheckValue(key, value []byte, valueBytes int) error {
	if len(value) != valueBytes {
		return wrong("key %x has a value of %d bytes, not %d", key, len(value), valueBytes)
	}
	word, rest := binary.LittleEndian.Uint64(key[8:]), value
	if len(value) >= VersionedBytes {
		word += binary.LittleEndian.Uint64(value) * versionStep
		rest = value[8:]
	}
	// Without a branch for each word: what a check costs is measured with each engine.
	differ := uint64(0)
	for ; len(rest) >= 4*8; rest = rest[4*8:] {
		four := (*[4 * 8]byte)(rest)
		differ |= binary.LittleEndian.Uint64(four[:]) ^ word
		word += valueStep
		differ |= binary.LittleEndian.Uint64(four[8:]) ^ word
		word += valueStep
		differ |= binary.LittleEndian.Uint64(four[16:]) ^ word
		word += valueStep
		differ |= binary.LittleEndian.Uint64(four[24:]) ^ word
		word += valueStep
	}
	for ; len(rest) >= 8; rest = rest[8:] {
		differ |= binary.LittleEndian.Uint64(rest) ^ word
		word += valueStep
	}
	if n := len(rest); n > 0 && len(value) >= 8 { // the word that ends where the value does
		before := 8 * uint(8-n)
		differ |= (binary.LittleEndian.Uint64(value[len(value)-8:])>>before ^ word) << before
	} else {
		for i, b := range rest {
			differ |= uint64(b ^ byte(word>>(8*i)))
		}
	}
	if differ != 0 {
		return wrong("key %x has the value %.64x", key, value)
	}
	return nil
}
