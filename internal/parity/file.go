package parity

import (
	"errors"
	"fmt"
	"io"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
)

// This file reads: it finds out whether a file has parity, checks sectors, and makes good those
// that are lost.

// findPages is how many pages Find looks at, from the end of the file.
const findPages = 64

// ErrBeyond says that more of a stripe is lost than its parity makes good.
var ErrBeyond = errors.New("more sectors are lost than parity makes good")

// Find returns the layout of a file of some length, if it has parity: any of the last pages that
// can be read tells.
func Find(f vfs.ReadFile, file base.FileNum, sizeBytes int64) (l Layout, has bool) {
	if sizeBytes%SectorBytes != 0 {
		return Layout{}, false
	}
	page := make([]byte, SectorBytes)
	for i := int64(1); i <= min(findPages, sizeBytes/SectorBytes); i++ {
		if n, _ := f.ReadAt(page, sizeBytes-i*SectorBytes); n < SectorBytes {
			continue
		}
		if l, _, _, err := decodePage(page, file); err == nil && l.FileBytes() == sizeBytes {
			return l, true
		}
	}
	return Layout{}, false
}

// File reads the content of a file with parity, and checks each sector that it reads. Lost, if
// given, is called for each sector that was lost, with its offset in the file; what it was of the
// content is made good then. It may be used by several goroutines at once.
type File struct {
	Layout
	file vfs.ReadFile
	num  base.FileNum
	Lost func(offset int64)

	sums  []uint32
	known []bool  // by page: its sums were read
	bad   []int64 // offsets of pages that cannot be read
}

// Open reads the checksums of a file that has the layout which Find has returned. The file stays
// the caller's.
func Open(f vfs.ReadFile, file base.FileNum, l Layout) (*File, error) {
	p := &File{Layout: l, file: f, num: file, sums: make([]uint32, l.protected()), known: make([]bool, l.pages())}
	page := make([]byte, SectorBytes)
	for copied := range int64(2) {
		for i := range l.pages() {
			at := (l.protected() + copied*l.pages() + i) * SectorBytes
			if n, _ := f.ReadAt(page, at); n < SectorBytes {
				p.bad = append(p.bad, at)
				continue
			}
			found, index, sums, err := decodePage(page, file)
			if err != nil || found != l || index != i {
				p.bad = append(p.bad, at)
				continue
			}
			copy(p.sums[i*pageSums:], sums)
			p.known[i] = true
		}
	}
	for _, known := range p.known {
		if known {
			return p, nil
		}
	}
	return nil, fmt.Errorf("parity: %w", errPage)
}

// sound reports whether a sector is what was written, or at least nothing is known against it.
func (p *File) sound(sector int64, b []byte) bool {
	return !p.known[sector/pageSums] || p.sum(p.num, sector, b) == p.sums[sector]
}

// read reads sectors from first on into b, and calls lost for those that are not sound.
func (p *File) read(b []byte, first int64, lost func(i int64)) {
	n, _ := p.file.ReadAt(b, first*SectorBytes)
	whole := n == len(b)
	for i := range int64(len(b) / SectorBytes) {
		sector := b[i*SectorBytes:][:SectorBytes]
		if !whole { // some of them cannot be read: which?
			if n, _ := p.file.ReadAt(sector, (first+i)*SectorBytes); n < SectorBytes {
				lost(i)
				continue
			}
		}
		if !p.sound(first+i, sector) {
			lost(i)
		}
	}
}

