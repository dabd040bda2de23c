// Package base holds the vocabulary that every other room speaks: keys, kinds
// and sequence numbers, the internal record and its order, the key hash, the
// limits, and the typed errors. It imports nothing of this module.
//
// Everything here is a value or a pure function; nothing has a lock.
package base

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// SeqNum is the 56-bit number of a write. Later writes have larger numbers;
// zero is older than every write and is what compaction gives to a version
// that every reader may see.
type SeqNum uint64

// SeqNumMax is the largest sequence number; reading at it sees everything.
const SeqNumMax SeqNum = 1<<56 - 1

// Kind says what a record does to its key. Zero is not a kind, so that a
// region of zeroes never decodes as a record. The values are part of the
// file formats.
type Kind uint8

const (
	KindDelete      Kind = 1 // hides every older version of the key
	KindSet         Kind = 2 // gives the key a value
	KindRangeDelete Kind = 3 // hides every older version of the keys in [key, value)
	KindSetExpiring Kind = 4 // gives the key a value until an instant: see stored.go
	KindMerge       Kind = 5 // applies an operand to the older versions of the key: see stored.go
	KindKeyspace    Kind = 6 // makes, changes or drops the keyspace whose prefix the key is; in batches only
	KindBlob        Kind = 7 // gives the key a value that is in a blob table: see blobref.go; in tables only
)

// Valid reports whether k is a kind this version of the code knows.
func (k Kind) Valid() bool { return k >= KindDelete && k <= KindBlob }

// InTables reports whether tables and memtables may hold records of kind k.
func (k Kind) InTables() bool { return k >= KindDelete && k <= KindMerge || k == KindBlob }

// Point reports whether a record of kind k concerns one key.
func (k Kind) Point() bool { return k.InTables() && k != KindRangeDelete }

