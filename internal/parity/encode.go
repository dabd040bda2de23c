package parity

import (
	"fmt"
	"sync"

	"github.com/klauspost/reedsolomon"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
)

// This file makes parity. There is one matrix for each percentage: that of a whole stripe. A
// shorter stripe has zeroes for the sectors that it lacks, and the first rows alone; any
// square part of a Cauchy matrix can be inverted, so nothing is lost by that.

// coders has the reedsolomon.Encoder of each percentage that was asked for.
var coders sync.Map // int -> reedsolomon.Encoder

// zeroes is a sector that a short stripe lacks. Nobody writes to it.
var zeroes = make([]byte, SectorBytes)

func (l Layout) coder() (reedsolomon.Encoder, error) {
	if c, ok := coders.Load(l.Percent); ok {
		return c.(reedsolomon.Encoder), nil
	}
	c, err := reedsolomon.New(stripeSectors, int(l.parityOf(stripeSectors)),
		reedsolomon.WithCauchyMatrix(), reedsolomon.WithMaxGoroutines(1), reedsolomon.WithInversionCache(false))
	if err != nil {
		return nil, fmt.Errorf("parity of %d percent: %w", l.Percent, err)
	}
	kept, _ := coders.LoadOrStore(l.Percent, c)
	return kept.(reedsolomon.Encoder), nil
}

// Append writes behind the content of a file, its first l.ContentBytes, what protects it. It
// reads the content once more, a stripe at a time: that, and four bytes for each sector, is the
// memory it takes. It makes nothing durable.
func Append(f vfs.File, file base.FileNum, l Layout) error {
	if !l.valid() {
		return fmt.Errorf("parity of %d percent for %d bytes: out of bounds", l.Percent, l.ContentBytes)
	}
	coder, err := l.coder()
	if err != nil {
		return err
	}
	if end := l.contentSectors() * SectorBytes; end > l.ContentBytes {
		if _, err := f.WriteAt(zeroes[:end-l.ContentBytes], l.ContentBytes); err != nil {
			return err
		}
	}
	e := encoder{l: l, num: file, file: f, coder: coder, sums: make([]uint32, l.protected())}
	for i := range l.stripes() {
		if err := e.stripe(i); err != nil {
			return err
		}
	}
	return e.pages()
}

// encoder is one run of Append.
type encoder struct {
	l      Layout
	num    base.FileNum
	file   vfs.File
	coder  reedsolomon.Encoder
	sums   []uint32
	buffer []byte // a stripe of content and parity
}

func (e *encoder) stripe(i int64) error {
	first, count, parityFirst, parityCount := e.l.stripe(i)
	if e.buffer == nil {
		e.buffer = make([]byte, (count+e.l.parityOf(stripeSectors))*SectorBytes)
	}
	content, parity := e.buffer[:count*SectorBytes], e.buffer[count*SectorBytes:]
	if n, err := e.file.ReadAt(content, first*SectorBytes); n < len(content) {
		return fmt.Errorf("read back sector %d: %w", first, err)
	}
	shards := make([][]byte, 0, stripeSectors+e.l.parityOf(stripeSectors))
	for s := range int64(stripeSectors) {
		if s >= count {
			shards = append(shards, zeroes)
			continue
		}
		b := content[s*SectorBytes:][:SectorBytes]
		e.sums[first+s] = e.l.sum(e.num, first+s, b)
		shards = append(shards, b)
	}
	for p := range e.l.parityOf(stripeSectors) {
		shards = append(shards, parity[p*SectorBytes:][:SectorBytes])
	}
	if err := e.coder.Encode(shards); err != nil {
		return fmt.Errorf("parity of stripe %d: %w", i, err)
	}
	for p := range parityCount {
		e.sums[parityFirst+p] = e.l.sum(e.num, parityFirst+p, shards[stripeSectors+p])
	}
	_, err := e.file.WriteAt(parity[:parityCount*SectorBytes], parityFirst*SectorBytes)
	return err
}

// pages writes the checksum pages twice.
func (e *encoder) pages() error {
	var page []byte
	for i := range e.l.pages() {
		page = e.l.appendPage(page[:0], e.num, i, e.sums[i*pageSums:min((i+1)*pageSums, e.l.protected())])
		for copied := range int64(2) {
			at := e.l.protected() + copied*e.l.pages() + i
			if _, err := e.file.WriteAt(page, at*SectorBytes); err != nil {
				return err
			}
		}
	}
	return nil
}
