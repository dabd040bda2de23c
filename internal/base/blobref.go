package base

import "encoding/binary"

// A value that is kept apart from its key lies in a blob table, under the same key, as the
// record of KindSet or KindSetExpiring that it was. What is in the tree is a record of KindBlob
// in its place, whose stored value is a BlobRef: 32 bytes, four little-endian numbers.

// BlobRef says where a value is.
type BlobRef struct {
	File FileNum
	// Seq is the sequence number of the record in the file, which stays when that of the
	// record in the tree becomes zero.
	Seq SeqNum
	// StoredBytes is the length of the stored value.
	StoredBytes uint64
	Expiry      Instant // 0: never, it is a KindSet
}

// BlobRefBytes is the length of an encoded BlobRef.
const BlobRefBytes = 32

// AppendBlobRef appends the encoding of a BlobRef.
func AppendBlobRef(dst []byte, r BlobRef) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.File))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Seq))
	dst = binary.LittleEndian.AppendUint64(dst, r.StoredBytes)
	return binary.LittleEndian.AppendUint64(dst, uint64(r.Expiry))
}

// DecodeBlobRef reads what AppendBlobRef wrote. The error is a *CorruptionError that does not
// know its file.
func DecodeBlobRef(stored []byte) (BlobRef, error) {
	if len(stored) != BlobRefBytes {
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
	return r, nil
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
