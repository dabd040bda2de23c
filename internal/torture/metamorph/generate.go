package metamorph

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/lightningdb/lightning"
)

// How many of each there can be at a time.
const (
	snapshotSlots = 4
	iteratorSlots = 5
	batchSlots    = 2
	spaceNames    = 4
)

// generator makes a history. It keeps as much of the state as it takes to make
// few operations that do nothing.
type generator struct {
	rng       *rand.Rand
	keys      []Data
	prefixes  []Data
	kinds     []Kind // each as often as its weight
	spaces    []string
	snapshots map[int]bool
	iterators map[int]bool
	reopens   int
	values    int
	large     int // how much may still come that is large
}

// Generate makes a history of n operations. Each has a mood of its own: how
// many keys there are, and which operations are frequent or never come.
func Generate(rng *rand.Rand, n int) History {
	g := generator{rng: rng, snapshots: map[int]bool{}, iterators: map[int]bool{}}
	g.chooseKeys()
	g.chooseKinds()
	if rng.IntN(3) == 0 {
		g.large = 4
	}
	h := make(History, 0, n+1)
	for len(h) < n {
		h = append(h, g.op())
	}
	return append(h, Op{Kind: Verify})
}

// chooseKeys makes the keys, few enough for operations to meet: short and long
// ones, prefixes of one another, with zero bytes and 0xff, some at the limit.
func (g *generator) chooseKeys() {
	count := 4 + g.rng.IntN(20)
	if g.rng.IntN(2) == 0 {
		count = 20 + g.rng.IntN(250)
	}
	longest := 1 << g.rng.IntN(17)
	binary := g.rng.IntN(4) == 0
	for range count {
		n := g.rng.IntN(count)
		key := Data{Text: fmt.Sprintf("k%02d", n)}
		switch g.rng.IntN(15) {
		case 0:
			key.Text = string([]byte{byte(n)})
		case 1:
			key.Text = string(append(make([]byte, 1+n%4), byte(n)))
		case 2:
			key.Text = string([]byte{0xff, 0xff, byte(n)})[:1+n%3]
		case 3:
			key.Text = fmt.Sprintf("a-rather-long-prefix-that-most-keys-share/%03d", n)
		case 4:
			key.Length = 1 + g.rng.IntN(longest)
		case 5:
			key = Data{Text: "\xff", Length: longest - g.rng.IntN(min(longest, 4))}
		case 6:
			g.keys = append(g.keys, key) // and its next neighbour
			key.Text += "\x00"
		case 7, 8:
			key.Text = fmt.Sprintf("f%04d", g.rng.IntN(1000))
		default:
			if binary {
				key.Text = string([]byte{byte(g.rng.Uint32()), byte(n), byte(g.rng.Uint32())}[:1+g.rng.IntN(3)])
			}
		}
		g.keys = append(g.keys, key)
	}
	g.prefixes = []Data{{Text: "k"}, {Text: "k1"}, {Text: "f00"}, {Text: "\x00"}, {Text: "\xff"},
		{Text: "\xff\xff"}, {Text: "a-rather"}, {Text: "none"}}
}

// weights says how often each kind comes, of about a thousand.
func weights() map[Kind]int {
	return map[Kind]int{
		Put: 250, Delete: 60, DeleteRange: 40, Overwrite: 10, Fill: 8, Sweep: 5,
		Batch: 60, BatchAdd: 30, BatchCommit: 20, BatchReset: 5,
		Get: 120, MultiGet: 50, Scan: 80,
		TakeSnapshot: 20, CloseSnapshot: 10, OpenIterator: 30, Move: 100, CloseIterator: 10,
		Flush: 30, Compact: 30, SyncLog: 6, CreateSpace: 12, DropSpace: 6,
		Reopen: 8, ReadOnly: 2, Check: 15, Verify: 8,
	}
}

// chooseKinds draws the mood: each kind comes as said, three times as often, or
// hardly ever.
func (g *generator) chooseKinds() {
	all := weights()
	for kind := range kinds {
		weight := all[kind] * []int{3, 3, 3, 9, 1}[g.rng.IntN(5)]
		if kind == Overwrite || kind == Fill || kind == Reopen || kind == ReadOnly {
			weight = min(weight, 3*all[kind]) // they take long
		}
		g.kinds = append(g.kinds, slices.Repeat([]Kind{kind}, weight)...)
	}
}

