package manifest

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/zeebo/xxh3"

	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/vfs"
)

// This file writes an edit as a record. A snapshot names every table with its bounds, and
// with long keys that is a good part of what the database may take of memory; so records
// are encoded and written in pieces, once to see how long they are and once into the file.
// Nothing here is kept, and everything is of the caller, who holds the lock of the log.

// pieceBytes is about how much of a record is in memory at once.
const pieceBytes = 256 << 10

// pieces yields edits whose encodings, one behind the other, are that of e, each of about
// pieceBytes unless it is one field.
func (e *Edit) pieces() iter.Seq[*Edit] {
	return func(yield func(*Edit) bool) {
		head, rest := Edit{
			NextFileNum: e.NextFileNum, LastSeq: e.LastSeq, LogStart: e.LogStart, NextKeyspaceID: e.NextKeyspaceID,
			RemoveLogs: e.RemoveLogs, AddLogs: e.AddLogs, RemoveFiles: e.RemoveFiles,
		}, *e
		rest.NextFileNum, rest.LastSeq, rest.LogStart, rest.NextKeyspaceID = 0, 0, 0, 0
		rest.RemoveLogs, rest.AddLogs, rest.RemoveFiles, rest.AddFiles = nil, nil, nil, nil
		files := e.AddFiles
		for {
			n := filesWithin(files, pieceBytes)
			head.AddFiles, files = files[:n], files[n:]
			if !yield(&head) {
				return
			}
			if len(files) == 0 {
				break
			}
			head = Edit{}
		}
		yield(&rest)
	}
}

// filesWithin returns how many of the first files are encoded in about sizeBytes; one at
// least, if there is one.
func filesWithin(files []LevelFile, sizeBytes int) int {
	for i := range files {
		m := files[i].Meta
		sizeBytes -= metaBytes + len(m.Lo) + len(m.Hi) + len(m.DeletesLo) + len(m.DeletesHi)
		if sizeBytes < 0 {
			return max(i, 1)
		}
	}
	return len(files)
}

// metaBytes is about what a table takes in an edit beside its bounds.
const metaBytes = 64

// newRecord is what is to be written behind other records.
type newRecord struct {
	edit         *Edit
	salt         uint64
	after        chain
	synced       uint64
	payloadBytes int
	next         chain // behind it
}

// measure returns the record of an edit.
func measure(e *Edit, salt uint64, after chain, synced int64) newRecord {
	r := newRecord{edit: e, salt: salt, after: after, synced: uint64(synced)}
	sum := xxh3.NewSeed(uint64(after))
	var b []byte
	for piece := range e.pieces() {
		b = appendEdit(b[:0], piece)
		_, _ = sum.Write(b) // never fails
		r.payloadBytes += len(b)
	}
	r.next = chain(sum.Sum64())
	return r
}

// sizeBytes is what the record takes of the file.
func (r *newRecord) sizeBytes() int64 { return int64(recordHeaderBytes+r.payloadBytes+7) &^ 7 }

// writeTo writes the record into a file at an offset, behind a lead. A record of several
// pieces gets its checksum last.
func (r *newRecord) writeTo(f vfs.File, lead []byte, at int64) error {
	start := at + int64(len(lead)) // of the record
	b := appendRecordHeader(lead, r.payloadBytes, r.after, r.synced)
	sum := checksum.CRC(recordSeed(r.salt), b[len(lead)+checksumBytes:])
	end := start + r.sizeBytes()
	offset := at // of b
	for piece := range r.edit.pieces() {
		if len(b) >= pieceBytes {
			if _, err := f.WriteAt(b, offset); err != nil {
				return err
			}
			offset, b = offset+int64(len(b)), b[:0]
		}
		begin := len(b)
		b = appendEdit(b, piece)
		sum = checksum.CRC(sum, b[begin:])
	}
	begin := len(b)
	for offset+int64(len(b)) < end {
		b = append(b, 0)
	}
	sum = checksum.CRC(sum, b[begin:])
	if offset == at {
		binary.LittleEndian.PutUint32(b[len(lead):], sum)
	}
	if _, err := f.WriteAt(b, offset); err != nil || offset == at {
		return err
	}
	_, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, sum), start)
	return err
}

// tooLarge is the error for a record that no manifest can hold as its snapshot.
func (r *newRecord) tooLarge(name string) error {
	if r.payloadBytes <= maxFileBytes/rollFactor {
		return nil
	}
	return fmt.Errorf("snapshot for %s is too large: %d bytes", name, r.payloadBytes)
}
