package checkpoint

import (
	"math"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
)

// This file says which numbers the files of a database have. Tables, segments of the log and archived ones
// share them.

// ownFileNumMax is above every number that a database comes to: a file with a larger one
// is somebody else's, and to count on from there would end at zero.
const ownFileNumMax = math.MaxUint64 / 2

// NextFileNum returns a number above all that the manifest gave out or the name of a
// file bears that may be ours.
func NextFileNum(next base.FileNum, names []string) base.FileNum {
	for _, name := range names {
		if n, ok := FileNum(name); ok && n >= next && n < ownFileNumMax {
			next = n + 1
		}
	}
	return max(next, 1)
}

// FileNum returns the number in the name of a table, or of a segment of the log.
func FileNum(name string) (base.FileNum, bool) {
	for _, parse := range []func(string) (base.FileNum, bool){
		store.ParseTableName, wal.ParseFileName, wal.ParseArchivedFileName,
	} {
		if n, ok := parse(name); ok {
			return n, true
		}
	}
	return 0, false
}
