package memfs

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// Policy says what survives a crash of what was not synced.
type Policy uint8

const (
	KeepNone   Policy = iota // nothing
	KeepAll                  // everything
	KeepRandom               // a subset chosen by the seed
)

// CrashOptions chooses one of the states that a crash may leave.
type CrashOptions struct {
	Seed uint64
	Keep Policy
	// Stale lets space that was added to a file but never synced read as old
	// bytes of the disk: noise, or sectors of other files. Without it such
	// space reads as zeroes.
	Stale bool
}

// Crash returns a file system as it may be found after a power cut at this
// moment. It is independent of f, which goes on as if nothing happened; it has
// no locks, no handles and no hook, its operations count from zero, and all it
// holds is durable.
func (f *FS) Crash(o CrashOptions) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	keep := f.chooseEntries(o)
	return f.rebuild(
		func(i int) bool { return keep[i] },
		func(n *node) content { return f.crashFile(n, o) })
}

// chooseEntries decides for each pending entry operation whether it survives.
// Random crashes draw a pattern first, because independent coins would almost
// never keep or drop a long sequence as a whole.
func (f *FS) chooseEntries(o CrashOptions) []bool {
	keep := make([]bool, len(f.entryOps))
	if o.Keep == KeepNone {
		return keep
	}
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	pattern := rng.IntN(4)
	prefix := rng.IntN(len(keep) + 1)
	for i := range keep {
		switch {
		case o.Keep == KeepAll || pattern == 0:
			keep[i] = true
		case pattern == 1:
			keep[i] = i < prefix
		default:
			keep[i] = rng.IntN(2) == 0
		}
	}
	return keep
}

func (f *FS) crashFile(n *node, o CrashOptions) content {
	count := len(n.changes)
	switch {
	case count == 0 || o.Keep == KeepAll:
		return n.live.snapshot()
	case o.Keep == KeepNone:
		return n.durable.snapshot()
	}
	rng := rand.New(rand.NewPCG(o.Seed, uint64(n.id)))
	m := newImager(&n.pending, randomCuts(rng, count))
	if !o.Stale {
		m.build()
		return m.content
	}
	onDisk := map[int64]bool{}
	m.onWritten = func(lo, hi int64) {
		for s := lo / sectorBytes; s*sectorBytes < hi; s++ {
			onDisk[s] = true
		}
	}
	m.build()
	f.addStale(rng, m, onDisk)
	return m.content
}

// randomCuts draws when the parts of a file with this many changes were
// written: nothing, all, in order up to some moment, in order with the last
// change torn, each part at its own moment, or each part early or late.
func randomCuts(rng *rand.Rand, count int) cuts {
	salt := rng.Uint64()
	draw := func(sector int64, n int) int { // in [0, n), the same for each call
		return int(mix(salt^uint64(sector)*0x9e3779b97f4a7c15) % uint64(n))
	}
	moment := rng.IntN(count + 1)
	switch rng.IntN(6) {
	case 0:
		return wholeCut(0)
	case 1:
		return wholeCut(count)
	case 2:
		return wholeCut(moment)
	case 3:
		moment = min(moment, count-1)
		return cuts{moment + rng.IntN(2), func(s int64) int { return moment + draw(s, 2) }}
	case 4:
		return cuts{moment, func(s int64) int { return draw(s, count+1) }}
	}
	percent := []int{2, 10, 50, 90, 98}[rng.IntN(5)]
	return cuts{count * rng.IntN(2), func(s int64) int {
		if draw(s, 100) < percent {
			return count
		}
		return 0
	}}
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const maxStaleSectors = 64

// addStale puts old bytes into sectors of the image that lie behind what was
// durable and were not written.
func (f *FS) addStale(rng *rand.Rand, m *imager, onDisk map[int64]bool) {
	settled := m.pending.durable.size
	for _, i := range m.shrinks {
		if i < m.at.size {
			settled = min(settled, m.pending.changes[i].size)
		}
	}
	size := m.content.size
	first, end := (settled+sectorBytes-1)/sectorBytes, (size+sectorBytes-1)/sectorBytes
	if end <= first {
		return
	}
	others := f.filesInOrder()
	for range min(maxStaleSectors, end-first) {
		s := first + rng.Int64N(end-first)
		if onDisk[s] {
			continue
		}
		old := oldSector(rng, others)
		off := s * sectorBytes
		m.content.writeAt(old[:min(sectorBytes, size-off)], off)
	}
}

// oldSector returns a sector that some file has on the disk, or noise. What has
// not come to the disk in its own place can be in no other.
func oldSector(rng *rand.Rand, files []*node) (sector [sectorBytes]byte) {
	if len(files) > 0 && rng.IntN(2) == 0 {
		n := files[rng.IntN(len(files))]
		onDisk := &n.live
		if len(n.changes) > 0 {
			onDisk = &n.durable
		}
		if count := onDisk.size / sectorBytes; count > 0 {
			onDisk.readAt(sector[:], rng.Int64N(count)*sectorBytes)
			return sector
		}
	}
	for i := range sector {
		sector[i] = byte(rng.Uint32())
	}
	return sector
}

// filesInOrder returns the files that have a name, in order of creation.
func (f *FS) filesInOrder() []*node {
	var files []*node
	var walk func(dir *node)
	walk = func(dir *node) {
		for _, n := range dir.entries {
			if n.isDir {
				walk(n)
			} else {
				files = append(files, n)
			}
		}
	}
	walk(f.root)
	slices.SortFunc(files, func(a, b *node) int { return cmp.Compare(a.id, b.id) })
	return files
}

// views returns what the disk would hold of the directories with pending
// operations, if those that keep selects had come to it.
func (f *FS) views(keep func(i int) bool) map[*node]map[string]*node {
	views := map[*node]map[string]*node{}
	for i := range f.entryOps {
		op := &f.entryOps[i]
		for _, n := range op.names() {
			if views[n.dir] == nil {
				views[n.dir] = n.dir.durableEntries()
			}
		}
		if !keep(i) {
			continue
		}
		if op.node != nil {
			views[op.dir][op.name] = op.node
		} else {
			delete(views[op.dir], op.name)
		}
		if op.fromDir != nil && views[op.fromDir][op.fromName] == op.node {
			delete(views[op.fromDir], op.fromName)
		}
	}
	return views
}

// rebuild makes the file system in which the entry operations that keep selects
// and the given contents are on the disk. Nodes keep their numbers.
func (f *FS) rebuild(keep func(i int) bool, contentOf func(n *node) content) *FS {
	views := f.views(keep)
	to := &FS{locks: map[string]bool{}, lastID: f.lastID, capacityPages: f.capacityPages}
	to.syncFailure.Store(f.syncFailure.Load())
	copies := map[*node]*node{}
	var copyNode func(n *node) *node
	copyNode = func(n *node) *node {
		c := copies[n]
		if c != nil {
			c.names++
			return c
		}
		c = &node{id: n.id, made: n.made, isDir: n.isDir, names: 1}
		copies[n] = c
		if !n.isDir {
			c.live = contentOf(n)
			c.reservedPages = n.reservedPages
			to.recount(c)
			return c
		}
		view, changed := views[n]
		if !changed {
			view = n.entries
		}
		c.entries = maps.Clone(view)
		for name, child := range c.entries {
			c.entries[name] = copyNode(child)
		}
		return c
	}
	to.root = copyNode(f.root)
	return to
}
