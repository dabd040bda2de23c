// Package merge holds merge operators: how the operands that were written for a
// key become its value. The engine asks it when a key is read, when a memtable
// takes an operand, and when tables are merged; it knows no files and no
// versions.
//
// An operator must be a function of its arguments alone: the same operands are
// folded again and again, by different goroutines, after restarts too. All it
// gets belongs to the caller and must not be changed or kept. One that users have
// written gets copies, so that nothing depends on their keeping to that: what it gets
// lies in memtables and cached blocks, and is written to files if it fails.
package merge

import (
	"errors"
	"fmt"
)

// Operator is one way to merge.
type Operator struct {
	Name string
	// Check says what is wrong with an operand, before it is written. Nil
	// accepts all.
	Check func(operand []byte) error
	// CheckValue says what is wrong with a value, before it is written. Nil accepts
	// all.
	CheckValue func(value []byte) error
	// Merge appends to dst what the operands, the oldest first, make of value,
	// which is nil if the key has none.
	Merge func(dst, value []byte, operands [][]byte) ([]byte, error)
	// Combine appends to dst one operand that does what several do, the oldest
	// first; it returns false if there is none. Nil never combines.
	Combine func(dst []byte, operands [][]byte) ([]byte, bool)
}

// Operators tells the operator of a key; nil if it has none.
type Operators interface{ MergeOperator(key []byte) *Operator }

// For asks operators, which may be nil.
func For(o Operators, key []byte) *Operator {
	if o == nil {
		return nil
	}
	return o.MergeOperator(key)
}

// ErrMerge is matched by every *Error.
var ErrMerge = errors.New("merge failed")

// Error says that operands could not be applied to a key. They are kept, and the
// key cannot be read until it is overwritten or deleted.
type Error struct {
	Operator string // its name
	Key      []byte // with the prefix of its keyspace
	Err      error  // what the operator has returned
}

func (e *Error) Error() string {
	return fmt.Sprintf("merge %q into key %q: %v", e.Operator, e.Key, e.Err)
}

// Is makes errors.Is(err, ErrMerge) true.
func (e *Error) Is(target error) bool { return target == ErrMerge }

// Unwrap returns what the operator has returned.
func (e *Error) Unwrap() error { return e.Err }

var errNoOperator = errors.New("the keyspace has no merge operator")

// Fold appends to dst what the operands, the newest first, make of the value of
// a key, nil if it has none. It leaves operands as they are. An operator that
// fails, or panics, gives an *Error, and dst as it was.
func (op *Operator) Fold(dst, key, value []byte, operands [][]byte) (out []byte, err error) {
	if op == nil {
		return dst, &Error{Key: append([]byte(nil), key...), Err: errNoOperator}
	}
	reverse(operands)
	defer func() {
		reverse(operands)
		if reason := recover(); reason != nil {
			err = fmt.Errorf("operator panicked: %v", reason)
		}
		if err != nil {
			out, err = dst, &Error{Operator: op.Name, Key: append([]byte(nil), key...), Err: err}
		}
	}()
	return op.Merge(dst, value, operands)
}

// Join appends to dst the one operand that stands for all of them, the newest
// first, if there is one. It leaves operands as they are.
func (op *Operator) Join(dst []byte, operands [][]byte) (out []byte, ok bool) {
	if op == nil || op.Combine == nil {
		return dst, false
	}
	reverse(operands)
	defer func() {
		reverse(operands)
		if recover() != nil {
			out, ok = dst, false // the fold will say it
		}
	}()
	return op.Combine(dst, operands)
}

// onCopies returns an operator that calls the functions of op with copies of all that
// it must not change. To dst it can only append.
func onCopies(op Operator) Operator {
	safe := op
	safe.Merge = func(dst, value []byte, operands [][]byte) ([]byte, error) {
		all := cloneAll(append(operands[:len(operands):len(operands)], value))
		n := len(operands)
		out, err := op.Merge(behind(dst), all[n], all[:n:n])
		if err != nil {
			return dst, err
		}
		return append(dst, out...), nil
	}
	if op.Combine != nil {
		safe.Combine = func(dst []byte, operands [][]byte) ([]byte, bool) {
			out, ok := op.Combine(behind(dst), cloneAll(operands))
			if !ok {
				return dst, false
			}
			return append(dst, out...), true
		}
	}
	return safe
}

// behind returns the room behind a slice, empty. What is appended there, and then to
// the slice, need not be moved.
func behind(dst []byte) []byte { return dst[len(dst):len(dst):cap(dst)] }

// cloneAll returns copies of slices, in memory of their own; nil for nil.
func cloneAll(slices [][]byte) [][]byte {
	sizeBytes := 0
	for _, s := range slices {
		sizeBytes += len(s)
	}
	memory := make([]byte, 0, sizeBytes)
	clones := make([][]byte, len(slices))
	for i, s := range slices {
		if s != nil {
			at := len(memory)
			memory = append(memory, s...)
			clones[i] = memory[at:len(memory):len(memory)]
		}
	}
	return clones
}

func reverse(s [][]byte) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

// Registry is a set of operators by name. It does not change once it is made.
type Registry map[string]*Operator

// NewRegistry returns the built-in operators and others.
func NewRegistry(others []Operator) (Registry, error) {
	r := Registry{}
	for i, list := range [][]Operator{builtIn(), others} {
		for _, op := range list {
			switch {
			case op.Name == "":
				return nil, errors.New("merge operator has no name")
			case len(op.Name) > MaxNameBytes:
				return nil, fmt.Errorf("name of a merge operator has %d bytes, more than %d",
					len(op.Name), MaxNameBytes)
			case op.Merge == nil:
				return nil, fmt.Errorf("merge operator %q has no function", op.Name)
			case r[op.Name] != nil:
				return nil, fmt.Errorf("merge operator %q is there twice", op.Name)
			}
			if i > 0 {
				op = onCopies(op)
			}
			r[op.Name] = &op
		}
	}
	return r, nil
}

// MaxNameBytes is the longest name of an operator.
const MaxNameBytes = 255
