package lightning

import (
	"iter"

	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/loan"
)

// This file is Options.Debug.CheckSlices: the verbs that lend memory lend copies by
// way of a loan.Lender. Where the option is off there is none, and what is here is
// passed by; a nil one lends the memory itself.

// newLender returns the lender of a database, nil if slices are not to be checked.
func newLender(o *Options) *loan.Lender {
	if !o.Debug.CheckSlices {
		return nil
	}
	return loan.NewLender(event.NewSink(o.Logger, nil).SliceWritten)
}

// lentRows are rows whose key and value are lent until the next move. What is found
// when they come back ends the walk.
type lentRows struct {
	rows
	lender *loan.Lender
	loans  [2]*loan.Loan // key and value; nil until somebody asks
	err    error
}

const (
	lentKey = iota
	lentValue
)

// lentBy returns rows whose key and value are lent.
func lentBy(lender *loan.Lender, r rows) rows {
	if lender == nil {
		return r
	}
	return &lentRows{rows: r, lender: lender}
}

// lend returns a copy of a part of the row, the same one until the next move.
func (r *lentRows) lend(part int, verb string, memory []byte) []byte {
	if memory == nil || r.err != nil {
		return nil
	}
	if r.loans[part] == nil {
		r.loans[part] = r.lender.Lend(verb, memory)
	}
	return r.loans[part].Bytes()
}

// takeBack ends the loans of the row; it reports whether all is well.
func (r *lentRows) takeBack() bool {
	for i, n := range r.loans {
		if n != nil {
			r.loans[i] = nil
			r.err = loan.Join(r.err, n.Return())
		}
	}
	return r.err == nil
}

func (r *lentRows) First() bool            { return r.takeBack() && r.rows.First() }
func (r *lentRows) Last() bool             { return r.takeBack() && r.rows.Last() }
func (r *lentRows) SeekGE(key []byte) bool { return r.takeBack() && r.rows.SeekGE(key) }
func (r *lentRows) SeekLT(key []byte) bool { return r.takeBack() && r.rows.SeekLT(key) }
func (r *lentRows) Next() bool             { return r.takeBack() && r.rows.Next() }
func (r *lentRows) Prev() bool             { return r.takeBack() && r.rows.Prev() }
func (r *lentRows) Valid() bool            { return r.err == nil && r.rows.Valid() }

func (r *lentRows) Key() []byte   { return r.lend(lentKey, "Iterator.Key", r.rows.Key()) }
func (r *lentRows) Value() []byte { return r.lend(lentValue, "Iterator.Value", r.rows.Value()) }

func (r *lentRows) Err() error { return loan.Join(r.rows.Err(), r.err) }

func (r *lentRows) Close() error {
	r.takeBack()
	return loan.Join(r.rows.Close(), r.err)
}

// lentValues returns fn, which gets the values of a MultiGet, for values that are
// lent.
func lentValues(
	lender *loan.Lender, fn func(i int, value []byte, err error) error,
) func(i int, value []byte, err error) error {
	if lender == nil {
		return fn
	}
	return func(i int, value []byte, err error) error {
		n := lender.Lend("MultiGet", value)
		return loan.Join(fn(i, n.Bytes(), err), n.Return())
	}
}

// lentOps are the operations of a batch with slices that are lent for one turn of
// the loop.
func lentOps(lender *loan.Lender, ops iter.Seq[BatchOp]) iter.Seq[BatchOp] {
	if lender == nil {
		return ops
	}
	return func(yield func(BatchOp) bool) {
		for op := range ops {
			loans := lendAll(lender, "Batch.All", &op.Key, &op.End, &op.Value)
			more := yield(op)
			for _, n := range loans {
				n.ReturnLater()
			}
			if !more {
				return
			}
		}
	}
}

// lendAll puts copies that are lent in the place of slices.
func lendAll(lender *loan.Lender, verb string, slices ...*[]byte) []*loan.Loan {
	var loans []*loan.Loan
	for _, s := range slices {
		n := lender.Lend(verb, *s)
		*s = n.Bytes()
		loans = append(loans, n)
	}
	return loans
}

// lentOperator is an operator whose value and operands are lent for one call.
func lentOperator(lender *loan.Lender, op MergeOperator) MergeOperator {
	if lender == nil || op.Merge == nil {
		return op
	}
	lent := op
	lent.Merge = func(dst, value []byte, operands [][]byte) ([]byte, error) {
		v := lender.Lend("MergeOperator.Merge", value)
		own, loans := lendOperands(lender, "MergeOperator.Merge", operands)
		out, err := op.Merge(dst, v.Bytes(), own)
		return out, loan.Join(err, returnAll(append(loans, v)))
	}
	if op.Combine != nil {
		lent.Combine = func(dst []byte, operands [][]byte) ([]byte, bool) {
			own, loans := lendOperands(lender, "MergeOperator.Combine", operands)
			out, ok := op.Combine(dst, own)
			return out, ok && returnAll(loans) == nil
		}
	}
	return lent
}

func lendOperands(lender *loan.Lender, verb string, operands [][]byte) ([][]byte, []*loan.Loan) {
	own := make([][]byte, len(operands))
	loans := make([]*loan.Loan, len(operands))
	for i, operand := range operands {
		loans[i] = lender.Lend(verb, operand)
		own[i] = loans[i].Bytes()
	}
	return own, loans
}

// returnAll ends loans and returns what was found.
func returnAll(loans []*loan.Loan) (err error) {
	for _, n := range loans {
		err = loan.Join(err, n.Return())
	}
	return err
}