func (k Kind) String() string {
	switch k {
	case KindDelete:
		return "delete"
	case KindSet:
		return "set"
	case KindRangeDelete:
		return "range-delete"
	case KindSetExpiring:
		return "set-expiring"
	case KindMerge:
		return "merge"
	case KindKeyspace:
		return "keyspace"
	case KindBlob:
		return "blob"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Trailer packs a sequence number and a kind: seq<<8 | kind. Larger trailers
// are newer.
type Trailer uint64

// MakeTrailer packs seq and kind.
func MakeTrailer(seq SeqNum, kind Kind) Trailer { return Trailer(seq)<<8 | Trailer(kind) }

// Seq returns the sequence number.
func (t Trailer) Seq() SeqNum { return SeqNum(t >> 8) }

// Kind returns the kind.
func (t Trailer) Kind() Kind { return Kind(t & 0xff) }

func (t Trailer) String() string { return fmt.Sprintf("%d,%s", t.Seq(), t.Kind()) }

// Compare orders internal records: by key bytewise ascending, then by trailer
// descending, so that the newest version of a key comes first.
func Compare(aKey []byte, aTrailer Trailer, bKey []byte, bTrailer Trailer) int {
	if c := bytes.Compare(aKey, bKey); c != 0 {
		return c
	}
	switch {
	case aTrailer > bTrailer:
		return -1
	case aTrailer < bTrailer:
		return 1
	}
	return 0
}

// Record is one version of one key as an internal iterator shows it. Its
// slices belong to the iterator and are valid until its next positioning call
// or Close.
type Record struct {
	Key     []byte
	Trailer Trailer
	Value   []byte
}

// Iterator walks records in internal order. Positioning calls return the
// record they land on, or nil when there is none or an error happened (Err
// tells which). After a nil from Next the iterator stands past the last
// record and Prev returns the last one; after a nil from Prev it stands before
// the first and Next returns the first; SeekGE and SeekLT that find nothing
// leave it past the last and before the first record. An Iterator is used by
// one goroutine at a time.
type Iterator interface {
	First() *Record
	Last() *Record
	// SeekGE lands on the first record whose key is >= key, the newest
	// version of it.
	SeekGE(key []byte) *Record
	// SeekLT lands on the last record whose key is < key, the oldest version
	// of it.
	SeekLT(key []byte) *Record
	Next() *Record
	Prev() *Record
	Err() error
	// Close releases what the iterator holds. Further calls are not allowed.
	Close() error
}

// Hash is the 64-bit hash of a key. It is computed once per operation and
// carried along; filters and block fingerprints store parts of it, so it is
// frozen with the file format (XXH3, seed 0).
func Hash(key []byte) uint64 { return xxh3.Hash(key) }

// Sum is a checksum of a record, over its key, trailer and value.
type Sum uint64

// RecordSum returns the checksum of a record, keyHash being Hash of its key. The
// product is what ties the value to its key and trailer; adding a to it keeps the key
// in the sum should b be zero. It is part of the format of tables.
func RecordSum(keyHash uint64, tr Trailer, value []byte) Sum {
	return RecordSumOf(keyHash, tr, xxh3.Hash(value))
}

// RecordSumOf is RecordSum for a value of which only the XXH3 is there.
func RecordSumOf(keyHash uint64, tr Trailer, valueHash uint64) Sum {
	const (
		trailerFactor = 0x9e3779b97f4a7c15
		valueMask     = 0xd6e8feb86659fd93
	)
	a := keyHash + uint64(tr)*trailerFactor
	b := valueHash ^ valueMask
	hi, lo := bits.Mul64(a, b)
	return Sum(hi ^ lo ^ a)
}

// Short returns half of the checksum, for where room is scarce.
func (s Sum) Short() uint32 { return uint32(s ^ s>>32) }

// Head is the first eight bytes of key as a big-endian number, padded with
// zeroes: comparing heads orders keys except where they are equal.
func Head(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var h uint64
	for i, b := range key {
		h |= uint64(b) << (56 - 8*i)
	}
	return h
}

// CutPrefix returns a key without its first n bytes; nil if it has fewer.
func CutPrefix(key []byte, n int) []byte {
	if len(key) < n {
		return nil
	}
	return key[n:]
}

// Successor appends to dst the smallest key greater than key.
func Successor(dst, key []byte) []byte { return append(append(dst, key...), 0) }

// FileNum numbers the files of a database; numbers are never reused.
type FileNum uint64

// fileNumDigits is how many digits the number in a name has at least.
const fileNumDigits = 6

// String returns the number as names have it. It is short work, because opening a
// database does it for every file.
func (n FileNum) String() string {
	var digits [20]byte
	i := len(digits)
	for v := uint64(n); v > 0 || len(digits)-i < fileNumDigits; v /= 10 {
		i--
		digits[i] = byte('0' + v%10)
	}
	return string(digits[i:])
}

// FileName returns the name of file n of the kind that suffix stands for.
func FileName(n FileNum, suffix string) string { return n.String() + suffix }

// ParseFileName returns the number in a name that FileName made.
func ParseFileName(name, suffix string) (FileNum, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < fileNumDigits || len(digits) > fileNumDigits && digits[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return FileNum(n), err == nil && n > 0
}

// DBID is the random identity of a database, present in each of its files.
type DBID [16]byte

func (id DBID) String() string { return fmt.Sprintf("%x", id[:]) }

// NewDBID returns an identity that nothing has had before.
func NewDBID() (id DBID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

// The limits of the data model. A key counts without the keyspace prefix.
const (
	MaxKeyBytes   = 64 << 10
	MaxValueBytes = 1 << 30
	MaxBatchBytes = 4<<30 - 64<<10

	// MaxPrefixBytes is the longest keyspace prefix; an internal key has at
	// most MaxPrefixBytes+MaxKeyBytes bytes.
	MaxPrefixBytes = 9

	// MaxStoredBytes is the longest value of a record: that of the user, and
	// what some kinds have before it.
	MaxStoredBytes = MaxValueBytes + max(ExpiryBytes, ReachBytes)
)

// CommonPrefix returns how many bytes a and b have in common at their start.
func CommonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
		if x != 0 {
			return i + bits.TrailingZeros64(x)>>3
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