func (g *generator) op() Op {
	kind := g.kinds[g.rng.IntN(len(g.kinds))]
	if kind == CreateSpace || kind == DropSpace {
		return g.changeSpaces(kind)
	}
	o := Op{Kind: kind, Space: g.space()}
	switch kind {
	case Put, Delete, DeleteRange:
		g.fillWrite(&o)
	case Overwrite:
		o.Key, o.Value, o.Count = g.key(), g.value(), 1+g.rng.IntN(60)
		if g.rng.IntN(4) == 0 {
			o.Count *= 50
		}
		o.Value.Length = min(o.Value.Length, 100)
	case Fill, Sweep:
		o.Key, o.Count, o.Every = Data{Text: "f"}, 1+g.rng.IntN(1000), 1+g.rng.IntN(5)
		if kind == Fill {
			o.Value = Data{Text: g.text(), Length: g.rng.IntN(300), Noise: g.rng.IntN(4) == 0}
			if g.large > 0 && g.rng.IntN(2) == 0 {
				g.large--
				o.Value.Length *= 10 // enough for the tree to have more than two levels
			}
		}
	case Batch, BatchAdd:
		o.Space = ""
		o.Slot = 1 + g.rng.IntN(batchSlots)
		o.Parts = g.batchParts()
		if kind == Batch {
			o.Slot, o.Wait = 0, g.wait()
		}
	case BatchCommit:
		o.Space, o.Slot, o.Wait = "", 1+g.rng.IntN(batchSlots), g.wait()
	case BatchReset:
		o.Space, o.Slot = "", 1+g.rng.IntN(batchSlots)
	case Get, MultiGet, Scan, OpenIterator:
		g.fillRead(&o)
	case TakeSnapshot:
		o.Space, o.Slot = "", 1+g.rng.IntN(snapshotSlots)
		g.snapshots[o.Slot] = true
	case CloseSnapshot:
		o.Space, o.Slot = "", 1+g.rng.IntN(snapshotSlots)
		delete(g.snapshots, o.Slot)
	case Move:
		o.Space, o.Slot = "", g.open(g.iterators, iteratorSlots)
		o.Parts = g.moves()
	case CloseIterator:
		o.Space, o.Slot = "", 1+g.rng.IntN(iteratorSlots)
		delete(g.iterators, o.Slot)
	case Compact:
		g.fillCompact(&o)
	default:
		o.Space = ""
	}
	if kind == Reopen || kind == ReadOnly {
		g.reopens += 2
		o.Count = g.reopens
		clear(g.snapshots)
		clear(g.iterators)
	}
	return o
}

func (g *generator) changeSpaces(kind Kind) Op {
	name := fmt.Sprintf("space-%d", g.rng.IntN(spaceNames))
	at := slices.Index(g.spaces, name)
	switch {
	case at < 0:
		g.spaces = append(g.spaces, name)
		return Op{Kind: CreateSpace, Space: name}
	case kind == DropSpace:
		g.spaces = slices.Delete(g.spaces, at, at+1)
	}
	return Op{Kind: kind, Space: name}
}

func (g *generator) space() string {
	if len(g.spaces) == 0 || g.rng.IntN(2) == 0 {
		return ""
	}
	return g.spaces[g.rng.IntN(len(g.spaces))]
}

// open returns a slot that something is in, most of the time.
func (g *generator) open(slots map[int]bool, count int) int {
	slot := 1 + g.rng.IntN(count)
	for range 3 * count {
		if slots[slot] {
			break
		}
		slot = 1 + g.rng.IntN(count)
	}
	return slot
}

func (g *generator) wait() Wait { return Wait(g.rng.IntN(int(lastWait) + 1)) }

func (g *generator) text() string {
	g.values++
	return fmt.Sprintf("v%d", g.values)
}

// key returns one of the keys, and rarely one that is none.
func (g *generator) key() Data {
	switch g.rng.IntN(400) {
	case 0:
		return Data{}
	case 1:
		return Data{Text: "x", Length: lightning.MaxKeyBytes + g.rng.IntN(2)}
	}
	return g.keys[g.rng.IntN(len(g.keys))]
}

