package memtable

import (
	"bytes"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// The range deletes of a table are a map from keys to the newest range delete over
// each: disjoint pieces in a treap, in the arena. A new one, being newer than all that
// are there, takes the place of whatever lies between its bounds, so it costs a
// logarithm, however many it covers.
//
// Readers of the past see the map as it was. It is persistent: what a reader may see is
// copied before it is changed, which is the way from the root to both bounds, and the
// roots are a chain like the versions of a record. Nobody reads in the midst of a group
// of commits, so what was made for the group at hand is changed in place, and the chain
// has one root for each group.
//
// Where a range delete lies over no other one, which is the usual case of small ones, no
// way is copied: it is put into the map that is there, by one atomic store, with a copy of
// the few pieces that come to lie otherwise below it. Readers of the past leave out what
// is newer than they are. Nothing was there in any of the maps that they may read, because
// what is covered once stays so; so the piece is where it belongs in each of them that
// leads to it.
//
// A group that cannot go on so copies no piece twice from then on. So what it can take at
// most, besides its AddBounds, is a copy of all that are there; AvailableBytes keeps that
// much back.

// tombstone is one range delete, followed by its bounds.
type tombstone struct {
	seq              uint64
	loBytes, hiBytes uint32
}

// bound is the place of a tombstone, and a bit that says which end of it is meant.
type bound uint32

const (
	hiBit          bound = 1
	tombstoneBytes       = uint32(unsafe.Sizeof(tombstone{}))
)

// piece is a node of the treap: the tombstone at by covers [lo, hi), and nothing that
// is newer does. The priority is made of lo: no two pieces of a map have the same. Where
// readers can see it left, right and newest change by atomic stores, and the rest does not.
type piece struct {
	left, right uint32
	lo, hi      bound
	by          uint32
	newest      uint32 // the last tombstone in this subtree; their places ascend
	head        uint64 // of lo: see heads
}

const pieceBytes = uint32(unsafe.Sizeof(piece{}))

// RangeDeletes are the range deletes of a table. Readers ask them without a lock, like
// the table.
type RangeDeletes struct {
	mem     unsafe.Pointer
	arena   *offheap.Arena
	history atomic.Uint32 // the leaf under the roots, 0: there are none
	added   atomic.Int64

	// The rest is the writer's.
	group base.SeqNum // first of the group at hand
	begin uint32      // what lies from here on no reader can see yet
	count int         // pieces in the newest map
	stale int         // of those, readers can see at most so many
	fresh bool        // the group has a root of its own
	heads heads
}

const (
	// insertCopies is how many pieces are copied at most to put one in; on average it is
	// less than two.
	insertCopies = 6
	// insertDepth is how deep in the map that is done.
	insertDepth = 64
)

// keptBackBytes is what a group with a range delete can take to copy pieces.
func (d *RangeDeletes) keptBackBytes() int { return d.count * int(pieceBytes) }

// Sound like the conversions to nodes: see there.

func tombstoneAt(mem unsafe.Pointer, offset uint32) *tombstone {
	return (*tombstone)(unsafe.Add(mem, offset))
}

func pieceAt(mem unsafe.Pointer, offset uint32) *piece {
	return (*piece)(unsafe.Add(mem, offset))
}

func (b bound) key(mem unsafe.Pointer) []byte {
	t := tombstoneAt(mem, uint32(b&^hiBit))
	at := unsafe.Add(unsafe.Pointer(t), tombstoneBytes)
	if b&hiBit == 0 {
		return unsafe.Slice((*byte)(at), t.loBytes)
	}
	return unsafe.Slice((*byte)(unsafe.Add(at, t.loBytes)), t.hiBytes)
}

// priority orders the pieces on each way down: any fixed order that has nothing to do
// with that of the keys keeps the ways short.
func (p *piece) priority() uint32 {
	x := uint32(p.lo) * 0x9e3779b1
	x ^= x >> 15
	return x * 0x85ebca6b
}

// AddRangeDelete hides what is older than seq in [lo, hi). The bounds are copied. first
// is the first number of its group of commits, which readers see as a whole. It fails
// with ErrFull like an Add of the bounds as key and value.
func (t *Table) AddRangeDelete(lo, hi []byte, seq, first base.SeqNum) error {
	d := &t.rangeDeletes
	d.beginGroup(first)
	if !t.fits(len(lo)+d.stale*int(pieceBytes), len(hi)) {
		return ErrFull
	}
	if bytes.Compare(lo, hi) < 0 {
		d.put(d.newTombstone(lo, hi, seq))
	}
	d.added.Add(1)
	t.publishStats(t.Len())
	return nil
}

// RangeDeletes returns the range deletes of the table.
func (t *Table) RangeDeletes() *RangeDeletes { return &t.rangeDeletes }

// beginGroup notes that what comes belongs to a group, if it is another one.
func (d *RangeDeletes) beginGroup(first base.SeqNum) {
	if first != d.group {
		d.group, d.fresh = first, false
		d.show()
	}
}

// show notes that readers can see, now or soon, what was made so far.
func (d *RangeDeletes) show() { d.begin, d.stale = uint32(d.arena.Used()), d.count }

func (d *RangeDeletes) alloc(sizeBytes uint32) uint32 { return alloc(d.arena, sizeBytes) }

func (d *RangeDeletes) newTombstone(lo, hi []byte, seq base.SeqNum) uint32 {
	at := d.alloc(tombstoneBytes + uint32(len(lo)+len(hi)))
	*tombstoneAt(d.mem, at) = tombstone{seq: uint64(seq), loBytes: uint32(len(lo)), hiBytes: uint32(len(hi))}
	copy(bound(at).key(d.mem), lo)
	copy((bound(at) | hiBit).key(d.mem), hi)
	return at
}

// put makes a tombstone the newest between its bounds. It goes down as far as all
// pieces are of higher priority and beside it; there a split makes room.
func (d *RangeDeletes) put(by uint32) {
	lo, hi := bound(by).key(d.mem), (bound(by) | hiBit).key(d.mem)
	priority := (&piece{lo: bound(by)}).priority()
	if !d.fresh {
		if d.insert(by, lo, hi, priority) {
			return
		}
		d.fresh = true
	}
	root := d.newestPieces()
	for slot := &root; ; {
		beside, left := d.isBeside(*slot, lo, hi, priority)
		if !beside {
			*slot = d.makeRoom(*slot, by)
			break
		}
		*slot = d.own(*slot)
		p := pieceAt(d.mem, *slot)
		p.newest = by
		if slot = &p.right; left {
			slot = &p.left
		}
	}
	d.publishPieces(root)
}

// insert is put for a tombstone that lies over no piece: into the newest map as it is. It
// reports whether it could.
func (d *RangeDeletes) insert(by uint32, lo, hi []byte, priority uint32) bool {
	history := d.history.Load()
	if history == 0 {
		return false
	}
	slot := rootAt(d.mem, newestOf(d.mem, history))
	n := neighbours{head: d.heads.of(lo, d.arena)}
	var way [insertDepth]*piece
	depth := 0
	for ; depth < insertDepth && *slot != 0; depth++ {
		p := pieceAt(d.mem, *slot)
		if p.priority() < priority {
			break
		}
		way[depth] = p
		slot = d.toward(&n, *slot, lo)
	}
	if depth == insertDepth || !d.isFree(&n, *slot, lo, hi) {
		return false
	}
	d.stale += insertCopies
	last := uint32(0)
	before, after := d.splitAt(*slot, lo, &last)
	at := d.newPiece(bound(by), bound(by)|hiBit, by)
	p := pieceAt(d.mem, at)
	p.left, p.right = before, after
	atomic.StoreUint32(slot, at)
	for _, p := range way[:depth] {
		atomic.StoreUint32(&p.newest, by)
	}
	d.show()
	return true
}

// neighbours are the last piece on the way to a key that begins at it or before, and the
// first that begins behind it.
type neighbours struct {
	head           uint64 // of the key
	before, behind *piece
}

// toward returns where the way to a key goes on behind a piece.
func (d *RangeDeletes) toward(n *neighbours, at uint32, key []byte) (slot *uint32) {
	p := pieceAt(d.mem, at)
	isBefore := p.head <= n.head
	if p.head == n.head || at < d.heads.since {
		isBefore = bytes.Compare(p.lo.key(d.mem), key) <= 0
	}
	if isBefore {
		n.before = p
		return &p.right
	}
	n.behind = p
	return &p.left
}

// isFree reports whether no piece meets [lo, hi), after a way to lo on which n are the
// nearest, and few have to be copied to divide the rest of the map there.
func (d *RangeDeletes) isFree(n *neighbours, root uint32, lo, hi []byte) bool {
	copies := 0
	for ; root != 0 && copies < insertCopies; copies++ {
		root = *d.toward(n, root, lo)
	}
	return root == 0 && (n.before == nil || bytes.Compare(n.before.hi.key(d.mem), lo) <= 0) &&
		(n.behind == nil || bytes.Compare(hi, n.behind.lo.key(d.mem)) <= 0)
}

// isBeside reports whether the range [lo, hi) can stand below a piece, and on which side.
func (d *RangeDeletes) isBeside(at uint32, lo, hi []byte, priority uint32) (beside, left bool) {
	if at == 0 {
		return false, false
	}
	p := pieceAt(d.mem, at)
	if p.priority() < priority {
		return false, false
	}
	if key := p.lo.key(d.mem); bytes.Compare(lo, key) < 0 {
		return bytes.Compare(hi, key) <= 0, true
	}
	return bytes.Compare(p.hi.key(d.mem), lo) <= 0, false
}

// makeRoom puts a piece for a tombstone on top of a map, without what lies under it.
func (d *RangeDeletes) makeRoom(root, by uint32) uint32 {
	lo, hi := bound(by), bound(by)|hiBit
	before, rest, cut := d.splitPieces(root, lo)
	if cut.hi == 0 || bytes.Compare(cut.hi.key(d.mem), hi.key(d.mem)) <= 0 {
		var covered uint32
		covered, rest, cut = d.splitPieces(rest, hi)
		d.count -= d.countPieces(covered)
	}
	if cut.hi != 0 { // it goes on behind the tombstone
		rest = d.joinPieces(d.newPiece(hi, cut.hi, cut.by), rest)
	}
	return d.joinPieces(d.joinPieces(before, d.newPiece(lo, hi, by)), rest)
}

// newPiece makes a piece without children.
func (d *RangeDeletes) newPiece(lo, hi bound, by uint32) uint32 {
	head := d.heads.of(lo.key(d.mem), d.arena)
	at := d.alloc(pieceBytes)
	*pieceAt(d.mem, at) = piece{lo: lo, hi: hi, by: by, newest: by, head: head}
	d.count++
	return at
}

// own returns a piece that may be changed: it, or a copy where readers can see it.
func (d *RangeDeletes) own(at uint32) uint32 {
	if at >= d.begin {
		return at
	}
	invariant.Check(d.stale > 0, "a group copies more pieces than there were")
	d.stale--
	to := d.alloc(pieceBytes)
	*pieceAt(d.mem, to) = *pieceAt(d.mem, at)
	if p := pieceAt(d.mem, to); at < d.heads.since {
		p.head = d.heads.of(p.lo.key(d.mem), d.arena)
	}
	return to
}

// update sets what a piece knows of its subtree.
func (d *RangeDeletes) update(p *piece) {
	p.newest = p.by
	for _, child := range [2]uint32{p.left, p.right} {
		if child != 0 {
			p.newest = max(p.newest, pieceAt(d.mem, child).newest)
		}
	}
}

// splitPieces divides a map into the pieces that begin before a place and the others.
// The last of the former ends there; cut is what was cut off from it, if anything.
func (d *RangeDeletes) splitPieces(root uint32, place bound) (before, after uint32, cut piece) {
	key := place.key(d.mem)
	last := uint32(0)
	before, after = d.splitAt(root, key, &last)
	if last != 0 {
		if p := pieceAt(d.mem, last); bytes.Compare(p.hi.key(d.mem), key) > 0 {
			cut = *p
			p.hi = place
		}
	}
	return before, after, cut
}

// splitAt divides a map by where pieces begin; last is the last one before the key.
func (d *RangeDeletes) splitAt(root uint32, key []byte, last *uint32) (before, after uint32) {
	if root == 0 {
		return 0, 0
	}
	root = d.own(root)
	p := pieceAt(d.mem, root)
	if bytes.Compare(p.lo.key(d.mem), key) < 0 {
		*last = root
		p.right, after = d.splitAt(p.right, key, last)
		d.update(p)
		return root, after
	}
	before, p.left = d.splitAt(p.left, key, last)
	d.update(p)
	return before, root
}

// joinPieces makes one map of two, the keys of the first of which are smaller.
func (d *RangeDeletes) joinPieces(before, after uint32) uint32 {
	switch {
	case before == 0:
		return after
	case after == 0:
		return before
	case pieceAt(d.mem, before).priority() > pieceAt(d.mem, after).priority():
		before = d.own(before)
		p := pieceAt(d.mem, before)
		p.right = d.joinPieces(p.right, after)
		d.update(p)
		return before
	}
	after = d.own(after)
	p := pieceAt(d.mem, after)
	p.left = d.joinPieces(before, p.left)
	d.update(p)
	return after
}

// countPieces counts a map that is given up: each piece is counted once in its life.
func (d *RangeDeletes) countPieces(root uint32) int {
	if root == 0 {
		return 0
	}
	p := pieceAt(d.mem, root)
	return 1 + d.countPieces(p.left) + d.countPieces(p.right)
}

// A root is a version without a checksum whose value is the place of the map. The leaf
// under them is of number 0 and stands for the empty map.

const rootBytes = 4

// rootAt is aligned: versions are, and what comes before their value is words.
func rootAt(mem unsafe.Pointer, version uint32) *uint32 {
	return (*uint32)(unsafe.Add(mem, version+versionValueAt))
}

// newestPieces returns the map that the writer goes on with.
func (d *RangeDeletes) newestPieces() uint32 {
	history := d.history.Load()
	if history == 0 {
		return 0
	}
	return d.piecesOf(history, leafAt(d.mem, history).newest.Load())
}

// publishPieces makes root the map as of the group at hand.
func (d *RangeDeletes) publishPieces(root uint32) {
	history := d.history.Load()
	if history == 0 {
		history = d.alloc(leafKeyAt)
	}
	c := chain{d.mem, history}
	older := newestOf(d.mem, history)
	if older != history && c.trailer(older).Seq() == d.group {
		*rootAt(d.mem, older) = root // nobody sees it yet
		return
	}
	at := d.alloc(max(versionValueAt+rootBytes, versionBytes))
	*versionAt(d.mem, at) = version{
		older: older, jump: c.jumpFor(older), trailer: uint64(base.MakeTrailer(d.group, base.KindRangeDelete)),
		valueSize: rootBytes, index: c.index(older) + 1,
	}
	*rootAt(d.mem, at) = root
	leafAt(d.mem, history).newest.Store(at)
	d.history.Store(history)
}

// piecesAt returns the map as seq sees it, 0 if it is empty. Pieces in it that are newer
// than seq stand for nothing.
func (d *RangeDeletes) piecesAt(seq base.SeqNum) uint32 {
	history := d.history.Load()
	if history == 0 {
		return 0
	}
	return d.piecesOf(history, chain{d.mem, history}.atOrBefore(newestOf(d.mem, history), seq))
}

func (d *RangeDeletes) piecesOf(history, version uint32) uint32 {
	if version == history {
		return 0
	}
	return atomic.LoadUint32(rootAt(d.mem, version))
}

// Count returns how many range deletes were added.
func (d *RangeDeletes) Count() int { return int(d.added.Load()) }

// Covering returns the newest range delete over key that is not newer than seq, which
// sees whole groups; 0 if there is none.
func (d *RangeDeletes) Covering(key []byte, seq base.SeqNum) base.SeqNum {
	if d.history.Load() == 0 {
		return 0
	}
	before, _ := d.findPiece(key, seq)
	if before == nil || bytes.Compare(before.hi.key(d.mem), key) <= 0 {
		return 0
	}
	return d.seenBy(before, seq)
}

// seenBy returns the number of the tombstone of a piece if seq sees it, else 0: there was
// nothing then.
func (d *RangeDeletes) seenBy(p *piece, seq base.SeqNum) base.SeqNum {
	if by := base.SeqNum(tombstoneAt(d.mem, p.by).seq); by <= seq {
		return by
	}
	return 0
}

// Around implements rangedel.Source; the bounds stay valid.
func (d *RangeDeletes) Around(key []byte, seq base.SeqNum) (rangedel.Piece, error) {
	before, behind := d.findPiece(key, seq)
	var p rangedel.Piece
	if before != nil {
		p.Lo = before.hi.key(d.mem)
		if bytes.Compare(p.Lo, key) > 0 {
			return rangedel.Piece{Lo: before.lo.key(d.mem), Hi: p.Lo, Seq: d.seenBy(before, seq)}, nil
		}
	}
	if behind != nil {
		p.Hi = behind.lo.key(d.mem)
	}
	return p, nil
}

// findPiece returns the last piece that begins at key or before, and the first that
// begins behind it, with those that seq does not see.
func (d *RangeDeletes) findPiece(key []byte, seq base.SeqNum) (before, behind *piece) {
	for at := d.piecesAt(seq); at != 0; {
		p := pieceAt(d.mem, at)
		if bytes.Compare(p.lo.key(d.mem), key) <= 0 {
			before, at = p, atomic.LoadUint32(&p.right)
		} else {
			behind, at = p, atomic.LoadUint32(&p.left)
		}
	}
	return before, behind
}

// Newer reports whether newest sees a range delete that is newer than since.
func (d *RangeDeletes) Newer(newest, since base.SeqNum) bool {
	root := d.piecesAt(newest)
	if root == 0 {
		return false
	}
	last := tombstoneAt(d.mem, atomic.LoadUint32(&pieceAt(d.mem, root).newest)).seq
	if last <= uint64(newest) {
		return last > uint64(since)
	}
	f, _ := d.Iter(newest, since, nil, nil).Next()
	return f != nil
}

// Iter returns the pieces of the map as newest sees it whose range delete is
// newer than since, within [lo, hi), where nil is no bound.
func (d *RangeDeletes) Iter(newest, since base.SeqNum, lo, hi []byte) rangedel.Iterator {
	w := &pieceWalk{mem: d.mem, newest: uint64(newest), since: uint64(since), lo: lo, hi: hi}
	w.descend(d.piecesAt(newest))
	return w
}

// pieceWalk walks over a map in order.
type pieceWalk struct {
	mem      unsafe.Pointer
	newest   uint64
	since    uint64
	lo, hi   []byte
	path     []uint32 // pieces whose left subtree was walked over, or is being
	fragment rangedel.Fragment
	seq      [1]base.SeqNum
}

// descend puts the way to the first piece of a subtree on the path. What ends at lo or
// before is left out, and what is not newer than since.
func (w *pieceWalk) descend(at uint32) {
	mem := w.mem
	for at != 0 {
		p := pieceAt(mem, at)
		switch {
		case tombstoneAt(mem, atomic.LoadUint32(&p.newest)).seq <= w.since:
			return
		case w.lo != nil && bytes.Compare(p.hi.key(mem), w.lo) <= 0:
			at = atomic.LoadUint32(&p.right)
		default:
			w.path = append(w.path, at)
			at = atomic.LoadUint32(&p.left)
		}
	}
}

// Next implements rangedel.Iterator. It never fails.
func (w *pieceWalk) Next() (*rangedel.Fragment, error) {
	mem := w.mem
	for len(w.path) > 0 {
		last := len(w.path) - 1
		p := pieceAt(mem, w.path[last])
		w.path = w.path[:last]
		w.descend(atomic.LoadUint32(&p.right))
		f := &w.fragment
		f.Lo, f.Hi = p.lo.key(mem), p.hi.key(mem)
		if w.hi != nil && bytes.Compare(f.Lo, w.hi) >= 0 {
			w.path = nil
			break
		}
		seq := tombstoneAt(mem, p.by).seq
		if seq <= w.since || seq > w.newest {
			continue
		}
		if w.lo != nil && bytes.Compare(f.Lo, w.lo) < 0 {
			f.Lo = w.lo
		}
		if w.hi != nil && bytes.Compare(f.Hi, w.hi) > 0 {
			f.Hi = w.hi
		}
		w.seq[0] = base.SeqNum(seq)
		f.Seqs = w.seq[:]
		return f, nil
	}
	return nil, nil
}
