package iterate

import (
	"bytes"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
)

// This file keeps walks from going in circles. A walk jumps by the key that it stands
// at, over versions, dead ranges and what a range tombstone hides. A user who has
// written into a key that was lent to him sends it back to where it has been with that,
// and it would come to the same record again, for ever. Each record at which a walk
// jumps therefore lies behind the one before.

// jumps remembers where the walk has jumped last.
type jumps struct {
	direction direction // unpositioned: there was none
	key       []byte
	trailer   base.Trailer
}

// mayJump notes a jump from rec, at which the source stands. It returns false, and there
// is an error, if the walk does not get on that way.
func (v *UserIter) mayJump(to direction, rec *base.Record) bool {
	j := &v.jumps
	if j.direction == to && j.isPast(rec) {
		v.err = rowLost(rec.Key)
		return false
	}
	j.direction, j.key, j.trailer = to, append(j.key[:0], rec.Key...), rec.Trailer
	return true
}

// isLast reports whether the walk stands where it has jumped last.
func (j *jumps) isLast(rec *base.Record) bool {
	return rec != nil && rec.Trailer == j.trailer && bytes.Equal(rec.Key, j.key)
}

// isPast reports whether a record lies where the walk has been before its last jump.
func (j *jumps) isPast(rec *base.Record) bool {
	order := bytes.Compare(rec.Key, j.key)
	if order == 0 {
		switch { // of one key the newest version comes first
		case rec.Trailer < j.trailer:
			order = 1
		case rec.Trailer > j.trailer:
			order = -1
		}
	}
	if j.direction == backward {
		order = -order
	}
	return order <= 0
}

// rowLost is the error of a walk that does not find a row where it was.
func rowLost(key []byte) error {
	return &base.CorruptionError{
		File: "memory", Offset: -1, Kind: "row of an iterator", Err: errRowLost,
		Lo: bytes.Clone(key), Hi: base.Successor(nil, key),
	}
}

var errRowLost = errors.New("it is not there any more: something has written into memory of the database")