// bounds returns a range of keys, of which one end or both may be open, and
// rarely one that ends before it begins.
func (g *generator) bounds() (lo, hi Data) {
	lo, hi = g.key(), g.key()
	if lo.Expand() > hi.Expand() && g.rng.IntN(50) > 0 {
		lo, hi = hi, lo
	}
	switch g.rng.IntN(12) {
	case 0:
		lo = Data{}
	case 1:
		hi = Data{}
	}
	return lo, hi
}

func (g *generator) value() Data {
	d := Data{Text: g.text()}
	switch n := g.rng.IntN(40); {
	case n == 0:
		d = Data{}
	case n < 3:
		d.Length = g.rng.IntN(20000)
	case n < 8:
		d.Length = g.rng.IntN(500)
	case n == 8 && g.large > 0:
		g.large--
		d.Length = 1 << 20
	}
	d.Noise = d.Length > 0 && g.rng.IntN(3) == 0
	return d
}

func (g *generator) fillWrite(o *Op) {
	switch o.Kind {
	case Put:
		o.Key, o.Value = g.key(), g.value()
	case Delete:
		o.Key = g.key()
	case DeleteRange:
		o.Key, o.Upper = g.bounds()
		if o.Upper == (Data{}) && g.rng.IntN(3) > 0 {
			o.Upper = o.Key // open ranges leave little
		}
	}
}

// batchParts makes the writes of a batch; one in ten is larger than memtables.
func (g *generator) batchParts() []Op {
	var parts []Op
	extra, length := 0, 0
	if g.rng.IntN(10) == 0 {
		extra, length = 20, 5000
	}
	for range 1 + g.rng.IntN(8) + extra {
		part := Op{Kind: Kind([]int{0, 0, 0, 0, 1, 2}[g.rng.IntN(6)]), Space: g.space()}
		g.fillWrite(&part)
		if part.Kind == Put {
			part.Value.Length = max(part.Value.Length, length)
		}
		parts = append(parts, part)
	}
	return parts
}

func (g *generator) fillRead(o *Op) {
	if len(g.snapshots) > 0 && g.rng.IntN(3) == 0 {
		o.Snapshot = g.open(g.snapshots, snapshotSlots)
	}
	switch o.Kind {
	case Get:
		o.Key = g.key()
		return
	case MultiGet:
		for range g.rng.IntN(20) {
			o.Parts = append(o.Parts, Op{Kind: Get, Key: g.key()})
		}
		if o.Fail = g.rng.IntN(4) == 0; o.Fail {
			o.Count = 1 + g.rng.IntN(8)
		}
		return
	case OpenIterator:
		o.Slot = 1 + g.rng.IntN(iteratorSlots)
		g.iterators[o.Slot] = true
	case Scan:
		o.Reverse, o.Fail = g.rng.IntN(2) == 0, g.rng.IntN(6) == 0
		if g.rng.IntN(4) == 0 {
			o.Count = 1 + g.rng.IntN(20)
		}
	}
	switch g.rng.IntN(5) {
	case 0:
	case 1:
		o.Prefix = g.prefixes[g.rng.IntN(len(g.prefixes))]
	case 2:
		o.Prefix = g.prefixes[g.rng.IntN(len(g.prefixes))]
		o.Key, o.Upper = g.keys[g.rng.IntN(len(g.keys))], g.keys[g.rng.IntN(len(g.keys))]
	default:
		o.Key, o.Upper = g.bounds()
	}
}

// moves makes a walk; most go the same way for a while and then turn.
func (g *generator) moves() []Op {
	var moves []Op
	forwards := g.rng.IntN(2) == 0
	for range 1 + g.rng.IntN(12) {
		kind := Prev
		if forwards {
			kind = Next
		}
		switch g.rng.IntN(6) {
		case 0:
			kind = First + Kind(g.rng.IntN(int(kinds-First)))
		case 1:
			forwards = !forwards
		}
		move := Op{Kind: kind}
		if kind >= SeekGE {
			move.Key = g.key()
		}
		moves = append(moves, move)
	}
	return moves
}

func (g *generator) fillCompact(o *Op) {
	switch g.rng.IntN(4) {
	case 0:
		o.Space = ""
	default:
		o.Key, o.Upper = g.bounds()
	}
	o.Fail = g.rng.IntN(10) == 0
}
