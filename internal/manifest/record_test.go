package manifest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// longEdit is an edit with everything in it, and with so many tables that have long bounds.
func longEdit(tables, boundBytes int) *Edit {
	e := fullEdit()
	for i := range tables {
		lo := fmt.Sprintf("%06d%s", i, bytes.Repeat([]byte("k"), boundBytes))
		e.AddFiles = append(e.AddFiles, LevelFile{Level: 1, Meta: table(base.FileNum(1000+i), lo, lo+"z")})
	}
	return e
}

// largestWrite is a file that notes its largest write.
type largestWrite struct {
	vfs.File
	sizeBytes int
}

func (f *largestWrite) WriteAt(b []byte, offset int64) (int, error) {
	f.sizeBytes = max(f.sizeBytes, len(b))
	return f.File.WriteAt(b, offset)
}

// A record that is written in pieces is the one that it would be in one piece, whatever its
// length, and of a long one only a piece is in memory.
func TestRecordsAreWrittenInPieces(t *testing.T) {
	const salt, synced, boundBytes = 0x1234567887654321, 77, 60 << 10
	lead := []byte("01234567")
	for _, tables := range []int{0, 1, 2, 3, 4, 5, 6, 7, 100} {
		e := longEdit(tables, boundBytes)
		want := appendEdit(nil, e)
		rec := measure(e, salt, 5, synced)
		if rec.payloadBytes != len(want) || rec.next != chain(5).next(want) {
			t.Fatalf("%d tables: measured %d bytes and chain %x", tables, rec.payloadBytes, rec.next)
		}
		want = appendRecord(bytes.Clone(lead), salt, 5, synced, want)
		if int64(len(want)) != int64(len(lead))+rec.sizeBytes() {
			t.Fatalf("%d tables: %d bytes, not %d", tables, rec.sizeBytes(), len(want))
		}
		created, err := memfs.New().Create("file")
		if err != nil {
			t.Fatal(err)
		}
		f := &largestWrite{File: created}
		if err := rec.writeTo(f, bytes.Clone(lead), 8); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, 8); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d tables: the record differs: %v", tables, err)
		}
		if size, err := f.Size(); err != nil || size != int64(8+len(want)) {
			t.Fatalf("%d tables: the file has %d bytes, not %d: %v", tables, size, 8+len(want), err)
		}
		if most := 2*pieceBytes + 5*boundBytes; f.sizeBytes > most {
			t.Errorf("%d tables: a write of %d bytes, at most %d are expected", tables, f.sizeBytes, most)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
