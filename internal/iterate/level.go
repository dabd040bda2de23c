package iterate

import (
	"bytes"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
)

// This file chains the files of one level. One file at a time is open, and
// none before the first positioning call; a file stays open until another one
// is needed. The iterator stands in file at, or past the last file at Len(),
// or before the first at -1; in the latter two cases whatever is open has been
// left.

// Files describes disjoint files in key order. File i holds keys in
// [Lo(i), Hi(i)) only, and may hold none.
type Files interface {
	Len() int
	Lo(i int) []byte
	Hi(i int) []byte
	Open(i int) (base.Iterator, error)
}

const noFile = -1

// Level is a base.Iterator over the records of all files of a level. Reset
// makes it ready for other files, so that it can be pooled.
type Level struct {
	files Files
	count int
	at    int
	open  int // the file iter is over, or noFile
	iter  base.Iterator
	err   error
}

// NewLevel returns a Level over the files, which stands before the first.
func NewLevel(files Files) *Level {
	l := &Level{}
	l.Reset(files)
	return l
}

// Reset makes l what NewLevel(files) returns. It may be called on a zero or
// closed Level.
func (l *Level) Reset(files Files) {
	*l = Level{files: files, count: files.Len(), at: -1, open: noFile}
}

// First implements base.Iterator.
func (l *Level) First() *base.Record {
	l.err = nil
	return l.firstFrom(0)
}

// Last implements base.Iterator.
func (l *Level) Last() *base.Record {
	l.err = nil
	return l.lastFrom(l.count - 1)
}

// SeekGE implements base.Iterator.
func (l *Level) SeekGE(key []byte) *base.Record {
	l.err = nil
	l.at = l.open
	if l.open == noFile || bytes.Compare(key, l.files.Lo(l.open)) < 0 || !l.endsAfter(l.open, key) {
		l.at = sort.Search(l.count, func(i int) bool { return l.endsAfter(i, key) })
	}
	if l.at == l.count || !l.use(l.at) {
		return nil
	}
	if rec := l.iter.SeekGE(key); rec != nil {
		return rec
	}
	return l.nextFile()
}

// SeekLT implements base.Iterator.
func (l *Level) SeekLT(key []byte) *base.Record {
	l.err = nil
	l.at = l.open
	if l.open == noFile || !l.beginsBefore(l.open, key) || bytes.Compare(key, l.files.Hi(l.open)) > 0 {
		l.at = sort.Search(l.count, func(i int) bool { return !l.beginsBefore(i, key) }) - 1
	}
	if l.at < 0 || !l.use(l.at) {
		return nil
	}
	if rec := l.iter.SeekLT(key); rec != nil {
		return rec
	}
	return l.prevFile()
}

// Next implements base.Iterator.
func (l *Level) Next() *base.Record {
	if l.at == l.open && l.err == nil && l.iter != nil {
		if rec := l.iter.Next(); rec != nil {
			return rec
		}
		return l.nextFile()
	}
	if l.at >= 0 || l.err != nil {
		return nil
	}
	return l.firstFrom(0)
}

// Prev implements base.Iterator.
func (l *Level) Prev() *base.Record {
	if l.at == l.open && l.err == nil && l.iter != nil {
		if rec := l.iter.Prev(); rec != nil {
			return rec
		}
		return l.prevFile()
	}
	if l.at < l.count || l.err != nil {
		return nil
	}
	return l.lastFrom(l.count - 1)
}

// Iter returns what is open, nil if nothing is. Who moves it forward says so with Moved.
func (l *Level) Iter() base.Iterator { return l.iter }

// Moved goes on where the iterator of the open file was moved forward. It stands at rec now, nil
// at its end.
func (l *Level) Moved(rec *base.Record) *base.Record {
	if rec == nil {
		return l.nextFile()
	}
	return rec
}

// Err implements base.Iterator.
func (l *Level) Err() error { return l.err }

// Close closes the open file, if any.
func (l *Level) Close() error {
	iter := l.iter
	*l = Level{open: noFile}
	if iter == nil {
		return nil
	}
	return iter.Close()
}

func (l *Level) endsAfter(i int, key []byte) bool {
	return bytes.Compare(l.files.Hi(i), key) > 0
}

func (l *Level) beginsBefore(i int, key []byte) bool {
	return bytes.Compare(l.files.Lo(i), key) < 0
}

// nextFile goes on after the open file returned nil.
func (l *Level) nextFile() *base.Record {
	if l.err = l.iter.Err(); l.err != nil {
		return nil
	}
	return l.firstFrom(l.at + 1)
}

// prevFile goes on, downwards, after the open file returned nil.
func (l *Level) prevFile() *base.Record {
	if l.err = l.iter.Err(); l.err != nil {
		return nil
	}
	return l.lastFrom(l.at - 1)
}

// firstFrom returns the first record of file i and the ones after it.
func (l *Level) firstFrom(i int) *base.Record {
	for l.at = i; l.at < l.count; l.at++ {
		if !l.use(l.at) {
			return nil
		}
		if rec := l.iter.First(); rec != nil {
			return rec
		}
		if l.err = l.iter.Err(); l.err != nil {
			return nil
		}
	}
	return nil
}

// lastFrom returns the last record of file i and the ones before it.
func (l *Level) lastFrom(i int) *base.Record {
	for l.at = i; l.at >= 0; l.at-- {
		if !l.use(l.at) {
			return nil
		}
		if rec := l.iter.Last(); rec != nil {
			return rec
		}
		if l.err = l.iter.Err(); l.err != nil {
			return nil
		}
	}
	return nil
}

// use makes file i the open one. It reports false and sets err on failure.
func (l *Level) use(i int) bool {
	if l.open == i {
		return true
	}
	if l.iter != nil {
		old := l.iter
		l.iter, l.open = nil, noFile
		if l.err = old.Close(); l.err != nil {
			return false
		}
	}
	iter, err := l.files.Open(i)
	if err != nil {
		l.err = err
		return false
	}
	l.iter, l.open = iter, i
	return true
}
