package base

import "encoding/binary"

// A value that is kept apart from its key lies in a blob table, under the same key, as the
// record of KindSet or KindSetExpiring that it was. What is in the tree is a record of KindBlob
// in its place, whose stored value is a BlobRef: 32 bytes, four little-endian numbers.
//
// A very large one lies there in pieces, so that nobody who moves or streams it has all of it in
// memory: records of KindSet under the same key, side by side, with sequence numbers that go down
// by one. Together they are the stored value. The reference has a fifth number then.

// BlobRef says where a value is.
type BlobRef struct {
	File FileNum
	// Seq is the sequence number of the record in the file, which stays when that of the
	// record in the tree becomes zero.
	Seq SeqNum
	// StoredBytes is the length of the stored value.
	StoredBytes uint64
	Expiry      Instant // 0: never, it is a KindSet
	// PieceBytes is the length of each piece but the last; 0: it is not in pieces. Seq is that
	// of the first then.
	PieceBytes uint64
}

// The lengths of an encoded BlobRef.
const (
	BlobRefBytes       = 32
	PiecedBlobRefBytes = 40
)

// FirstPieceSeq is the sequence number of the first piece of a value in its file, which has
// nothing to do with when it was written.
const FirstPieceSeq = SeqNum(1 << 32)

// AppendBlobRef appends the encoding of a BlobRef.
func AppendBlobRef(dst []byte, r BlobRef) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.File))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Seq))
	dst = binary.LittleEndian.AppendUint64(dst, r.StoredBytes)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Expiry))
	if r.PieceBytes == 0 {
		return dst
	}
	return binary.LittleEndian.AppendUint64(dst, r.PieceBytes)
}

// DecodeBlobRef reads what AppendBlobRef wrote. The error is a *CorruptionError that does not
// know its file.
func DecodeBlobRef(stored []byte) (BlobRef, error) {
	if len(stored) != BlobRefBytes && len(stored) != PiecedBlobRefBytes {
		return BlobRef{}, malformed("blob reference")
	}
	r := BlobRef{
		File:        FileNum(binary.LittleEndian.Uint64(stored)),
		Seq:         SeqNum(binary.LittleEndian.Uint64(stored[8:])),
		StoredBytes: binary.LittleEndian.Uint64(stored[16:]),
		Expiry:      Instant(binary.LittleEndian.Uint64(stored[24:])),
	}
	if r.File == 0 || r.Seq > SeqNumMax || r.StoredBytes > MaxStoredBytes || r.Expiry < 0 {
		return BlobRef{}, malformed("blob reference")
	}
	if len(stored) == PiecedBlobRefBytes {
		r.PieceBytes = binary.LittleEndian.Uint64(stored[BlobRefBytes:])
		if r.PieceBytes == 0 || r.PieceBytes >= r.StoredBytes || uint64(r.Pieces()) > uint64(r.Seq) {
			return BlobRef{}, malformed("blob reference")
		}
	}
	return r, nil
}

// Pieces is in how many records of the blob table the value is.
func (r BlobRef) Pieces() int {
	if r.PieceBytes == 0 {
		return 1
	}
	return int((r.StoredBytes + r.PieceBytes - 1) / r.PieceBytes)
}

// Piece returns the reference to one record of a value in pieces.
func (r BlobRef) Piece(i int) BlobRef {
	begin := uint64(i) * r.PieceBytes
	return BlobRef{File: r.File, Seq: r.Seq - SeqNum(i), StoredBytes: min(r.PieceBytes, r.StoredBytes-begin)}
}

// HeadBytes is what the stored value has before that of the user.
func (r BlobRef) HeadBytes() int64 {
	if r.Expiry > 0 {
		return ExpiryBytes
	}
	return 0
}

// Kind is the kind of the record in the blob table.
func (r BlobRef) Kind() Kind {
	if r.Expiry > 0 {
		return KindSetExpiring
	}
	return KindSet
}

// Check says what is wrong with the stored value of a record of a table, if anything is.
func Check(tr Trailer, stored []byte) (Stored, error) {
	if tr.Kind() != KindBlob {
		return Decode(tr, stored)
	}
	r, err := DecodeBlobRef(stored)
	return Stored{Expiry: r.Expiry}, err
}
