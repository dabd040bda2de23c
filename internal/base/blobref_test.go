package base

import (
	"bytes"
	"testing"
)

// FuzzDecodeBlobRef: what is decoded is encoded the same again, and its pieces are the value.
func FuzzDecodeBlobRef(f *testing.F) {
	for _, r := range []BlobRef{
		{File: 1},
		{File: 9, Seq: 7, StoredBytes: 5000, Expiry: 1 << 60},
		{File: 9, Seq: FirstPieceSeq, StoredBytes: 5000, PieceBytes: 1000},
		{File: 9, Seq: FirstPieceSeq, StoredBytes: MaxStoredBytes, PieceBytes: 1000, Expiry: 1},
		{File: 9, Seq: 2, StoredBytes: 5000, PieceBytes: 1}, // more pieces than numbers
	} {
		f.Add(AppendBlobRef(nil, r))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		r, err := DecodeBlobRef(stored)
		if err != nil {
			return
		}
		if again := AppendBlobRef(nil, r); !bytes.Equal(again, stored) {
			t.Fatalf("%+v is encoded as %x, and was %x", r, again, stored)
		}
		if r.PieceBytes == 0 {
			if r.Pieces() != 1 {
				t.Fatalf("%+v has %d pieces", r, r.Pieces())
			}
			return
		}
		n := r.Pieces()
		last := r.Piece(n - 1)
		if n < 2 || r.Piece(0).Seq != r.Seq || r.Piece(0).StoredBytes != r.PieceBytes || last.StoredBytes == 0 ||
			uint64(n-1)*r.PieceBytes+last.StoredBytes != r.StoredBytes || last.Seq > r.Seq {
			t.Fatalf("%+v has %d pieces, the last one %+v", r, n, last)
		}
	})
}
