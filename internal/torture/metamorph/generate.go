package metamorph

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/script"
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
	keys      []script.Data
	prefixes  []script.Data
	kinds     []script.Kind // each as often as its weight
	spaces    []string
	snapshots map[int]bool
	iterators map[int]bool
	reopens   int
	values    int
	large     int // how much may still come that is large
}

// Generate makes a history of n operations. Each has a mood of its own: how
// many keys there are, and which operations are frequent or never come.
func Generate(rng *rand.Rand, n int) script.Script {
	g := generator{rng: rng, snapshots: map[int]bool{}, iterators: map[int]bool{}}
	g.chooseKeys()
	g.chooseKinds()
	if rng.IntN(3) == 0 {
		g.large = 4
	}
	h := make(script.Script, 0, n+1)
	for len(h) < n {
		h = append(h, g.op())
	}
	return append(h, script.Op{Kind: script.Verify})
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
		key := script.Data{Text: fmt.Sprintf("k%02d", n)}
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
			key = script.Data{Text: "\xff", Length: longest - g.rng.IntN(min(longest, 4))}
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
	g.prefixes = []script.Data{{Text: "k"}, {Text: "k1"}, {Text: "f00"}, {Text: "\x00"}, {Text: "\xff"},
		{Text: "\xff\xff"}, {Text: "a-rather"}, {Text: "none"}}
}

// weights says how often each kind comes, of about a thousand.
func weights() map[script.Kind]int {
	return map[script.Kind]int{
		script.Put: 250, script.Delete: 60, script.DeleteRange: 40,
		script.Overwrite: 10, script.Fill: 8, script.Sweep: 5,
		script.Batch: 60, script.BatchAdd: 30, script.BatchCommit: 20, script.BatchReset: 5,
		script.Get: 120, script.MultiGet: 50, script.Scan: 80,
		script.TakeSnapshot: 20, script.CloseSnapshot: 10,
		script.OpenIterator: 30, script.Move: 100, script.CloseIterator: 30,
		script.Flush: 30, script.Compact: 30, script.SyncLog: 6,
		script.CreateSpace: 12, script.DropSpace: 6,
		script.Reopen: 8, script.ReadOnly: 2, script.Check: 15, script.Verify: 8,
	}
}

// chooseKinds draws the mood: each kind comes as said, three times as often, or
// hardly ever.
func (g *generator) chooseKinds() {
	all := weights()
	for kind := range script.Kinds {
		switch kind {
		case script.Merge, script.PutLong, script.PutGone, script.Transact, script.Checkpoint, script.Backup, script.Decide:
			continue // not drawn for, so that seeds keep their histories
		}
		weight := all[kind] * []int{3, 3, 3, 9, 1}[g.rng.IntN(5)]
		if kind == script.Overwrite || kind == script.Fill || kind == script.Reopen || kind == script.ReadOnly {
			weight = min(weight, 3*all[kind]) // they take long
		}
		g.kinds = append(g.kinds, slices.Repeat([]script.Kind{kind}, weight)...)
	}
}

// kind draws a kind of operation. That some checks are copies of the database is not drawn, so
// that seeds keep their histories.
func (g *generator) kind() script.Kind {
	kind := g.kinds[g.rng.IntN(len(g.kinds))]
	switch {
	case kind == script.Check && g.values%12 == 0:
		return script.Backup
	case kind == script.Check && g.values%4 == 0:
		return script.Checkpoint
	}
	return kind
}

func (g *generator) op() script.Op {
	kind := g.kind()
	if kind == script.CreateSpace || kind == script.DropSpace {
		return g.changeSpaces(kind)
	}
	o := script.Op{Kind: kind, Space: g.space()}
	switch kind {
	case script.Put, script.Delete, script.DeleteRange:
		g.fillWrite(&o)
		if kind == script.Put && g.values%3 == 0 { // nor is this drawn
			g.decide(&o)
		}
	case script.Overwrite:
		o.Key, o.Value, o.Count = g.key(), g.value(), 1+g.rng.IntN(60)
		if g.rng.IntN(4) == 0 {
			o.Count *= 50
		}
		o.Value.Length = min(o.Value.Length, 100)
	case script.Fill, script.Sweep:
		o.Key, o.Count, o.Every = script.Data{Text: "f"}, 1+g.rng.IntN(1000), 1+g.rng.IntN(5)
		if kind == script.Fill {
			o.Value = script.Data{Text: g.text(), Length: g.rng.IntN(300), Noise: g.rng.IntN(4) == 0}
			if g.large > 0 && g.rng.IntN(2) == 0 {
				g.large--
				o.Value.Length *= 10 // enough for the tree to have more than two levels
			}
		} else if o.Count%2 == 0 { // not drawn, so that seeds keep the rest
			o.Every = 1 // a long run without a row in it
			o.Shuffled = o.Count%4 == 0
		}
	case script.Batch, script.BatchAdd:
		o.Space, o.Slot = "", 1+g.rng.IntN(batchSlots)
		o.Parts = g.batchParts()
		if kind == script.Batch {
			o.Slot, o.Wait = 0, g.wait()
		}
	case script.BatchCommit:
		o.Space, o.Slot, o.Wait = "", 1+g.rng.IntN(batchSlots), g.wait()
	case script.BatchReset:
		o.Space, o.Slot = "", 1+g.rng.IntN(batchSlots)
	case script.Get, script.MultiGet, script.Scan, script.OpenIterator:
		g.fillRead(&o)
	case script.TakeSnapshot:
		o.Space, o.Slot = "", 1+g.rng.IntN(snapshotSlots)
		g.snapshots[o.Slot] = true
	case script.CloseSnapshot:
		o.Space, o.Slot = "", 1+g.rng.IntN(snapshotSlots)
		delete(g.snapshots, o.Slot)
	case script.Move:
		o.Space, o.Slot = "", g.open(g.iterators, iteratorSlots)
		o.Parts = g.moves()
	case script.CloseIterator:
		o.Space, o.Slot = "", 1+g.rng.IntN(iteratorSlots)
		delete(g.iterators, o.Slot)
	case script.Compact:
		g.fillCompact(&o)
	default:
		o.Space = ""
	}
	if kind == script.Reopen || kind == script.ReadOnly {
		g.reopens += 2
		o.Count = g.reopens
		clear(g.snapshots)
		clear(g.iterators)
	}
	return o
}

