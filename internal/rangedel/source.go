package rangedel

import "github.com/lightningdb/lightning/internal/base"

// Piece is what a Source says of a key, and of all others in [Lo, Hi), where a nil end
// is unbounded.
type Piece struct {
	Lo, Hi []byte
	// Seq is the newest tombstone over them that was asked for, 0 if there is none.
	Seq base.SeqNum
}

// Source knows where range tombstones are.
type Source interface {
	// Around says what the newest tombstone over key is that is not newer than seq. The
	// bounds are valid until the next call.
	Around(key []byte, seq base.SeqNum) (Piece, error)
}

// Iterator yields fragments that are sorted and disjoint; nil at the end. Neighbours that
// touch differ in their sequence numbers. A fragment is valid until the next call.
type Iterator interface {
	Next() (*Fragment, error)
}

// Around implements Source; the bounds stay valid.
func (l *List) Around(key []byte, seq base.SeqNum) (Piece, error) {
	fragments := l.Fragments()
	at := 0
	if l != nil {
		at = l.firstEndingAfter(key)
	}
	var p Piece
	if at < len(fragments) {
		f := &fragments[at]
		if string(f.Lo) <= string(key) {
			return Piece{Lo: f.Lo, Hi: f.Hi, Seq: f.Newest(seq)}, nil
		}
		p.Hi = f.Lo
	}
	if at > 0 {
		p.Lo = fragments[at-1].Hi
	}
	return p, nil
}

// Iter returns an iterator over the fragments.
func (l *List) Iter() Iterator { return &listIter{l.Fragments()} }

type listIter struct{ rest []Fragment }

func (it *listIter) Next() (*Fragment, error) {
	if len(it.rest) == 0 {
		return nil, nil
	}
	f := &it.rest[0]
	it.rest = it.rest[1:]
	return f, nil
}
