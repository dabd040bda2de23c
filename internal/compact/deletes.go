package compact

import (
	"bytes"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// deletes are the range tombstones of a run. They are walked over beside the records:
// in memory is the fragment that the current key is in, or comes to next, and the one
// that goes to the output next, which waits in case its neighbour says the same.
type deletes struct {
	it     rangedel.Iterator // nil: none
	at     *rangedel.Fragment
	lo     []byte // what is before it of at has gone to an output file that has ended
	inside bool   // the current key is in at

	pending rangedel.Fragment // in memory of its own; nothing if it has no numbers
	kept    []base.SeqNum     // scratch
	last    []byte            // where the last fragment in the output begins
}

func (d *deletes) begin(it rangedel.Iterator) error {
	if d.it = it; it == nil {
		return nil
	}
	return d.next()
}

func (d *deletes) next() (err error) {
	if d.at, err = d.it.Next(); d.at != nil {
		d.lo = append(d.lo[:0], d.at.Lo...)
	}
	return err
}

// covering returns the newest tombstone over the current key that is not newer than seq.
func (d *deletes) covering(seq base.SeqNum) base.SeqNum {
	if !d.inside {
		return 0
	}
	return d.at.Newest(seq)
}

// passDeletes goes on to the tombstones over key, or those behind it; nil is the end.
func (r *runner) passDeletes(key []byte) error {
	d := &r.deletes
	for d.at != nil && (key == nil || bytes.Compare(d.at.Hi, key) <= 0) {
		if err := r.keepDelete(d.at.Hi); err != nil {
			return err
		}
		if err := d.next(); err != nil {
			return err
		}
	}
	d.inside = d.at != nil && bytes.Compare(d.at.Lo, key) <= 0
	return nil
}

// keepDelete gives what the output must still carry of the current fragment, up to hi,
// to the output: of each stripe the newest tombstone, without the oldest stripe at the
// bottom.
func (r *runner) keepDelete(hi []byte) error {
	d := &r.deletes
	d.kept = d.kept[:0]
	last := -1
	for _, seq := range d.at.Seqs {
		stripe := stripeOf(r.cfg.Snapshots, seq)
		if stripe != last && (stripe > 0 || !r.cfg.Bottom) {
			d.kept = append(d.kept, seq)
		}
		last = stripe
	}
	p := &d.pending
	switch {
	case len(d.kept) == 0:
		return nil
	case bytes.Equal(p.Hi, d.lo) && slices.Equal(p.Seqs, d.kept):
		p.Hi = append(p.Hi[:0], hi...)
		return nil
	}
	if err := r.writeDelete(); err != nil {
		return err
	}
	p.Lo, p.Hi, p.Seqs = append(p.Lo[:0], d.lo...), append(p.Hi[:0], hi...), append(p.Seqs[:0], d.kept...)
	return nil
}

// writeDelete writes the fragment that waits, if there is one. Where no record stands in
// the way, the output file may end before it.
func (r *runner) writeDelete() error {
	d := &r.deletes
	p := &d.pending
	if len(p.Seqs) == 0 {
		return nil
	}
	if r.writer != nil && (!r.hasKey || bytes.Compare(r.key, p.Lo) < 0) && r.isDue(r.last(), p.Lo) {
		if err := r.closeFile(p.Lo); err != nil {
			return err
		}
	}
	if r.writer == nil {
		if err := r.openFile(p.Lo); err != nil {
			return err
		}
	}
	d.last = append(d.last[:0], p.Lo...)
	err := r.writer.AddRangeDelete(*p)
	p.Seqs = p.Seqs[:0]
	return err
}

// last returns the last key that the output has come to.
func (r *runner) last() []byte {
	if !r.hasKey || bytes.Compare(r.key, r.deletes.last) < 0 {
		return r.deletes.last
	}
	return r.key
}

// cutDeletes writes all tombstones before key. What goes on there is cut.
func (r *runner) cutDeletes(key []byte) error {
	d := &r.deletes
	if d.at != nil && bytes.Compare(d.lo, key) < 0 {
		if err := r.keepDelete(key); err != nil {
			return err
		}
		d.lo = append(d.lo[:0], key...)
	}
	return r.writeDelete()
}
