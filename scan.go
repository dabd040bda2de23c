package lightning

import (
	"context"
	"iter"

	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/view"
)

// scan is what the function given to Scan ranges over: rows that belong to the scan
// alone, but for the transaction that they may be of.
//
// One loop at a time is in it, and has the rows to itself. Where they are of a
// transaction it enters that for each step only, since the body of the loop may use
// the transaction too.
type scan struct {
	rows    rows
	reverse bool
	tx      *inuse.Word // of the transaction; nil: there is none
	loop    inuse.Word
	late    func(error) // takes the error of a loop that begins after the end
	ended   bool
}

// run calls fn with the rows and closes them.
func (s *scan) run(fn func(rows iter.Seq2[[]byte, []byte]) error) (err error) {
	defer func() { // also where fn panics: someone above may recover
		if endErr := s.end(); err == nil {
			err = endErr
		}
	}()
	if fn == nil {
		return errNilFunction
	}
	return fn(s.all)
}

// all is the range-over-func form of the rows. It can be ranged over again, but not
// within itself.
func (s *scan) all(yield func(key, value []byte) bool) {
	if !s.loop.Enter() {
		return // end says it
	}
	defer s.loop.Leave()
	if s.ended {
		s.late(errRowsKept)
		return
	}
	if rows, ok := s.rows.(*view.Iterator); ok && s.tx == nil {
		rows.Pass(s.reverse, yield)
		return
	}
	first, next := s.rows.First, s.rows.Next
	if s.reverse {
		first, next = s.rows.Last, s.rows.Prev
	}
	for ok := s.step(first); ok; ok = s.step(next) {
		if !yield(s.rows.Key(), s.rows.Value()) {
			return
		}
	}
}

// step makes a move.
func (s *scan) step(move func() bool) bool {
	if s.tx == nil {
		return move()
	}
	if !s.tx.Enter() {
		return false // the transaction remembers it
	}
	defer s.tx.Leave()
	return move()
}

// end closes the rows and says what was wrong. Where fn has left a loop behind, in
// another goroutine, they are closed when it ends.
func (s *scan) end() error {
	if !s.loop.Enter() {
		s.loop.WhenFree(func() { _ = s.close() })
		return ErrConcurrentUse
	}
	defer s.loop.Leave()
	err := s.close()
	if misused := s.loop.Err(); misused != nil {
		return misused
	}
	return err
}

func (s *scan) close() error {
	s.ended = true
	if s.tx == nil {
		return s.rows.Close()
	}
	return closeRows(s.rows, s.tx)
}

// Range is the keys in [Lo, Hi); nil is no bound.
type Range struct{ Lo, Hi []byte }

// Options returns the options of an iterator over the range. Their slices are those of the
// range, and belong to the caller.
func (r Range) Options() IterOptions { return IterOptions{Lower: r.Lo, Upper: r.Hi} }

// maxParts is into how many ranges one is divided at most.
const maxParts = 1 << 10

// countSteps is how many rows are counted between two looks at the context.
const countSteps = 1024

// count returns how many rows a scan of [lo, hi) shows; nil is no bound.
func count(ctx context.Context, lo, hi []byte, scan func(ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error) (int64, error) {
	if ctx == nil {
		return 0, errNilContext
	}
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	n := int64(0)
	err := scan(ScanOptions{IterOptions: IterOptions{Lower: lo, Upper: hi, KeysOnly: true}}, func(rows iter.Seq2[[]byte, []byte]) error {
		for range rows {
			if n++; n%countSteps == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
