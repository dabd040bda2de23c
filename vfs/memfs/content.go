package memfs

import (
	"bytes"
	"slices"
)

// content is the bytes of a file: a sparse array of pages in chunks, shared
// between copies until one of them writes (copy on write). Making a copy is
// O(1), which is what makes crash states cheap.
//
// Invariant: bytes at and beyond size are zero in every page that exists, and
// a page that does not exist reads as zeroes. A chunk or page may be changed in
// place only by the content that owns it; copying gives up the ownership on
// both sides. Not safe for concurrent use, but copies are independent even
// while they share.
type content struct {
	size   int64
	chunks []*chunk // entries are nil where nothing was written
	owner  *owner   // nil when chunks itself is shared
}

// owner is compared by address only; the field keeps addresses distinct.
type owner struct{ _ byte }

// chunk is pages in a row. owned says which of them belong to the chunk's owner.
type chunk struct {
	owner *owner
	owned [pagesPerChunk / 64]uint64
	pages [pagesPerChunk]*page
}

type page [pageBytes]byte

const (
	sectorBytes   = 512
	pageBytes     = 4096
	pagesPerChunk = 128
	chunkBytes    = pageBytes * pagesPerChunk

	// maxFileBytes bounds what a wild offset can allocate.
	maxFileBytes = 1 << 40
)

// snapshot returns an independent copy.
func (c *content) snapshot() content {
	c.owner = nil
	return *c
}

// page returns the page with the given number for reading, nil for zeroes.
func (c *content) page(n int64) *page {
	i := n / pagesPerChunk
	if i >= int64(len(c.chunks)) || c.chunks[i] == nil {
		return nil
	}
	return c.chunks[i].pages[n%pagesPerChunk]
}

// ownedPage returns the page with the given number for writing.
func (c *content) ownedPage(n int64) *page {
	ch := c.ownedChunk(n / pagesPerChunk)
	i := n % pagesPerChunk
	word, bit := i/64, uint64(1)<<(i%64)
	switch p := ch.pages[i]; {
	case p == nil:
		ch.pages[i] = new(page)
	case ch.owned[word]&bit == 0:
		p := *p
		ch.pages[i] = &p
	}
	ch.owned[word] |= bit
	return ch.pages[i]
}

func (c *content) ownedChunk(i int64) *chunk {
	if c.owner == nil {
		c.owner = new(owner)
		c.chunks = slices.Clone(c.chunks)
	}
	if grow := int(i) + 1 - len(c.chunks); grow > 0 {
		c.chunks = append(c.chunks, make([]*chunk, grow)...)
	}
	ch := c.chunks[i]
	switch {
	case ch == nil:
		ch = &chunk{owner: c.owner}
	case ch.owner != c.owner:
		ch = &chunk{owner: c.owner, pages: ch.pages}
	}
	c.chunks[i] = ch
	return ch
}

// readAt copies the bytes from off on into p and returns how many there were
// before the end.
func (c *content) readAt(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		rest := p[done:min(len(p), done+int(pageBytes-at%pageBytes))]
		if pg := c.page(at / pageBytes); pg != nil {
			copy(rest, pg[at%pageBytes:])
		} else {
			clear(rest)
		}
		done += len(rest)
	}
	return len(p)
}

// writeAt stores p at off and extends the size to cover it.
func (c *content) writeAt(p []byte, off int64) {
	c.size = max(c.size, off+int64(len(p)))
	for len(p) > 0 {
		n := min(len(p), int(pageBytes-off%pageBytes))
		// Log segments are prepared by writing zeroes to them, and pages that
		// do not exist are zeroes already.
		if c.page(off/pageBytes) != nil || !isZero(p[:n]) {
			copy(c.ownedPage(off / pageBytes)[off%pageBytes:], p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

// zeroes is what data is compared with, and what stands in for it.
var zeroes = make([]byte, 1<<20)

func isZero(p []byte) bool { return len(p) <= len(zeroes) && bytes.Equal(p, zeroes[:len(p)]) }

// keep returns a copy of data that will not change.
func keep(data []byte) []byte {
	if isZero(data) {
		return zeroes[:len(data):len(data)]
	}
	return bytes.Clone(data)
}

// resize sets the size; what is cut off is forgotten.
func (c *content) resize(size int64) {
	if size < c.size {
		c.clearRange(size, (c.size+pageBytes-1)/pageBytes*pageBytes)
	}
	c.size = size
}

// clearRange makes the bytes [lo, hi) zero and drops whole pages.
func (c *content) clearRange(lo, hi int64) {
	hi = min(hi, int64(len(c.chunks))*chunkBytes)
	for lo < hi {
		n, in := lo/pageBytes, lo%pageBytes
		end := min(pageBytes, in+hi-lo)
		if c.page(n) != nil {
			if in == 0 && end == pageBytes {
				c.ownedChunk(n / pagesPerChunk).pages[n%pagesPerChunk] = nil
			} else {
				clear(c.ownedPage(n)[in:end])
			}
		}
		lo += end - in
	}
}

// countPages returns how many pages exist at or after page number first.
func (c *content) countPages(first int64) int64 {
	count := int64(0)
	for i := first / pagesPerChunk; i < int64(len(c.chunks)); i++ {
		if c.chunks[i] == nil {
			continue
		}
		for j, pg := range c.chunks[i].pages {
			if pg != nil && i*pagesPerChunk+int64(j) >= first {
				count++
			}
		}
	}
	return count
}
