package sstable

import (
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/parity"
	"github.com/lightningdb/lightning/vfs"
)

// This file is what a Reader does with a table that has parity behind its footer: a block that
// cannot be read, or whose checksum is wrong, is made good before it is looked at again. Reads
// go past the parity until then. Only where a Reader is careful, as Verify is and an open that
// has failed, does all it reads come through the checksums of the sectors.

// kindSector is how a sector that was made good is reported.
const kindSector = "sector"

// errLost says of a sector that it was made good.
var errLost = errors.New("sector cannot be read or is not what was written")

// findParity notes how much of the file is the table, and whether parity follows.
func (r *Reader) findParity(size int64) {
	r.tableBytes = size
	if size < parity.SectorBytes || size%parity.SectorBytes != 0 {
		return
	}
	var end [len(footerMagic)]byte
	if n, _ := r.file.ReadAt(end[:], size-int64(len(end))); n == len(end) && string(end[:]) == footerMagic {
		return
	}
	if l, has := parity.Find(r.file, r.o.FileNum, size); has {
		r.parity, r.tableBytes = l, l.ContentBytes
	}
}

// HasParity reports whether the table can be made good.
func (r *Reader) HasParity() bool { return r.parity != parity.Layout{} }

// openParity returns the way to the file through its parity. lost, which may be nil, is called
// for each sector that was made good, with its offset.
func (r *Reader) openParity(lost func(offset int64)) (*parity.File, error) {
	p, err := parity.Open(r.file, r.o.FileNum, r.parity)
	if err == nil {
		p.Lost = lost
	}
	return p, err
}

// lost reports a sector that was lost and is made good.
func (r *Reader) lost(offset int64) {
	if r.o.Lost != nil {
		r.o.Lost(&base.CorruptionError{
			File: r.name, Offset: offset, Length: parity.SectorBytes, Kind: kindSector, Err: errLost,
		})
	}
}

// rescue reads a part of the table through its parity after cause, which is returned where that
// is of no use.
func (r *Reader) rescue(b []byte, offset int64, cause error) error {
	if !r.HasParity() || r.careful != nil {
		return cause
	}
	p, err := r.openParity(r.lost)
	if err != nil {
		return cause
	}
	if n, err := p.ReadAt(b, offset); n < len(b) {
		return fmt.Errorf("%w; %w", cause, err)
	}
	return nil
}

// reopen opens the table through its parity, after an open that has failed with cause.
func (r *Reader) reopen(cause error) error {
	p, err := r.openParity(r.lost)
	if !r.HasParity() || err != nil {
		if damage, ok := errors.AsType[*base.CorruptionError](cause); ok && r.o.Damaged != nil {
			r.o.Damaged(damage)
		}
		return cause
	}
	r.careful = p
	defer func() { r.careful = nil }()
	r.parts, r.props = nil, Properties{}
	return r.open()
}

// openCareful opens the table through its parity, if it has any, and leaves the reader careful:
// what is lost is reported and made good.
func (r *Reader) openCareful() error {
	size, err := r.file.Size()
	if err != nil {
		return fmt.Errorf("size of table %s: %w", r.name, err)
	}
	if r.findParity(size); r.HasParity() {
		if r.careful, err = r.openParity(r.lost); err != nil {
			return r.corrupt(r.tableBytes, 0, "parity", err)
		}
	}
	return r.open()
}

// LostParity reads the parity of a table, but for what is read to find it, and reports the
// sectors of it that are lost as sectors of the table are.
func (r *Reader) LostParity() error {
	if !r.HasParity() {
		return nil
	}
	p, err := r.openParity(nil)
	if err != nil {
		return r.corrupt(r.tableBytes, 0, "parity", err)
	}
	for _, offset := range p.Check() {
		r.lost(offset)
	}
	return nil
}

// Rewrite writes the table, and its parity, into dst, an empty file, as they were before
// anything of them was lost. It makes nothing durable.
func (r *Reader) Rewrite(dst vfs.File) error {
	p, err := r.openParity(nil)
	if err == nil {
		err = p.Rewrite(dst)
	}
	if err != nil {
		return fmt.Errorf("rewrite table %s: %w", r.name, err)
	}
	return nil
}
