package repair

import (
	"bytes"
	"context"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
)

// walk goes over the records of tables that overlap nowhere, in order, once, and steps over what
// cannot be read, which it notes. Values that are apart come with their records. One table is
// open at a time. It is a base.Iterator of which only First and Next are asked for.
type walk struct {
	base.Iterator // nil: nothing else is asked for
	repairer      *repairer
	tables        []*store.Table // by their spans

	at   int // of the open table
	it   *sstable.Iter
	refs *store.Refs
	rec  base.Record
	last []byte // key of the record that was read last in the open table
	read int
	err  error
}

// First implements base.Iterator.
func (w *walk) First() *base.Record {
	w.leave()
	w.at, w.err = -1, nil
	return w.Next()
}

// Next implements base.Iterator.
func (w *walk) Next() *base.Record {
	for w.err == nil {
		if w.read++; w.read%256 == 0 && w.repairer.ctx.Err() != nil {
			w.err = context.Cause(w.repairer.ctx)
			return nil
		}
		var rec *base.Record
		if w.it != nil {
			rec = w.sound(w.it.Next())
		} else if rec = w.open(); w.it == nil {
			if w.at == len(w.tables) {
				return nil
			}
			continue
		}
		if rec == nil {
			w.leave()
			continue
		}
		w.last = append(w.last[:0], rec.Key...)
		if rec.Trailer.Kind() != base.KindBlob {
			return rec
		}
		if rec = w.whole(rec); rec != nil {
			return rec
		}
	}
	return nil
}

// open goes to the next table and returns its first record.
func (w *walk) open() *base.Record {
	if w.at++; w.at == len(w.tables) {
		return nil
	}
	t := w.tables[w.at]
	r, err := t.Reader()
	if err != nil {
		w.repairer.lose(lossOf(err, store.TableName(t.Meta.Num), t.Meta.Lo, t.Meta.Hi))
		return nil
	}
	w.repairer.report.Tables++
	w.it, w.refs, w.last = r.NewIter(sstable.IterOptions{NoFill: true}), t.Refs(), w.last[:0]
	return w.sound(w.it.First())
}

// sound returns the record to which the iterator has come or, where it met damage, the first
// behind that.
func (w *walk) sound(rec *base.Record) *base.Record {
	for rec == nil && w.it.Err() != nil {
		meta := w.tables[w.at].Meta
		from := meta.Lo
		if len(w.last) > 0 {
			from = bytes.Clone(w.last)
		}
		l := lossOf(w.it.Err(), store.TableName(meta.Num), from, meta.Hi)
		if l.Hi == nil || bytes.Compare(l.Hi, from) <= 0 { // it does not lead on
			l.Lo, l.Hi = from, meta.Hi
		}
		w.repairer.lose(l)
		w.last = append(w.last[:0], l.Hi...)
		if bytes.Compare(l.Hi, meta.Hi) >= 0 {
			return nil
		}
		rec = w.it.SeekGE(l.Hi)
	}
	return rec
}

// whole returns a record with the value that is apart, or nil and notes that it is lost.
func (w *walk) whole(rec *base.Record) *base.Record {
	var err error
	if w.rec, err = w.refs.Value(rec); err == nil {
		return &w.rec
	}
	l := lossOf(err, store.TableName(w.tables[w.at].Meta.Num), nil, nil)
	l.Lo, l.Hi, l.Values = bytes.Clone(rec.Key), append(bytes.Clone(rec.Key), 0), 1
	w.repairer.lose(l)
	return nil
}

// leave closes the open table.
func (w *walk) leave() {
	if w.it != nil {
		_ = w.it.Close() // reads alone: nothing is lost
		w.refs.Close()
		w.it, w.refs = nil, nil
	}
}

// Err implements base.Iterator.
func (w *walk) Err() error { return w.err }

// Close implements base.Iterator.
func (w *walk) Close() error {
	w.leave()
	return nil
}

// deletes are the range deletes of a table as far as they can be read.
type deletes struct {
	repairer *repairer
	table    *store.Table
	inner    rangedel.Iterator // nil: there are no more
}

// Next implements rangedel.Iterator.
func (d *deletes) Next() (*rangedel.Fragment, error) {
	if d.inner == nil {
		return nil, nil
	}
	f, err := d.inner.Next()
	if err != nil {
		d.inner = nil
		meta := d.table.Meta
		l := lossOf(err, store.TableName(meta.Num), meta.Lo, meta.Hi)
		l.Lo, l.Hi = meta.Lo, meta.Hi // any of them may be there, and what they deleted is back
		if meta.DeletesLo != nil {
			l.Lo, l.Hi = meta.DeletesLo, meta.DeletesHi
		}
		d.repairer.lose(l)
		return nil, nil
	}
	return f, nil
}

// runs divides tables into as few lists as a greedy choice gives, in each of which they overlap
// nowhere and are in order.
func runs(tables []*store.Table) (runs [][]*store.Table) {
	ordered := slices.Clone(tables)
	slices.SortStableFunc(ordered, func(a, b *store.Table) int { return bytes.Compare(a.Meta.Lo, b.Meta.Lo) })
next:
	for _, t := range ordered {
		for i, run := range runs {
			if bytes.Compare(run[len(run)-1].Meta.Hi, t.Meta.Lo) <= 0 {
				runs[i] = append(run, t)
				continue next
			}
		}
		runs = append(runs, []*store.Table{t})
	}
	return runs
}