// ReadAt reads content. What it returns is what was written, as far as the checksums are known.
func (p *File) ReadAt(b []byte, offset int64) (n int, err error) {
	if offset < 0 || offset > p.ContentBytes {
		return 0, io.EOF
	}
	if rest := p.ContentBytes - offset; int64(len(b)) > rest {
		b, err = b[:rest], io.EOF
	}
	const stripeBytes = stripeSectors * SectorBytes
	for n < len(b) {
		at := offset + int64(n)
		part := b[n:min(int64(len(b)), int64(n)+stripeBytes-at%stripeBytes)]
		if err := p.readPart(part, at); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, err
}

// readPart reads what lies within one stripe.
func (p *File) readPart(b []byte, offset int64) error {
	first := offset / SectorBytes
	buffer, skip := b, offset%SectorBytes
	if skip != 0 || len(b)%SectorBytes != 0 {
		buffer = make([]byte, sectors(skip+int64(len(b)))*SectorBytes)
	}
	var lost []int64
	p.read(buffer, first, func(i int64) { lost = append(lost, i) })
	if len(lost) > 0 {
		stripe := first / stripeSectors
		good, err := p.restore(stripe)
		if err != nil {
			return err
		}
		for _, i := range lost {
			copy(buffer[i*SectorBytes:][:SectorBytes], good[first+i-stripe*stripeSectors])
			p.tell((first + i) * SectorBytes)
		}
	}
	if skip != 0 || len(b)%SectorBytes != 0 {
		copy(b, buffer[skip:])
	}
	return nil
}

func (p *File) tell(offset int64) {
	if p.Lost != nil {
		p.Lost(offset)
	}
}

// restore returns the sectors of the content of a stripe, those that are lost made good.
func (p *File) restore(stripe int64) ([][]byte, error) {
	first, count, parityFirst, parityCount := p.stripe(stripe)
	coder, err := p.coder()
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, (count+parityCount)*SectorBytes)
	shards := make([][]byte, stripeSectors+p.parityOf(stripeSectors))
	for i := range int64(stripeSectors) {
		shards[i] = zeroes
		if i < count {
			shards[i] = buffer[i*SectorBytes:][:SectorBytes]
		}
	}
	for i := range parityCount {
		shards[stripeSectors+i] = buffer[(count+i)*SectorBytes:][:SectorBytes]
	}
	var lost []int64
	missing := int64(0)
	p.read(buffer[:count*SectorBytes], first, func(i int64) {
		shards[i], lost = nil, append(lost, i)
		missing++
	})
	p.read(buffer[count*SectorBytes:], parityFirst, func(i int64) {
		shards[stripeSectors+i] = nil
		missing++
	})
	if missing > parityCount {
		return nil, fmt.Errorf("stripe %d at offset %d: %d of %d: %w",
			stripe, first*SectorBytes, missing, count+parityCount, ErrBeyond)
	}
	if err := coder.ReconstructData(shards); err != nil {
		return nil, fmt.Errorf("stripe %d: %w", stripe, err)
	}
	for _, i := range lost {
		if !p.sound(first+i, shards[i]) {
			return nil, fmt.Errorf("sector %d is not what it was when it is made good: %w", first+i, ErrBeyond)
		}
	}
	return shards[:count], nil
}

// Check reads the parity itself, not the content, and returns the offsets of its sectors and
// pages that are lost.
func (p *File) Check() (lost []int64) {
	buffer := make([]byte, min(p.parityOf(stripeSectors), p.protected()-p.contentSectors())*SectorBytes)
	for i := range p.stripes() {
		_, _, first, count := p.stripe(i)
		p.read(buffer[:count*SectorBytes], first, func(i int64) { lost = append(lost, (first+i)*SectorBytes) })
	}
	return append(lost, p.bad...)
}

// Rewrite writes the file into dst, an empty one, as it was before anything was lost: content
// and parity. It makes nothing durable.
func (p *File) Rewrite(dst vfs.File) error {
	buffer := make([]byte, min(stripeSectors*SectorBytes, p.ContentBytes))
	for at := int64(0); at < p.ContentBytes; at += int64(len(buffer)) {
		b := buffer[:min(int64(len(buffer)), p.ContentBytes-at)]
		if n, err := p.ReadAt(b, at); n < len(b) {
			return err
		}
		if _, err := dst.WriteAt(b, at); err != nil {
			return err
		}
	}
	return Append(dst, p.num, p.Layout)
}