func (g *generator) changeSpaces(kind script.Kind) script.Op {
	name := fmt.Sprintf("space-%d", g.rng.IntN(spaceNames))
	at := slices.Index(g.spaces, name)
	switch {
	case at < 0:
		g.spaces = append(g.spaces, name)
		return script.Op{Kind: script.CreateSpace, Space: name}
	case kind == script.DropSpace:
		g.spaces = slices.Delete(g.spaces, at, at+1)
	}
	return script.Op{Kind: kind, Space: name}
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

func (g *generator) wait() script.Wait { return script.Wait(g.rng.IntN(int(script.LastWait) + 1)) }

func (g *generator) text() string {
	g.values++
	return fmt.Sprintf("v%d", g.values)
}

// key returns one of the keys, and rarely one that is none.
func (g *generator) key() script.Data {
	switch g.rng.IntN(400) {
	case 0:
		return script.Data{}
	case 1:
		return script.Data{Text: "x", Length: lightning.MaxKeyBytes + g.rng.IntN(2)}
	}
	return g.keys[g.rng.IntN(len(g.keys))]
}

// bounds returns a range of keys, of which one end or both may be open, and
// rarely one that ends before it begins.
func (g *generator) bounds() (lo, hi script.Data) {
	lo, hi = g.key(), g.key()
	if lo.Expand() > hi.Expand() && g.rng.IntN(50) > 0 {
		lo, hi = hi, lo
	}
	switch g.rng.IntN(12) {
	case 0:
		lo = script.Data{}
	case 1:
		hi = script.Data{}
	}
	return lo, hi
}

func (g *generator) value() script.Data {
	d := script.Data{Text: g.text()}
	switch n := g.rng.IntN(40); {
	case n == 0:
		d = script.Data{}
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

func (g *generator) fillWrite(o *script.Op) {
	switch o.Kind {
	case script.Put:
		o.Key, o.Value = g.key(), g.value()
	case script.Delete:
		o.Key = g.key()
	case script.DeleteRange:
		o.Key, o.Upper = g.bounds()
		if o.Upper == (script.Data{}) && g.rng.IntN(3) > 0 {
			o.Upper = o.Key // open ranges leave little
		}
	}
}

// decide makes a put one that depends on what the key holds.
func (g *generator) decide(o *script.Op) {
	o.Kind, o.Every, o.Fail = script.Decide, g.values/3%int(script.TouchGone), g.values%5 == 0
	if script.Verb(o.Every) == script.Increment {
		o.Count = g.values
	}
}

// batchParts makes the writes of a batch; one in ten is larger than memtables.
func (g *generator) batchParts() []script.Op {
	writes := []script.Kind{script.Put, script.Put, script.Put, script.Put, script.Delete, script.DeleteRange}
	var parts []script.Op
	extra, length := 0, 0
	if g.rng.IntN(10) == 0 {
		extra, length = 20, 5000
	}
	for range 1 + g.rng.IntN(8) + extra {
		part := script.Op{Kind: writes[g.rng.IntN(len(writes))], Space: g.space()}
		g.fillWrite(&part)
		if part.Kind == script.Put {
			part.Value.Length = max(part.Value.Length, length)
		}
		parts = append(parts, part)
	}
	return parts
}

func (g *generator) fillRead(o *script.Op) {
	if len(g.snapshots) > 0 && g.rng.IntN(3) == 0 {
		o.Snapshot = g.open(g.snapshots, snapshotSlots)
	}
	switch o.Kind {
	case script.Get:
		o.Key = g.key()
		return
	case script.MultiGet:
		for range g.rng.IntN(20) {
			o.Parts = append(o.Parts, script.Op{Kind: script.Get, Key: g.key()})
		}
		if o.Fail = g.rng.IntN(4) == 0; o.Fail {
			o.Count = 1 + g.rng.IntN(8)
		}
		return
	case script.OpenIterator:
		o.Slot = 1 + g.rng.IntN(iteratorSlots)
		g.iterators[o.Slot] = true
	case script.Scan:
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
func (g *generator) moves() []script.Op {
	var moves []script.Op
	forwards := g.rng.IntN(2) == 0
	for range 1 + g.rng.IntN(12) {
		kind := script.Prev
		if forwards {
			kind = script.Next
		}
		switch g.rng.IntN(6) {
		case 0:
			kind = script.First + script.Kind(g.rng.IntN(int(script.Kinds-script.First)))
		case 1:
			forwards = !forwards
		}
		move := script.Op{Kind: kind}
		if kind >= script.SeekGE {
			move.Key = g.key()
		}
		moves = append(moves, move)
	}
	return moves
}

func (g *generator) fillCompact(o *script.Op) {
	switch g.rng.IntN(4) {
	case 0:
		o.Space = ""
	default:
		o.Key, o.Upper = g.bounds()
	}
	o.Fail = g.rng.IntN(10) == 0
}
