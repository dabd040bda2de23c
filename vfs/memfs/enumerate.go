package memfs

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Enumerating the states of a crash: first every distinct outcome of the
// pending entry operations, and for each of them every distinct combination of
// cuts of the files that it can reach.

// CrashStates returns every state that a crash at this moment may leave, each
// at least once, and complete=true. Where there are more than max, or so many
// pending pieces that counting takes too long, complete is false and the
// sequence holds max of them: what was synced, everything, and states by seed.
// The states are made one at a time and are all as of now, however long the
// caller takes.
func (f *FS) CrashStates(max int) (states iter.Seq[*FS], complete bool) {
	f.mu.Lock()
	frozen := f.freeze()
	f.mu.Unlock()
	outcomes, ok := frozen.outcomes(max)
	if !ok {
		return frozen.someStates(max), false
	}
	return func(yield func(*FS) bool) {
		for _, o := range outcomes {
			if !frozen.yieldOutcome(o, yield) {
				return
			}
		}
	}, true
}

// SampleCrashes returns states that a crash at this moment may leave: all of them
// where there are at most max, and else max of them and so many at random, in which
// space that was never synced may have old bytes.
func (f *FS) SampleCrashes(max, random int) iter.Seq[*FS] {
	states, complete := f.CrashStates(max)
	if complete {
		return states
	}
	return func(yield func(*FS) bool) {
		for s := range states {
			if !yield(s) {
				return
			}
		}
		for seed := range random {
			if !yield(f.Crash(CrashOptions{Seed: uint64(seed), Keep: KeepRandom, Stale: true})) {
				return
			}
		}
	}
}

// someStates returns max states by policy and seed.
func (f *FS) someStates(max int) iter.Seq[*FS] {
	return func(yield func(*FS) bool) {
		for i := range max {
			o := CrashOptions{Keep: KeepRandom, Seed: uint64(i)}
			switch i {
			case 0:
				o.Keep = KeepNone
			case 1:
				o.Keep = KeepAll
			}
			if !yield(f.Crash(o)) {
				return
			}
		}
	}
}

// freeze returns a copy of f with everything that is pending.
func (f *FS) freeze() *FS {
	copies := map[*node]*node{}
	var copyNode func(n *node) *node
	copyNode = func(n *node) *node {
		if n == nil || copies[n] != nil {
			return copies[n]
		}
		c := &node{id: n.id, made: n.made, isDir: n.isDir, reservedPages: n.reservedPages}
		copies[n] = c
		c.live, c.durable = n.live.snapshot(), n.durable.snapshot()
		c.changes = slices.Clip(n.changes)
		c.entries, c.shadow = maps.Clone(n.entries), maps.Clone(n.shadow)
		for name, child := range c.entries {
			c.entries[name] = copyNode(child)
		}
		for name, child := range c.shadow {
			c.shadow[name] = copyNode(child)
		}
		return c
	}
	to := &FS{locks: map[string]bool{}, lastID: f.lastID, capacityPages: f.capacityPages}
	to.syncFailure.Store(f.syncFailure.Load())
	to.root = copyNode(f.root)
	for _, op := range f.entryOps {
		op.dir, op.node, op.fromDir = copyNode(op.dir), copyNode(op.node), copyNode(op.fromDir)
		to.entryOps = append(to.entryOps, op)
	}
	return to
}

// outcome is one result of the pending entry operations, with the files under
// it that have something pending.
type outcome struct {
	keep  uint64 // the operations that survive, as bits
	files []*node
	each  []variants
}

const maxEntryOps = 20

// outcomes lists the distinct results of the entry operations. It gives up when
// there are more than max states.
func (f *FS) outcomes(max int) (list []outcome, ok bool) {
	if len(f.entryOps) > maxEntryOps {
		return nil, false
	}
	variantsOf := map[*node]variants{}
	seen := map[string]bool{}
	total := 0
	for keep := uint64(0); keep < 1<<len(f.entryOps); keep++ {
		key, files := f.reach(keep)
		if seen[key] {
			continue
		}
		seen[key] = true
		o := outcome{keep: keep, files: files}
		count := 1
		for _, n := range files {
			v, known := variantsOf[n]
			if !known {
				v = n.variants(max)
				variantsOf[n] = v
			}
			o.each = append(o.each, v)
			count = saturatingMul(count, v.count, max)
		}
		if total += count; total > max {
			return nil, false
		}
		list = append(list, o)
	}
	return list, true
}

