// Package keyspace knows what keyspaces are: ranges of internal keys that begin
// with the same prefix, each with a name and settings of its own.
package keyspace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/manifest"
)

// A keyspace is the range of internal keys that begin with its prefix: its
// number, encoded so that prefixes are in the order of the numbers and none is
// the beginning of another. Numbers up to maxShortID take one byte; larger
// ones a byte that tells the length and then the number, big-endian. Keyspace
// 0 always exists. Numbers are never used again, so a handle to a dropped
// keyspace cannot reach a new one.
const maxShortID = 0xef

// AppendPrefix appends the prefix of keyspace id to dst.
func AppendPrefix(dst []byte, id uint64) []byte {
	if id <= maxShortID {
		return append(dst, byte(id))
	}
	n := (bits.Len64(id) + 7) / 8
	dst = append(dst, byte(maxShortID+n))
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], id)
	return append(dst, be[8-n:]...)
}

// SplitPrefix returns the number of the keyspace that an internal key belongs
// to, and the length of its prefix. It is total: a malformed key belongs to a
// keyspace that does not exist.
func SplitPrefix(key []byte) (id uint64, prefixBytes int) {
	if len(key) == 0 {
		return 0, 0
	}
	if key[0] <= maxShortID {
		return uint64(key[0]), 1
	}
	n := min(int(key[0]-maxShortID), len(key)-1, 8)
	for _, b := range key[1 : 1+n] {
		id = id<<8 | uint64(b)
	}
	return id, 1 + n
}

// PrefixEnd returns the smallest key above all that begin with prefix, or nil
// when there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// The errors of keyspaces.
var (
	ErrNotFound = errors.New("keyspace does not exist")
	ErrDropped  = errors.New("keyspace was dropped")
	ErrDiffers  = errors.New("keyspace exists with other options")
)

// ErrUnknownOperator is matched by every *UnknownOperatorError.
var ErrUnknownOperator = errors.New("merge operator is not registered")

// UnknownOperatorError says that a keyspace needs a merge operator that the
// options do not have.
type UnknownOperatorError struct{ Operator, Keyspace string }

func (e *UnknownOperatorError) Error() string {
	return fmt.Sprintf("merge operator %q of keyspace %q is not registered", e.Operator, e.Keyspace)
}

// Is makes errors.Is(err, ErrUnknownOperator) true.
func (e *UnknownOperatorError) Is(target error) bool { return target == ErrUnknownOperator }

// Info describes a keyspace. It is safe for concurrent use: its settings may be
// replaced, and it may be dropped.
type Info struct {
	ID   uint64
	Name string

	settings atomic.Pointer[Settings]
	dropped  atomic.Bool
}

// Settings are what a keyspace was made with, or changed to since.
type Settings struct {
	Compression uint8 // as manifest.Keyspace has it
	// TTL is how long values live where the write does not say; 0: for ever.
	TTL   time.Duration
	Merge string // the name of the merge operator; empty: none
	// BlobBytes is from which length on values are kept apart, as manifest.Keyspace has it.
	BlobBytes uint64
}

// Settings returns the settings of now.
func (k *Info) Settings() Settings { return *k.settings.Load() }

// In returns what a keyspace with the settings is in the manifest.
func (s Settings) In(id uint64, name string) manifest.Keyspace {
	return manifest.Keyspace{
		ID: id, Name: name, Compression: s.Compression, TTLNS: uint64(s.TTL), Merge: s.Merge, BlobBytes: s.BlobBytes,
	}
}

// Agree returns an error that matches ErrDiffers if a keyspace cannot be used by
// one who asks for settings o: what is zero there is not asked for.
func (k *Info) Agree(o Settings) error {
	has := k.Settings()
	differs := func(option string, has, asked any) error {
		return fmt.Errorf("%w: %q has %s %v, not %v", ErrDiffers, k.Name, option, has, asked)
	}
	switch {
	case o.Compression != 0 && o.Compression != has.Compression:
		return differs("compression", compressionName(has.Compression), compressionName(o.Compression))
	case o.TTL != 0 && o.TTL != has.TTL:
		return differs("TTL", has.TTL, o.TTL)
	case o.Merge != "" && o.Merge != has.Merge:
		return differs("merge operator", strconv.Quote(has.Merge), strconv.Quote(o.Merge))
	case o.BlobBytes != 0 && o.BlobBytes != has.BlobBytes:
		return differs("values apart from", blobsName(has.BlobBytes), blobsName(o.BlobBytes))
	}
	return nil
}

// compressionName is what errors call a compression setting.
func compressionName(setting uint8) string {
	if setting == 0 {
		return "that of the database"
	}
	return compress.Codec(setting - 1).String()
}

// blobsName is what errors call the length from which on values are kept apart.
func blobsName(setting uint64) string {
	switch setting {
	case 0:
		return "where the database says"
	case manifest.BlobsNever:
		return "never"
	}
	return fmt.Sprintf("%d bytes", setting)
}

// Dropped reports whether the keyspace is gone.
func (k *Info) Dropped() bool { return k.dropped.Load() }

// CheckLive returns an error when one of the keyspaces was dropped.
func CheckLive(list []*Info) error {
	for _, k := range list {
		if k.Dropped() {
			return fmt.Errorf("%w: %q", ErrDropped, k.Name)
		}
	}
	return nil
}
