package view

import (
	"bytes"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
)

// What is in memory is lent to users as it lies there, who must not write to it but
// can; and memory can fail. This file is how a flush sees that it writes out what was
// added, and nothing else.

// ErrOverwritten is matched by the error of a checked iterator that came to a record
// which is not what was added. It comes in a *base.CorruptionError that names it.
var ErrOverwritten = errors.New("it is not what was added: something has written into memory of the database")

// summed is an iterator that knows the checksums with which records were added.
type summed interface {
	base.Iterator
	Sum() uint32
}

// Checked walks a Flushable. It shows copies, of which it has seen that they are
// intact, in order and complete (of large values it shows the originals, and sees at the
// next step of a walk forward whether they still are): a key that was changed may stand at the wrong place,
// and hide others. Completeness is known only at the end of a walk with First and
// Next, which all others do not look at. It ends with an error that matches
// ErrOverwritten.
type Checked struct {
	summed
	mask    uint32 // the bits of a checksum that count
	records int    // that there are
	whole   bool   // the walk began with First
	seen    int    // since then
	rec     checkedRecord
	last    checkedRecord
	err     error
}

// checkedRecord is a record in memory of its own, but for a large value: that is shown
// where it lies, and looked at once more when the walk goes on.
type checkedRecord struct {
	base.Record
	value []byte // memory for values
	sum   uint32 // with which the record was added
}

// checkedCopyBytes is the largest value that is copied.
const checkedCopyBytes = 64 << 10

// set makes c a record.
func (c *checkedRecord) set(rec *base.Record, sum uint32) {
	c.Key, c.Trailer, c.Value, c.sum = append(c.Key[:0], rec.Key...), rec.Trailer, rec.Value, sum
	if !c.isLent() {
		c.value = append(c.value[:0], rec.Value...)
		c.Value = c.value
	}
}

// isLent reports whether the value is shown where it lies.
func (c *checkedRecord) isLent() bool { return len(c.Value) > checkedCopyBytes }

// intact reports whether the record is what was added, as far as a mask tells.
func (c *checkedRecord) intact(mask uint32) bool {
	return (base.RecordSum(base.Hash(c.Key), c.Trailer, c.Value).Short()^c.sum)&mask == 0
}

// NewFlushIter returns an iterator over the point records for their flush: a checked
// one, unless nobody can have written to them yet.
func (m *Flushable) NewFlushIter() base.Iterator {
	if m.Table == nil && !m.Lent {
		return m.NewIter()
	}
	return m.NewCheckedIter()
}

// NewCheckedIter returns an iterator over the point records that looks whether they
// are what was added. Nothing must be added meanwhile.
func (m *Flushable) NewCheckedIter() *Checked {
	if m.Table != nil {
		return &Checked{summed: m.Table.NewIter(), mask: 1<<32 - 1, records: m.Table.Len()}
	}
	return &Checked{
		summed: &sortedIter{batches: m.sorted, pos: -1}, mask: entrySumMask, records: len(m.sorted.entries),
	}
}

// First moves to the first record.
func (c *Checked) First() *base.Record {
	c.whole, c.seen = true, 0
	return c.count(c.check(c.summed.First()))
}

// Next moves to the next record.
func (c *Checked) Next() *base.Record {
	if c.err != nil {
		return nil
	}
	if c.rec.isLent() && !c.rec.intact(c.mask) {
		return c.fail(c.rec.Key)
	}
	c.last, c.rec = c.rec, c.last
	rec := c.count(c.check(c.summed.Next()))
	if rec != nil && base.Compare(c.last.Key, c.last.Trailer, rec.Key, rec.Trailer) >= 0 {
		return c.fail(rec.Key)
	}
	return rec
}

// Last moves to the last record.
func (c *Checked) Last() *base.Record { return c.check(c.summed.Last()) }

// Prev moves to the previous record.
func (c *Checked) Prev() *base.Record { return c.check(c.summed.Prev()) }

// SeekGE moves to the first record whose key is at least key.
func (c *Checked) SeekGE(key []byte) *base.Record {
	c.whole = false
	return c.check(c.summed.SeekGE(key))
}

// SeekLT moves to the last record whose key is less than key.
func (c *Checked) SeekLT(key []byte) *base.Record { return c.check(c.summed.SeekLT(key)) }

// Err returns what was found.
func (c *Checked) Err() error { return c.err }

// count counts a record of a walk from the first one; at its end there have to be
// all.
func (c *Checked) count(rec *base.Record) *base.Record {
	switch {
	case rec != nil:
		c.seen++
	case c.err == nil && c.whole && c.seen != c.records:
		return c.fail(c.last.Key)
	}
	return rec
}

// check copies a record and looks at the copy, which nobody else can write to, or at a
// large value where it lies.
func (c *Checked) check(rec *base.Record) *base.Record {
	if rec == nil {
		return nil
	}
	c.rec.set(rec, c.Sum())
	if !c.rec.intact(c.mask) {
		return c.fail(c.rec.Key)
	}
	return &c.rec.Record
}

// fail ends the walk at a key.
func (c *Checked) fail(key []byte) *base.Record {
	c.err = &base.CorruptionError{
		File: "memory", Offset: -1, Kind: "memtable record", Lo: bytes.Clone(key),
		Hi: base.Successor(nil, key), Err: ErrOverwritten,
	}
	return nil
}
