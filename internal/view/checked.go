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
// intact, in order and complete: a key that was changed may stand at the wrong place,
// and hide others. Completeness is known only at the end of a walk with First and
// Next, which all others do not look at. It ends with an error that matches
// ErrOverwritten.
type Checked struct {
	summed
	mask    uint32 // the bits of a checksum that count
	records int    // that there are
	whole   bool   // the walk began with First
	seen    int    // since then
	rec     base.Record
	last    base.Record // in memory of its own, like rec
	err     error
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

// check copies a record and looks at the copy, which nobody else can write to.
func (c *Checked) check(rec *base.Record) *base.Record {
	if rec == nil {
		return nil
	}
	c.rec.Key = append(c.rec.Key[:0], rec.Key...)
	c.rec.Value = append(c.rec.Value[:0], rec.Value...)
	c.rec.Trailer = rec.Trailer
	if (c.recordSum()^c.Sum())&c.mask != 0 {
		return c.fail(c.rec.Key)
	}
	return &c.rec
}

// recordSum returns the checksum of the copy.
func (c *Checked) recordSum() uint32 {
	return base.RecordSum(base.Hash(c.rec.Key), c.rec.Trailer, c.rec.Value).Short()
}

// fail ends the walk at a key.
func (c *Checked) fail(key []byte) *base.Record {
	c.err = &base.CorruptionError{
		File: "memory", Offset: -1, Kind: "memtable record", Lo: bytes.Clone(key),
		Hi: base.Successor(nil, key), Err: ErrOverwritten,
	}
	return nil
}
