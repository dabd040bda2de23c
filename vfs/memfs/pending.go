package memfs

import (
	"maps"
	"slices"
)

// The content of a file that a crash may undo. live is what readers see;
// changes are the writes and resizes since the last sync in their order, and
// durable is what the disk holds without any of them.
//
// The page cache may write a dirty sector out at any moment, and the disk
// writes sectors in any order but each one atomically. So after a crash a
// sector holds what it held at some moment since the last sync, every sector
// its own moment, and the same goes for the length of the file. Such a moment
// is called a cut: the number of changes that came before it.
//
// Not safe for concurrent use; the lock of the FS guards it.
type pending struct {
	live    content
	durable content // meaningful only while there are changes
	changes []change
}

// change is a write, a resize, or a write that extends the file.
type change struct {
	off         int64
	data        []byte // empty for a resize
	prior, size int64  // length of the file before and after
	// lost marks what was pending when a sync failed: the cache takes it for
	// written although it may not be, so that no later sync writes it.
	lost bool
}

func (c *change) shrinks() bool { return c.size < c.prior }

// write stores data, which it copies where it must keep it.
func (p *pending) write(data []byte, off int64) {
	p.begin()
	prior := p.live.size
	p.live.writeAt(data, off)
	p.changes = append(p.changes,
		change{off: off, data: keep(data), prior: prior, size: p.live.size})
}

func (p *pending) resize(size int64) {
	if size == p.live.size {
		return
	}
	p.begin()
	p.changes = append(p.changes, change{prior: p.live.size, size: size})
	p.live.resize(size)
}

func (p *pending) begin() {
	if len(p.changes) == 0 {
		p.durable = p.live.snapshot()
	}
}

// sync makes durable what the cache takes for dirty: whole sectors of those
// that were touched since the last sync, failed or not.
func (p *pending) sync() {
	isLost := func(c change) bool { return c.lost }
	if !slices.ContainsFunc(p.changes, isLost) {
		p.changes, p.durable = nil, content{}
		return
	}
	size := p.live.size
	written := map[int64]bool{}
	resized := false
	for _, c := range p.changes {
		if c.lost {
			continue
		}
		lo, hi := c.touched()
		resized = resized || c.size != c.prior || hi > p.durable.size
		for s := lo / sectorBytes; s*sectorBytes < min(hi, size); s++ {
			written[s] = true
			p.durable.copySector(&p.live, s)
		}
	}
	if resized {
		p.durable.resize(size)
	}
	var kept []change
	for _, c := range p.changes {
		isResize := len(c.data) == 0
		if !c.lost || isResize && resized || !isResize && written[c.off/sectorBytes] {
			continue
		}
		if resized {
			c.prior, c.size = size, size
		}
		if isResize || c.off < c.size {
			kept = append(kept, c)
		}
	}
	p.changes = kept
	if len(kept) == 0 {
		p.durable = content{}
	}
}

// touched returns the range of bytes that the change wrote or cut off.
func (c *change) touched() (lo, hi int64) {
	if c.shrinks() {
		return c.size, c.prior
	}
	return c.off, c.off + int64(len(c.data))
}

// copySector takes over one sector of another content, as far as that goes.
func (c *content) copySector(from *content, sector int64) {
	var buf [sectorBytes]byte
	off := sector * sectorBytes
	if n := from.readAt(buf[:], off); n > 0 {
		c.writeAt(buf[:n], off)
	}
}

// failKeep does to the content what ext4 and XFS do when a sync fails: the new
// bytes stay readable and count as written. The changes become one per sector.
func (p *pending) failKeep() {
	if len(p.changes) == 0 {
		return
	}
	size := p.live.size
	touched := map[int64]bool{}
	for _, c := range p.changes {
		lo, hi := c.touched()
		for s := lo / sectorBytes; s*sectorBytes < min(hi, size); s++ {
			touched[s] = true
		}
	}
	p.changes = nil
	if size != p.durable.size {
		p.changes = append(p.changes, change{prior: p.durable.size, size: size, lost: true})
	}
	for _, s := range slices.Sorted(maps.Keys(touched)) {
		data := make([]byte, sectorBytes)
		n := p.live.readAt(data, s*sectorBytes)
		p.changes = append(p.changes, change{off: s * sectorBytes, data: data[:n],
			prior: size, size: size, lost: true})
	}
	if len(p.changes) == 0 {
		p.durable = content{}
	}
}

// failRevert does to the content what Btrfs does when a sync fails: it goes
// back to what is on disk.
func (p *pending) failRevert() {
	if len(p.changes) > 0 {
		p.live, p.durable, p.changes = p.durable.snapshot(), content{}, nil
	}
}
