package script

import (
	"fmt"
	"math/rand/v2"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
)

// Generate makes a script of n operations and more for a Session. Keys are few, so that operations
// meet; some values are larger than blocks, and some batches than memtables.
func Generate(rng *rand.Rand, n int) Script {
	g := generator{rng: rng, keys: 4 + rng.IntN(40)}
	if rng.IntN(3) > 0 {
		g.spaces = []string{"first", "second"}[:1+rng.IntN(2)]
	}
	// Some scripts sync all, some nothing, and some mix.
	g.durabilities = [][]lightning.Durability{
		{lightning.DurabilitySync}, {lightning.DurabilityAsync}, {lightning.DurabilityBuffered, lightning.DurabilityAsync},
		{lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync},
	}[rng.IntN(4)]
	for i := range n {
		g.add(g.op())
		if g.keys%4 == 0 { // not drawn, so that the seeds that were found keep the rest
			g.deadRun(i)
		}
	}
	return g.script
}

func (g *generator) add(o Op) {
	g.state = o.Apply(g.state)
	g.script = append(g.script, o)
}

const (
	// deadRows are enough for a run of deletes to be noticed by writers and scans.
	deadRows = 300
	// deadLeft is what a Sweep leaves of them, or one more.
	deadLeft = 8
	// deadSteps is how many operations there are between one run and the next.
	deadSteps = 5
)

// deadRun adds, in steps between other operations, rows most of which are then deleted,
// in order or in none, singly or by ranges side by side, a look at what is left, and a
// write into the midst of that with another look.
func (g *generator) deadRun(i int) {
	round, wait := i/deadSteps, WaitFor(g.durabilities[i%len(g.durabilities)])
	key := func(n int) Data { return Data{Text: fmt.Sprintf("f%04d", n)} }
	switch i % deadSteps {
	case 0:
		g.add(Op{Kind: Fill, Key: Data{Text: "f"}, Value: Data{Text: fmt.Sprint("round ", round)}, Count: deadRows + round%8, Wait: wait})
	case 1:
		rows := deadRows - deadLeft - round/2%2 // an odd number goes by ranges
		g.add(Op{Kind: Sweep, Key: Data{Text: "f"}, Count: rows, Shuffled: round%2 == 0, Wait: wait})
		g.add(Op{Kind: Verify})
	case 2:
		g.add(Op{Kind: Verify})
	case 3:
		g.add(Op{Kind: Put, Key: key(round * 7 % deadRows), Value: Data{Text: "into it"}, Wait: wait})
		g.add(Op{Kind: Verify})
	}
}

type generator struct {
	rng          *rand.Rand
	keys         int
	spaces       []string
	durabilities []lightning.Durability
	state        model.State
	script       Script
	values       int
}

func (g *generator) op() Op {
	switch n := g.rng.IntN(100); {
	case n < 8:
		return Op{Kind: Flush}
	case n < 12:
		o := Op{Kind: Compact}
		if g.rng.IntN(2) == 0 {
			o.Key, o.Upper = g.keyRange()
		}
		return o
	case n < 15:
		if g.values%2 == 0 { // not drawn, so that the seeds that were found keep the rest
			return Op{Kind: Checkpoint}
		}
		if g.values%4 == 1 { // nor is this
			return Op{Kind: Backup}
		}
		return Op{Kind: SyncLog}
	case n < 18:
		return Op{Kind: Reopen}
	case n < 24 && len(g.spaces) > 0:
		name := g.spaces[g.rng.IntN(len(g.spaces))]
		if g.state.Exists(name) {
			return Op{Kind: DropSpace, Space: name}
		}
		return Op{Kind: CreateSpace, Space: name}
	case n < 40:
		o := Op{Kind: Batch, Wait: g.wait()}
		count, large := 1+g.rng.IntN(6), 0
		if g.rng.IntN(6) == 0 {
			large = 10 << 10 // seven of them are more than the smallest memtable
			count += 3
			if g.values%2 == 0 { // not drawn, so that the seeds that were found keep the rest
				o.Kind, large = Transact, 2*large
			}
		}
		for range count {
			part := g.write()
			if part.Kind == Put {
				part.Value.Length = max(part.Value.Length, large)
			}
			o.Parts = append(o.Parts, part)
		}
		return o
	}
	o := g.write()
	o.Wait = g.wait()
	if o.Kind == Put {
		g.decide(&o)
	}
	return o
}

