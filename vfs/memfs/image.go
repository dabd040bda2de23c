package memfs

// Building the content that a file has after a crash, from the cuts at which
// its parts were last written. An imager is used once, by one goroutine, under
// the lock of the FS.

// cuts says at which moment each part of a file was last written to the disk
// before the crash, as a number of changes.
type cuts struct {
	size   int
	sector func(sector int64) int
}

// wholeCut is the crash of a disk that wrote everything in order.
func wholeCut(n int) cuts { return cuts{size: n, sector: func(int64) int { return n }} }

type imager struct {
	pending *pending
	at      cuts
	shrinks []int // the changes that made the file shorter
	content content
	// onWritten, where it is set, sees each range that came to the disk.
	onWritten func(lo, hi int64)
}

func newImager(p *pending, at cuts) *imager {
	m := &imager{pending: p, at: at}
	for i := range p.changes {
		if p.changes[i].shrinks() {
			m.shrinks = append(m.shrinks, i)
		}
	}
	return m
}

// image returns the content of the file after a crash with these cuts.
func (p *pending) image(at cuts) content {
	if len(p.changes) == 0 {
		return p.live.snapshot()
	}
	m := newImager(p, at)
	m.build()
	return m.content
}

func (m *imager) build() {
	m.content = m.pending.durable.snapshot()
	for i := range m.pending.changes {
		c := &m.pending.changes[i]
		if c.shrinks() {
			m.shrink(i)
			continue
		}
		for off, end := c.off, c.off+int64(len(c.data)); off < end; {
			next := m.written(off, end, i)
			if next > off {
				m.content.writeAt(c.data[off-c.off:next-c.off], off)
				if m.onWritten != nil {
					m.onWritten(off, next)
				}
			}
			off = max(next, sectorAfter(off))
		}
	}
	m.content.resize(m.pending.sizeAt(m.at.size))
}

// sectorAfter returns where the sector after the one of off starts.
func sectorAfter(off int64) int64 { return off + sectorBytes - off%sectorBytes }

// written returns the end of the sectors from off on that hold change i.
func (m *imager) written(off, end int64, i int) int64 {
	for off < end && i < m.cut(off/sectorBytes) {
		off = sectorAfter(off)
	}
	return min(off, end)
}

// shrink applies the shrinking change i: everything behind the new length is
// gone once the length is durable; before that only the rest of the sector in
// which the file then ends can have been zeroed.
func (m *imager) shrink(i int) {
	c := &m.pending.changes[i]
	switch {
	case i < m.at.size:
		m.content.clearRange(c.size, max(c.prior, m.content.size))
	case c.size%sectorBytes != 0 && i < m.cut(c.size/sectorBytes):
		m.content.clearRange(c.size, sectorAfter(c.size))
	}
}

// cut returns the cut of a sector, moved to one that agrees with the cut of
// the length: behind a durable shrink there is no older content, and before a
// shrink is durable the space it gives up is not written anew.
func (m *imager) cut(sector int64) int {
	lo, hi := 0, len(m.pending.changes)
	start, end := sector*sectorBytes, (sector+1)*sectorBytes
	for _, i := range m.shrinks {
		c := &m.pending.changes[i]
		switch {
		case end <= c.size || start >= c.prior:
		case i < m.at.size:
			lo = i + 1
		case start >= c.size:
			hi = min(hi, i)
		}
	}
	return min(max(m.at.sector(sector), lo), hi)
}

// sizeAt returns the length after the first n changes.
func (p *pending) sizeAt(n int) int64 {
	if n == 0 {
		return p.durable.size
	}
	return p.changes[n-1].size
}
