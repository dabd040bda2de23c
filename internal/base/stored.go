package base

import (
	"encoding/binary"
	"errors"
	"math"
)

// This file knows what the stored values of some kinds have before the value of
// the user; nobody else does. Decode takes every stored value apart.
//
// A record of KindSetExpiring stores, before the value of the user, the instant
// from which on the key counts as absent: nanoseconds since 1970 UTC, 8 bytes,
// little-endian.
//
// A record of KindMerge stores, before the operand, how far back it reaches, 8
// bytes, little-endian: it stands for the operands of the key with sequence
// numbers from its own less that on, which are there too, for older snapshots,
// and must not be applied once more. All versions of the key from there on are
// operands that no range delete and no snapshot lies between. Only memtables
// join operands so; in logs and tables each stands for itself, and reaches back
// zero.

// Instant is a moment in nanoseconds since 1970 UTC. Zero is before all that
// can expire: as the time of a reader it means that nothing has.
type Instant int64

// InstantMax is later than every reader.
const InstantMax Instant = math.MaxInt64

// ExpiryBytes is what the instant takes of a stored value.
const ExpiryBytes = 8

// AppendExpiry appends the first part of the stored value of a record that
// expires at an instant.
func AppendExpiry(dst []byte, expiry Instant) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(expiry))
}

// Stored is what the stored value of a record says. Value aliases it.
type Stored struct {
	Value  []byte  // of the user; of a merge its operand
	Expiry Instant // of a set; 0: never
	Oldest SeqNum  // of a merge: the oldest operand that it stands for
}

// Decode takes the stored value of a record apart. The error is a
// *CorruptionError that does not know its file.
func Decode(tr Trailer, stored []byte) (Stored, error) {
	switch tr.Kind() {
	case KindSetExpiring:
		if len(stored) >= ExpiryBytes {
			expiry := Instant(binary.LittleEndian.Uint64(stored))
			if expiry > 0 {
				return Stored{Value: stored[ExpiryBytes:], Expiry: expiry}, nil
			}
		}
		return Stored{}, malformed("expiring record")
	case KindMerge:
		if len(stored) >= ReachBytes {
			reach := binary.LittleEndian.Uint64(stored)
			if reach <= uint64(tr.Seq()) {
				return Stored{Value: stored[ReachBytes:], Oldest: tr.Seq() - SeqNum(reach)}, nil
			}
		}
		return Stored{}, malformed("merge operand")
	case KindBlob:
		return Stored{}, malformed("blob reference where its value is needed")
	}
	return Stored{Value: stored}, nil
}

// malformed says that what comes before the value of a record is not what it
// should be.
func malformed(kind string) error {
	return &CorruptionError{Offset: -1, Kind: kind, Err: errors.New("malformed value")}
}

// Dead reports whether a record is an expiring one whose time had come at an
// instant.
func (r *Record) Dead(at Instant) bool {
	if k := r.Trailer.Kind(); k != KindSetExpiring && k != KindBlob {
		return false
	}
	stored, err := Check(r.Trailer, r.Value)
	return err == nil && stored.Expiry > 0 && stored.Expiry <= at
}

// ReachBytes is what the reach takes of a stored operand.
const ReachBytes = 8

// AppendReach appends the first part of the stored value of an operand that
// stands for those from sequence number oldest on, newest being its own.
func AppendReach(dst []byte, oldest, newest SeqNum) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(newest-oldest))
}
