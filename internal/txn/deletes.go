package txn

import (
	"bytes"
	"slices"
	"sort"
)

// This file keeps the range deletes of a transaction so that the newest one over a
// key is found in logarithmic time, however many there are and however they overlap.
//
// It is the logarithmic method (Bentley and Saxe, 1980): the deletes are in layers,
// each of which has the newest delete over each key among its own, as disjoint pieces
// in order. A new delete is a layer; while the one below has not more deletes, the
// two become one. So there are no more layers than the logarithm of the number of
// deletes, and each is copied into another layer no more often than that.

// rangeDelete is a delete of [lo, hi) at a step, or the piece of one.
type rangeDelete struct {
	step   Step
	lo, hi []byte
}

// deletes are the range deletes of a transaction. The zero deletes is empty.
type deletes struct {
	all    []rangeDelete // steps ascend
	layers layers
}

// layers are those of the deletes at some step; steps ascend from one to the next.
// None is ever changed, so that a copy of the slice stays as it is.
type layers []layer

type layer struct {
	count  int           // of deletes in it
	pieces []rangeDelete // disjoint, in order
}

// add adds a delete that is newer than the others. It takes over the bounds.
func (d *deletes) add(r rangeDelete) {
	d.all = append(d.all, r)
	top := layer{count: 1}
	if bytes.Compare(r.lo, r.hi) < 0 {
		top.pieces = []rangeDelete{r}
	}
	n := len(d.layers)
	for ; n > 0 && d.layers[n-1].count <= top.count; n-- {
		under := d.layers[n-1]
		top = layer{count: under.count + top.count, pieces: putOver(under.pieces, top.pieces)}
	}
	d.layers = append(d.layers[:n:n], top)
}

// rollBack takes back all deletes from a step on.
func (d *deletes) rollBack(to Step) {
	kept := sort.Search(len(d.all), func(i int) bool { return d.all[i].step >= to })
	if kept == len(d.all) {
		return
	}
	whole, n := 0, 0 // deletes of the layers that stay
	for n < len(d.layers) && whole+d.layers[n].count <= kept {
		whole += d.layers[n].count
		n++
	}
	again := slices.Clone(d.all[whole:kept])
	clear(d.all[kept:])
	d.all, d.layers = d.all[:whole], d.layers[:n:n]
	for _, r := range again {
		d.add(r)
	}
}

// newest returns the step of the newest delete over a key, -1 if there is none.
func (ls layers) newest(key []byte) Step {
	for i := len(ls) - 1; i >= 0; i-- {
		if step := ls[i].over(key); step >= 0 {
			return step
		}
	}
	return -1
}

// over returns the step of the piece over a key, -1 if there is none.
func (l *layer) over(key []byte) Step {
	i := sort.Search(len(l.pieces), func(i int) bool { return bytes.Compare(l.pieces[i].hi, key) > 0 })
	if i == len(l.pieces) || bytes.Compare(l.pieces[i].lo, key) > 0 {
		return -1
	}
	return l.pieces[i].step
}

// putOver returns the newer pieces with what they leave of the older ones.
func putOver(older, newer []rangeDelete) []rangeDelete {
	out := make([]rangeDelete, 0, len(older)+2*len(newer))
	older = slices.Clone(older) // the first is cut
	for _, piece := range newer {
		for len(older) > 0 && bytes.Compare(older[0].hi, piece.lo) <= 0 {
			out, older = append(out, older[0]), older[1:]
		}
		if len(older) > 0 && bytes.Compare(older[0].lo, piece.lo) < 0 {
			out = append(out, rangeDelete{older[0].step, older[0].lo, piece.lo})
		}
		for len(older) > 0 && bytes.Compare(older[0].hi, piece.hi) <= 0 {
			older = older[1:]
		}
		if len(older) > 0 && bytes.Compare(older[0].lo, piece.hi) < 0 {
			older[0].lo = piece.hi
		}
		out = append(out, piece)
	}
	return append(out, older...)
}
