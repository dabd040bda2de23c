package base

import (
	"encoding/binary"
	"math"
)

// This file knows what the stored values of some kinds have before the value of
// the user; nobody else does.
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

// SplitExpiry takes the stored value of a record of KindSetExpiring apart. ok is
// false if it is none.
func SplitExpiry(stored []byte) (expiry Instant, value []byte, ok bool) {
	if len(stored) < ExpiryBytes {
		return 0, nil, false
	}
	expiry = Instant(binary.LittleEndian.Uint64(stored))
	return expiry, stored[ExpiryBytes:], expiry > 0
}

// Dead reports whether a record is an expiring one whose time had come at an
// instant.
func (r *Record) Dead(at Instant) bool {
	if r.Trailer.Kind() != KindSetExpiring {
		return false
	}
	expiry, _, ok := SplitExpiry(r.Value)
	return ok && expiry <= at
}

// ReachBytes is what the reach takes of a stored operand.
const ReachBytes = 8

// AppendReach appends the first part of the stored value of an operand that
// stands for those from sequence number oldest on, newest being its own.
func AppendReach(dst []byte, oldest, newest SeqNum) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(newest-oldest))
}

// SplitOperand takes the stored value of a record of KindMerge with sequence
// number newest apart: oldest is that of the oldest operand it stands for. ok is
// false if it is none.
func SplitOperand(newest SeqNum, stored []byte) (oldest SeqNum, operand []byte, ok bool) {
	if len(stored) < ReachBytes {
		return 0, nil, false
	}
	reach := binary.LittleEndian.Uint64(stored)
	if reach > uint64(newest) {
		return 0, nil, false
	}
	return newest - SeqNum(reach), stored[ReachBytes:], true
}