// decide makes every fourth put a write that depends on what the key holds. Nothing is
// drawn, so that the seeds that were found keep the rest.
func (g *generator) decide(o *Op) {
	if g.values%4 != 0 {
		return
	}
	o.Kind, o.Every, o.Fail = Decide, g.values/4%int(Verbs), g.values%5 == 0
	if o.verb() == Increment {
		o.Count = g.values
	}
	if o.Space != "" && o.Touches() {
		o.Every = int(PutIfAbsent)
	}
}

func (g *generator) wait() Wait { return WaitFor(g.durabilities[g.rng.IntN(len(g.durabilities))]) }

func (g *generator) write() Op {
	o := Op{Key: g.key()}
	if names := g.state.Spaces(); len(names) > 0 && g.rng.IntN(2) == 0 {
		o.Space = names[g.rng.IntN(len(names))]
	}
	switch n := g.rng.IntN(12); {
	case n < 2:
		o.Kind = Delete
	case n < 3:
		o.Kind = DeleteRange
		o.Key, o.Upper = g.keyRange()
	default:
		switch {
		case n < 5 && o.Space != "":
			o.Kind = Merge
		case n == 3 && o.Space == "":
			o.Kind = PutLong
		case n == 4 && o.Space == "":
			o.Kind = PutGone
		}
		g.values++
		o.Value.Text = fmt.Sprintf("v%d", g.values)
		switch g.rng.IntN(16) {
		case 0:
			o.Value.Length = g.rng.IntN(9000)
			if g.values%3 == 0 { // not drawn either: long enough for pieces
				o.Value.Length *= 8
			}
		case 1:
			o.Value.Length = 100 + g.rng.IntN(400)
		}
	}
	return o
}

// key returns short and long keys, prefixes of one another, with bytes at the
// ends of the alphabet.
func (g *generator) key() Data {
	n := g.rng.IntN(g.keys)
	text := fmt.Sprintf("k%02d", n)
	switch g.rng.IntN(10) {
	case 0:
		text = string([]byte{byte(n)})[:min(n, 1)] // the empty key, too
	case 1:
		text = string([]byte{0xff, 0xff, byte(n)})
	case 2:
		text = fmt.Sprintf("a-rather-long-prefix-that-some-keys-share/%03d", n)
	}
	return Data{Text: text}
}

func (g *generator) keyRange() (lo, hi Data) {
	lo, hi = g.key(), g.key()
	switch {
	case lo.Text > hi.Text:
		lo, hi = hi, lo
	case lo == hi:
		hi.Text += "\xff"
	}
	return lo, hi
}

// Options returns settings at which a short script meets what takes a user
// years: small memtables, blocks and files, and every kind of compression.
func Options(rng *rand.Rand) lightning.Options {
	budget := 4<<20 + rng.Int64N(4<<20)
	return lightning.Options{
		MemoryBudget: budget,
		Durability:   lightning.Durability(rng.IntN(3)),
		Compression:  lightning.Compression(rng.IntN(4)),
		Tree: lightning.TreeOptions{
			MemtableBytes:    64<<10 + rng.IntN(64<<10),
			BlockBytes:       256 << rng.IntN(6),
			FilterBitsPerKey: []int{-1, 4, 12}[rng.IntN(3)],
			FileBytes:        4096 << rng.IntN(5),
			L0Files:          1 + rng.IntN(4),
			BlobBytes:        []int{-1, 16, 200}[budget%3], // not drawn either
		},
		Debug: lightning.DebugOptions{NoHotCache: rng.IntN(4) == 0},
		// Not drawn, so that the seeds that were found keep their scripts.
		LogArchive: lightning.LogArchiveOptions{SizeBytes: budget % 2 * (1 << 18)},
	}
}

// Describe writes settings down as a Go literal, to be pasted into a test.
func Describe(o lightning.Options) string {
	t := o.Tree
	return fmt.Sprintf("lightning.Options{MemoryBudget: %d, Durability: lightning.Durability(%d), "+
		"Compression: lightning.Compression(%d), Tree: lightning.TreeOptions{MemtableBytes: %d, "+
		"BlockBytes: %d, FilterBitsPerKey: %d, FileBytes: %d, L0Files: %d, BlobBytes: %d}, "+
		"Debug: lightning.DebugOptions{NoHotCache: %v}, LogArchive: lightning.LogArchiveOptions{SizeBytes: %d}}", o.MemoryBudget, o.Durability, o.Compression,
		t.MemtableBytes, t.BlockBytes, t.FilterBitsPerKey, t.FileBytes, t.L0Files, t.BlobBytes, o.Debug.NoHotCache, o.LogArchive.SizeBytes)
}
