package txn

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// Result is what spilled writes come to, as Records: of each key one version,
// or its operands, as far as no range delete after them hides them. Their
// sequence numbers begin at zero, which all have but the operands over others:
// the commit gives them their place.
type Result struct {
	files   groups
	deleted layers
	written func(key []byte)
	version *version // the next
	seq     base.SeqNum
	rec     base.Record
	stored  []byte
}

// Result returns what the writes come to. Nothing is in memory but the range
// deletes; iter walks over the rest, and stays the caller's. Each key is told to
// written, if that is not nil.
func (w *Writes) Result(iter base.Iterator, written func(key []byte)) *Result {
	return &Result{
		files: groups{writes: w, at: w.step, iter: iter}, deleted: w.deletes.layers, written: written,
	}
}

// Deletes returns the ranges that were deleted. Their sequence number is zero:
// what Result yields is not under them.
func (w *Writes) Deletes() *rangedel.List {
	tombstones := make([]rangedel.Tombstone, len(w.deletes.all))
	for i, r := range w.deletes.all {
		tombstones[i] = rangedel.Tombstone{Lo: r.lo, Hi: r.hi}
	}
	return rangedel.Build(tombstones)
}

// First lands on the first record. It is called once.
func (r *Result) First() *base.Record {
	r.files.first()
	return r.land()
}

// Next lands on the next record.
func (r *Result) Next() *base.Record {
	if r.version = r.version.older; r.version != nil {
		return r.show()
	}
	r.files.advance()
	return r.land()
}

// Err says what ended the walk.
func (r *Result) Err() error { return r.files.err }

func (r *Result) land() *base.Record {
	for ; r.files.valid; r.files.advance() {
		v := r.files.newest
		if r.written != nil {
			r.written(r.files.key)
		}
		if r.deleted.newest(r.files.key) > v.step {
			continue
		}
		r.version, r.seq = v, 0
		for older := v.older; older != nil; older = older.older {
			r.seq++
		}
		return r.show()
	}
	return nil
}

func (r *Result) show() *base.Record {
	v := r.version
	r.rec = base.Record{
		Key: r.files.key, Trailer: base.MakeTrailer(r.seq, v.kind), Value: v.stored(&r.stored),
	}
	r.seq-- // of the next, if there is one
	return &r.rec
}
