package table

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// walk is a query on its way along a path.
type walk[R any] struct {
	query  *Query[R]
	path   *path[R]
	rows   *lightning.Tx // view of the rows
	yield  func(rec R, err error) bool
	sorter *sorter[R] // nil where rows are given as they come
	given  int

	met      map[string]struct{} // primary keys, where rows may come twice
	metBytes int
	ends     []int
}

// throughRows goes along the rows themselves.
func (w *walk[R]) throughRows() error {
	if w.path.keys.equal == 1 {
		return w.lookup(w.path.keys.lo, nil)
	}
	return w.each(w.rows, w.row)
}

// throughIndex goes along the entries of an index.
func (w *walk[R]) throughIndex() error {
	x := w.path.index
	entries := w.query.tx.In(x.keyspace)
	if !x.unique || w.path.keys.equal < len(x.columns) {
		return w.each(entries, func(key, value []byte) error { return w.entry(entries, key, value) })
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	value, err := entries.AppendGet((*buf)[:0], w.path.keys.lo)
	*buf = value
	if errors.Is(err, lightning.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return w.entry(entries, w.path.keys.lo, value)
}

// each calls see for what is in the path's range of a view.
func (w *walk[R]) each(tx *lightning.Tx, see func(key, value []byte) error) (err error) {
	it, err := tx.Iterator(lightning.IterOptions{Lower: w.path.keys.lo, Upper: w.path.keys.hi})
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
func (w *walk[R]) entry(entries *lightning.Tx, key, value []byte) error {
	p, err := w.path.index.decode(w.ends, key, value)
	if err != nil {
		return err
	}
	w.ends = p.ends
	if w.path.repeats {
		if _, ok := w.met[string(p.primary)]; ok {
			return nil
		}
		if err := w.meet(p.primary); err != nil {
			return err
		}
	}
	return w.lookup(p.primary, func() error {
		// Either the caller has deleted the row while this was under way, and
		// then its entry is gone as well, or they are out of step.
		there, err := entries.Has(key)
		if err == nil && there {
			err = fmt.Errorf("index %s: entry %s has no row: %w", w.path.index.name, keyenc.Format(key),
				lightning.ErrCorrupted)
		}
		return err
	})
}

// meet remembers a row that was given.
func (w *walk[R]) meet(primary []byte) error {
	if w.met == nil {
		w.met = map[string]struct{}{}
	}
	w.met[string(primary)] = struct{}{}
	w.metBytes += len(primary) + heldOverheadBytes
	return bounded(w.metBytes)
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
	rec, err := w.query.core.decode(primary, data)
	if err != nil {
		return err
	}
	for i := range w.query.conds {
		ok, err := w.query.conds[i].holdsIn(rec)
		if err != nil {
			return w.query.core.describe(err, primary)
		}
		if !ok {
			return nil
		}
	}
	for _, keep := range w.query.filters {
		if !keep(rec) {
			return nil
		}
	}
	if w.sorter != nil {
		return w.sorter.add(primary, len(data), rec)
	}
	w.given++
	if !w.yield(rec, nil) || w.given == w.query.limit {
		return errStopped
	}
	return nil
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

// sorter collects rows and gives them in order. With a limit it holds at most
// twice as many rows, and drops those that cannot be among the first.
type sorter[R any] struct {
	order     []*attribute[R]
	reverse   bool
	limit     int
	rows      []sorted[R]
	sizeBytes int
}

type sorted[R any] struct {
	key       []byte // the order's attributes, then the primary key
	sizeBytes int
	rec       R
}

func (s *sorter[R]) add(primary []byte, sizeBytes int, rec R) error {
	one := sorted[R]{rec: rec}
	for _, a := range s.order {
		var err error
		if one.key, err = a.one(one.key, rec); err != nil {
			return fmt.Errorf("order by %s: %w", a.name, err)
		}
	}
	one.key = append(one.key, primary...)
	one.sizeBytes = len(one.key) + sizeBytes + heldOverheadBytes
	s.rows = append(s.rows, one)
	s.sizeBytes += one.sizeBytes
	if s.limit > 0 && len(s.rows)/2 >= s.limit {
		s.sort()
	}
	return bounded(s.sizeBytes)
}

// sort sorts what is there and drops what is beyond the limit.
func (s *sorter[R]) sort() {
	slices.SortFunc(s.rows, func(a, b sorted[R]) int {
		if s.reverse {
			a, b = b, a
		}
		return bytes.Compare(a.key, b.key)
	})
	if s.limit == 0 || len(s.rows) <= s.limit {
		return
	}
	for _, dropped := range s.rows[s.limit:] {
		s.sizeBytes -= dropped.sizeBytes
	}
	clear(s.rows[s.limit:])
	s.rows = s.rows[:s.limit]
}

func (s *sorter[R]) drain(yield func(rec R, err error) bool) error {
	s.sort()
	for _, one := range s.rows {
		if !yield(one.rec, nil) {
			return errStopped
		}
	}
	return nil
}
