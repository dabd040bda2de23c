package table

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// walk is a query on its way along a path.
type walk[R any] struct {
	query   *Query[R]
	rows    *lightning.Tx // view of the rows
	give    func(primary []byte, rec R) error
	sorter  *sorter[R]                 // nil where rows are given as they come
	passed  int                        // rows that were to be given, those of the offset included
	repeats bool                       // rows may come twice
	collect func(primary []byte) error // takes what entries lead to, in the place of rows

	met      map[string]struct{} // primary keys of rows that have come
	metBytes int
	ends     []int
	place    []byte // memory for the place of a row in the order
}

// along goes along a path.
func (w *walk[R]) along(p *path[R]) error {
	if p.meets != nil {
		return w.throughAll(p)
	}
	for i := range p.either {
		if err := w.along(&p.either[i]); err != nil {
			return err
		}
	}
	for i := range p.keys {
		keys := p.keys[i]
		if w.query.reverse {
			keys = p.keys[len(p.keys)-1-i]
		}
		var err error
		if p.index == nil {
			err = w.throughRows(p, keys)
		} else {
			err = w.throughIndex(p, keys)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// throughRows goes along the rows themselves.
func (w *walk[R]) throughRows(p *path[R], keys catalogue.KeyRange) error {
	if keys.Equal == 1 {
		return w.lookup(keys.Lo, nil)
	}
	return w.each(w.rows, keys, func(key, value []byte) error {
		if p.covers {
			return w.passBare()
		}
		return w.row(key, value)
	})
}

// throughIndex goes along the entries of an index.
func (w *walk[R]) throughIndex(p *path[R], keys catalogue.KeyRange) error {
	x := p.index
	entries := w.query.tx.In(x.keyspace)
	if !x.unique || keys.Equal < len(x.columns) {
		return w.each(entries, keys, func(key, value []byte) error { return w.entry(p, entries, key, value) })
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	value, err := entries.AppendGet((*buf)[:0], keys.Lo)
	*buf = value
	if errors.Is(err, lightning.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.entry(p, entries, keys.Lo, value)
}

// each calls see for what is in a range of a view.
func (w *walk[R]) each(tx *lightning.Tx, keys catalogue.KeyRange, see func(key, value []byte) error) (err error) {
	it, err := tx.Iterator(lightning.IterOptions{Lower: keys.Lo, Upper: keys.Hi})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	first, next := it.First, it.Next
	if w.query.reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		key, value := it.Key(), it.Value()
		// Both are nil where another goroutine is in the transaction.
		if len(key) == 0 || len(value) == 0 {
			if err := it.Err(); err != nil {
				return err
			}
		}
		if err := see(key, value); err != nil {
			return err
		}
	}
	return nil
}

// entry follows an index entry to its row.
func (w *walk[R]) entry(p *path[R], entries *lightning.Tx, key, value []byte) error {
	if p.covers {
		return w.passBare()
	}
	at, err := p.index.decode(w.ends, key, value)
	if err != nil {
		return err
	}
	w.ends = at.ends
	if w.collect != nil {
		return w.collect(at.primary)
	}
	if _, ok := w.met[string(at.primary)]; ok {
		return nil
	}
	return w.lookup(at.primary, func() error {
		// Either the caller has deleted the row while this was under way, and
		// then its entry is gone as well, or they are out of step.
		there, err := entries.Has(key)
		if err == nil && there {
			err = fmt.Errorf("index %s: entry %s has no row: %w", p.index.name, keyenc.Format(key),
				lightning.ErrCorrupted)
		}
		return err
	})
}

// meet remembers a row that has come, and reports whether it has come before.
func (w *walk[R]) meet(primary []byte) (before bool, err error) {
	if _, ok := w.met[string(primary)]; ok {
		return true, nil
	}
	if w.met == nil {
		w.met = map[string]struct{}{}
	}
	w.met[string(primary)] = struct{}{}
	w.metBytes += len(primary) + heldOverheadBytes
	return false, bounded(w.metBytes)
}

// lookup reads a row. absent, if not nil, says what it means that there is none.
func (w *walk[R]) lookup(primary []byte, absent func() error) error {
	buf := buffers.Get().(*[]byte)
	data, err := w.rows.AppendGet((*buf)[:0], primary)
	*buf = data
	if err == nil {
		err = w.row(primary, data)
		buffers.Put(buf)
		return err
	}
	buffers.Put(buf)
	if !errors.Is(err, lightning.ErrNotFound) {
		return err
	}
	if absent == nil {
		return nil
	}
	return absent()
}

// row gives a row if it meets all conditions: those that have bound the path as
// well, as the row may have changed since the path came to it.
func (w *walk[R]) row(primary, data []byte) error {
	q := w.query
	if w.repeats {
		if before, err := w.meet(primary); before || err != nil {
			return err
		}
	}
	rec, err := q.core.decode(primary, data)
	if err != nil {
		return err
	}
	ok, err := holdIn(q.conds, rec)
	if err != nil {
		return q.core.describe(err, primary)
	}
	if !ok {
		return nil
	}
	for _, keep := range q.filters {
		if !keep(rec) {
			return nil
		}
	}
	if w.sorter == nil && q.from == nil {
		return w.pass(primary, rec)
	}
	w.place, err = q.appendPlace(w.place[:0], primary, rec)
	switch {
	case err != nil:
		return q.core.describe(err, primary)
	case q.from != nil && !q.from.ComesBefore(w.place, q.reverse):
		return nil
	case w.sorter != nil:
		return w.sorter.add(bytes.Clone(w.place), len(primary), len(data), rec)
	}
	return w.pass(primary, rec)
}

// appendPlace appends what a row is sorted by: the values of the order, and the primary
// key.
func (q *Query[R]) appendPlace(dst, primary []byte, rec R) ([]byte, error) {
	for _, a := range q.order {
		var err error
		if dst, err = a.one(dst, rec); err != nil {
			return dst, fmt.Errorf("order by %s: %w", a.name, err)
		}
	}
	return append(dst, primary...), nil
}

// pass gives a row that is one of the result, unless the offset leaves it out. It ends
// the query at the limit.
func (w *walk[R]) pass(primary []byte, rec R) error {
	w.passed++
	if w.passed <= w.query.offset {
		return nil
	}
	if err := w.give(primary, rec); err != nil {
		return err
	}
	if w.query.limit > 0 && w.passed == w.query.offset+w.query.limit {
		return errStopped
	}
	return nil
}

// passBare is pass for a row that nobody looks at.
func (w *walk[R]) passBare() error {
	var none R
	return w.pass(nil, none)
}

// heldOverheadBytes is what a row costs beside its bytes, about.
const heldOverheadBytes = 64

func bounded(sizeBytes int) error {
	if sizeBytes > queryBytesMax {
		return fmt.Errorf("%w: more than %d MiB", ErrQueryMemory, queryBytesMax>>20)
	}
	return nil
}

// queryBytesMax is MaxQueryBytes; tests lower it.
var queryBytesMax = MaxQueryBytes
