package sstable

import (
	"bytes"
	"encoding/binary"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
)

// IsOrphan reports whether f can be what a crash left of table file of
// database db: a header of that database, or no header yet, because nothing of
// it reached the disk. Whoever opens a directory uses it to tell its own
// unfinished files from ones that only bear a similar name.
func IsOrphan(f vfs.File, db base.DBID, file base.FileNum) bool {
	size, err := f.Size()
	if err != nil {
		return false
	}
	if size < headerBytes {
		return true
	}
	h := make([]byte, headerBytes)
	if _, err := f.ReadAt(h, 0); err != nil {
		return false
	}
	_, headerErr := checkHeader(h, "", db, file)
	return headerErr == nil || bytes.Count(h, []byte{0}) == len(h)
}

// Owner returns the database that a table belongs to and its number, by its header; ok is
// false where that is not intact.
func Owner(f vfs.File) (db base.DBID, file base.FileNum, ok bool) {
	h := make([]byte, headerBytes)
	if _, err := f.ReadAt(h, 0); err != nil {
		return db, 0, false
	}
	db, file = base.DBID(h[16:32]), base.FileNum(binary.LittleEndian.Uint64(h[32:]))
	_, err := checkHeader(h, "", db, file)
	return db, file, err == nil
}