// reach returns a text that tells the trees apart which different operations
// leave, and the files with pending changes in the tree.
func (f *FS) reach(keep uint64) (key string, files []*node) {
	views := f.views(func(i int) bool { return keep>>i&1 == 1 })
	var b strings.Builder
	visited := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		fmt.Fprintf(&b, "%d", n.id)
		if visited[n] {
			return
		}
		visited[n] = true
		if !n.isDir {
			if len(n.changes) > 0 {
				files = append(files, n)
			}
			return
		}
		view, changed := views[n]
		if !changed {
			view = n.entries
		}
		b.WriteByte('{')
		for _, name := range slices.Sorted(maps.Keys(view)) {
			fmt.Fprintf(&b, "%q:", name)
			walk(view[name])
		}
		b.WriteByte('}')
	}
	walk(f.root)
	return b.String(), files
}

// yieldOutcome yields the states of one outcome, and says whether to go on.
func (f *FS) yieldOutcome(o outcome, yield func(*FS) bool) bool {
	digits := make([]int, len(o.files))
	for {
		if !yield(f.stateOf(o, digits)) {
			return false
		}
		i := 0
		for ; i < len(digits); i++ {
			if digits[i]++; digits[i] < o.each[i].count {
				break
			}
			digits[i] = 0
		}
		if i == len(digits) {
			return true
		}
	}
}

// stateOf makes the state in which the files have the variants in digits.
func (f *FS) stateOf(o outcome, digits []int) *FS {
	f.mu.Lock() // several goroutines may run the same sequence
	defer f.mu.Unlock()
	return f.rebuild(
		func(i int) bool { return o.keep>>i&1 == 1 },
		func(n *node) content {
			if i := slices.Index(o.files, n); i >= 0 {
				return n.image(o.each[i].cuts(digits[i]))
			}
			return n.live.snapshot()
		})
}

// variants numbers the distinct contents that a file may have after a crash.
type variants struct {
	count int
	sizes []sizeVariants
}

// sizeVariants are those with the same cut of the length.
type sizeVariants struct {
	size    int
	count   int
	sectors []sectorVariants
}

// sectorVariants are the cuts that make a difference to one sector.
type sectorVariants struct {
	sector int64
	cuts   []int
}

// variants lists what may have become of the file. The count stops at max+1.
func (p *pending) variants(max int) variants {
	touching := p.touchingChanges()
	var v variants
	for size := 0; size <= len(p.changes) && v.count <= max; size++ {
		if size > 0 && p.changes[size-1].size == p.changes[size-1].prior {
			continue // the same length as one cut earlier
		}
		sv := p.sizeVariants(size, touching, max)
		v.count = min(v.count+sv.count, max+1)
		v.sizes = append(v.sizes, sv)
	}
	return v
}

// touchingChanges maps each sector that differs between moments to the
// changes that wrote it.
func (p *pending) touchingChanges() map[int64][]int {
	touching := map[int64][]int{}
	for i := range p.changes {
		c := &p.changes[i]
		lo, hi := c.touched()
		if c.shrinks() { // behind this sector the cut of the length decides
			hi = min(hi, sectorAfter(lo))
		}
		for s := lo / sectorBytes; s*sectorBytes < hi; s++ {
			touching[s] = append(touching[s], i)
		}
	}
	return touching
}

func (p *pending) sizeVariants(size int, touching map[int64][]int, max int) sizeVariants {
	sv := sizeVariants{size: size, count: 1}
	probe := newImager(p, cuts{size: size})
	for s, changes := range touching {
		if s*sectorBytes >= p.sizeAt(size) {
			continue // cut off
		}
		probe.at.sector = func(int64) int { return 0 }
		list := []int{probe.cut(s)}
		for _, i := range changes {
			probe.at.sector = func(int64) int { return i + 1 }
			if cut := probe.cut(s); cut == i+1 && cut > list[0] {
				list = append(list, cut)
			}
		}
		if len(list) > 1 {
			sv.sectors = append(sv.sectors, sectorVariants{s, list})
			sv.count = saturatingMul(sv.count, len(list), max)
		}
	}
	slices.SortFunc(sv.sectors, func(a, b sectorVariants) int {
		return cmp.Compare(a.sector, b.sector)
	})
	return sv
}

// cuts returns the cuts of variant number i.
func (v *variants) cuts(i int) cuts {
	k := 0
	for i >= v.sizes[k].count {
		i -= v.sizes[k].count
		k++
	}
	chosen := map[int64]int{}
	for _, s := range v.sizes[k].sectors {
		chosen[s.sector] = s.cuts[i%len(s.cuts)]
		i /= len(s.cuts)
	}
	return cuts{v.sizes[k].size, func(s int64) int { return chosen[s] }}
}

// saturatingMul multiplies and stops at limit+1.
func saturatingMul(a, b, limit int) int {
	if a > 0 && b > (limit+1)/a {
		return limit + 1
	}
	return min(a*b, limit+1)
}
