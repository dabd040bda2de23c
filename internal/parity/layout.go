// Package parity lets a file be read whose sectors are damaged.
//
// Behind the content of a file stand Reed-Solomon parity sectors, and behind those pages
// with a checksum for each sector, twice:
//
//	content, filled up with zeroes to a whole sector
//	parity sectors, those of the first stripe first
//	checksum pages
//	the same checksum pages again
//
// A stripe is stripeSectors sectors of the content, the last one fewer, and the parity sectors
// for them: any of its sectors, as many as it has parity sectors, may be lost. A sector that the
// disk does not give back is lost like one whose checksum is wrong. All is part of the same file,
// so that whoever copies, links or deletes files needs to know nothing of it. The bytes are
// described in docs/format/parity.md.
//
// Functions keep nothing; a File may be used by any number of goroutines.
package parity

import (
	"encoding/binary"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
)

// This file is the arithmetic of where things are, and the codec of a checksum page. The decoder
// accepts any bytes.

const (
	// SectorBytes is what is lost, and made good, at once.
	SectorBytes = 4096
	// MaxPercent is the most parity that a file may have, as a part of its content.
	MaxPercent = 50

	// stripeSectors and the parity sectors of MaxPercent are fewer than the 256 that the
	// field has elements for.
	stripeSectors = 160
	// minParitySectors is what a stripe has at least, however short.
	minParitySectors = 2

	pageMagic       = "LTNGpar\n"
	version         = 1
	pageHeaderBytes = 40
	pageSums        = (SectorBytes - pageHeaderBytes - 4) / 4

	// maxContentBytes bounds what a page may say; all sums then still fit in an int.
	maxContentBytes = 1 << 42
)

// The kinds of sectors, as checksums have them: others than those of blocks of tables.
const (
	kindContent byte = 64 + iota
	kindParity
	kindPage
)

var errPage = errors.New("malformed parity page")

// Layout says what is where in a file with parity.
type Layout struct {
	ContentBytes int64
	Percent      int
}

func sectors(n int64) int64 { return (n + SectorBytes - 1) / SectorBytes }

// parityOf returns how many parity sectors n sectors have.
func (l Layout) parityOf(n int64) int64 {
	if n == 0 {
		return 0
	}
	return max((n*int64(l.Percent)+99)/100, minParitySectors)
}

func (l Layout) contentSectors() int64 { return sectors(l.ContentBytes) }

// stripes returns how many there are.
func (l Layout) stripes() int64 { return (l.contentSectors() + stripeSectors - 1) / stripeSectors }

// stripe says which sectors of the content, and which sectors of the file as parity, stripe i has.
func (l Layout) stripe(i int64) (first, count, parityFirst, parityCount int64) {
	first = i * stripeSectors
	count = min(l.contentSectors()-first, stripeSectors)
	return first, count, l.contentSectors() + i*l.parityOf(stripeSectors), l.parityOf(count)
}

// protected returns how many sectors have a checksum: content and parity.
func (l Layout) protected() int64 {
	whole, rest := l.contentSectors()/stripeSectors, l.contentSectors()%stripeSectors
	return l.contentSectors() + whole*l.parityOf(stripeSectors) + l.parityOf(rest)
}

// pages returns how many checksum pages each of the two copies has.
func (l Layout) pages() int64 { return (l.protected() + pageSums - 1) / pageSums }

// FileBytes returns the length of the whole file.
func (l Layout) FileBytes() int64 { return (l.protected() + 2*l.pages()) * SectorBytes }

func (l Layout) valid() bool {
	return l.ContentBytes > 0 && l.ContentBytes <= maxContentBytes && l.Percent > 0 && l.Percent <= MaxPercent
}

// sum returns the checksum of a sector.
func (l Layout) sum(file base.FileNum, sector int64, b []byte) uint32 {
	kind := kindContent
	if sector >= l.contentSectors() {
		kind = kindParity
	}
	return checksum.Block(file, sector*SectorBytes, kind, b)
}

// appendPage appends page i with its checksums, of which there are at most pageSums.
func (l Layout) appendPage(dst []byte, file base.FileNum, i int64, sums []uint32) []byte {
	start := len(dst)
	dst = append(dst, pageMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.Percent))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(file))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(l.ContentBytes))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(i))
	for _, s := range sums {
		dst = binary.LittleEndian.AppendUint32(dst, s)
	}
	dst = append(dst, make([]byte, SectorBytes-4-(len(dst)-start))...)
	return binary.LittleEndian.AppendUint32(dst, checksum.Block(file, 0, kindPage, dst[start:]))
}

// decodePage reads a page of a file. The checksums are those of all places that a page has; which
// of them mean something the layout says.
func decodePage(b []byte, file base.FileNum) (l Layout, i int64, sums []uint32, err error) {
	if len(b) != SectorBytes || string(b[:8]) != pageMagic ||
		binary.LittleEndian.Uint32(b[SectorBytes-4:]) != checksum.Block(file, 0, kindPage, b[:SectorBytes-4]) ||
		binary.LittleEndian.Uint32(b[8:]) != version || base.FileNum(binary.LittleEndian.Uint64(b[16:])) != file {
		return Layout{}, 0, nil, errPage
	}
	percent, content := binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint64(b[24:])
	if percent > MaxPercent || content > maxContentBytes {
		return Layout{}, 0, nil, errPage
	}
	l = Layout{ContentBytes: int64(content), Percent: int(percent)}
	index := binary.LittleEndian.Uint64(b[32:])
	if !l.valid() || index >= uint64(l.pages()) {
		return Layout{}, 0, nil, errPage
	}
	sums = make([]uint32, pageSums)
	for at := range sums {
		sums[at] = binary.LittleEndian.Uint32(b[pageHeaderBytes+4*at:])
	}
	return l, int64(index), sums, nil
}
