// Package loan finds those who write into memory that the database has lent them.
//
// A Lender lends copies, so that nothing is done to the database itself. A copy is
// looked at when it comes back, and filled with a pattern then; the newest of those
// that came back are kept for a while, so that one who has kept his slice and writes
// into it is found as well. It is for debugging: each loan costs two copies, an
// allocation and a walk of the stack.
package loan

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
)

// ErrWritten is matched by every *Error.
var ErrWritten = errors.New("memory of the database was written to")

// Error says that somebody has written into a slice that was lent to him.
type Error struct {
	Verb string // by which it was lent: "DB.GetFunc"
	// Offset is that of the first byte that differs, SizeBytes how many were lent.
	Offset, SizeBytes int
	// Late says that it was written to when it was not valid any more: somebody has
	// kept it.
	Late bool
	// Stack is that of the call that got it, a function and its place in a line each.
	Stack string
}

func (e *Error) Error() string {
	late := ""
	if e.Late {
		late = " when it was not valid any more"
	}
	return fmt.Sprintf("%v: the slice of %d bytes from %s, at byte %d%s; it was handed out by\n%s",
		ErrWritten, e.SizeBytes, e.Verb, e.Offset, late, e.Stack)
}

// Is makes errors.Is(err, ErrWritten) true.
func (e *Error) Is(target error) bool { return target == ErrWritten }

const (
	// returnedMaxBytes is how much of what came back is kept to be looked at.
	returnedMaxBytes = 1 << 20
	// overheadBytes is about what a loan takes besides its slices.
	overheadBytes = 320
	// pattern fills what came back, for those who read what they have kept.
	pattern = 0xdb
)

// Lender lends copies. A nil Lender lends the memory itself, and nothing is found.
// It is safe for concurrent use.
type Lender struct {
	report func(err error)

	mu            sync.Mutex
	returned      []*Loan // oldest first
	returnedBytes int
	late          []error // what was found since nobody could be told
}

// maxLate is how many findings Close returns at most; report gets all.
const maxLate = 16

// NewLender returns a lender that tells report, which must not call it, of
// everything that it finds.
func NewLender(report func(err error)) *Lender { return &Lender{report: report} }

// Loan is a slice that was lent. It is used by one goroutine at a time.
type Loan struct {
	lender *Lender
	verb   string
	lent   []byte
	was    []byte // what it has to be
	stack  [32]uintptr
	depth  int
}

// Lend lends a copy of b. verb is how the caller knows the call by which he gets it.
func (l *Lender) Lend(verb string, b []byte) *Loan {
	if l == nil {
		return &Loan{lent: b}
	}
	n := &Loan{lender: l, verb: verb, lent: bytes.Clone(b), was: bytes.Clone(b)}
	n.lent = n.lent[:len(b):len(b)]
	n.depth = runtime.Callers(2, n.stack[:])
	return n
}

// Bytes returns what was lent: nil for nil.
func (n *Loan) Bytes() []byte { return n.lent }

// Return ends the loan: from here on the slice must not be used. It returns an
// *Error if it was written to.
func (n *Loan) Return() error {
	if n.lender == nil || len(n.lent) == 0 {
		return nil
	}
	err := n.check(false)
	if err != nil {
		n.lender.report(err)
	}
	for i := range n.was {
		n.was[i] = pattern
	}
	copy(n.lent, n.was)
	n.lender.keep(n)
	return err
}

// check compares the slice with what it has to be.
func (n *Loan) check(late bool) error {
	for i, b := range n.was {
		if n.lent[i] != b {
			return &Error{Verb: n.verb, Offset: i, SizeBytes: len(n.was), Late: late, Stack: n.trace()}
		}
	}
	return nil
}

// trace returns who got the loan, the innermost call first.
func (n *Loan) trace() string {
	var text strings.Builder
	frames := runtime.CallersFrames(n.stack[:n.depth])
	for more := n.depth > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			fmt.Fprintf(&text, "\t%s %s:%d\n", f.Function, f.File, f.Line)
		}
	}
	return text.String()
}

// keep takes a slice that came back, and looks at those that have to go for it.
func (l *Lender) keep(n *Loan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned = append(l.returned, n)
	l.returnedBytes += n.heldBytes()
	for l.returnedBytes > returnedMaxBytes {
		l.forgetOldest()
	}
}

// forgetOldest looks for the last time at what came back first. The caller holds the
// lock.
func (l *Lender) forgetOldest() {
	n := l.returned[0]
	l.returned = l.returned[1:]
	l.returnedBytes -= n.heldBytes()
	if err := n.check(true); err != nil {
		l.report(err)
		l.note(err)
	}
}

func (n *Loan) heldBytes() int { return len(n.lent) + len(n.was) + overheadBytes }

// note keeps a finding that no call can return. The caller holds the lock.
func (l *Lender) note(err error) {
	if len(l.late) < maxLate {
		l.late = append(l.late, err)
	}
}

// ReturnLater is Return where nobody can be told: Close returns what is found.
func (n *Loan) ReturnLater() {
	err := n.Return()
	if err == nil {
		return
	}
	n.lender.mu.Lock()
	defer n.lender.mu.Unlock()
	n.lender.note(err)
}

// Close looks at everything that came back, and returns what was found that no call
// could return. It may be called again, for what comes back later.
func (l *Lender) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.returned) > 0 {
		l.forgetOldest()
	}
	err := errors.Join(l.late...)
	l.late = nil
	return err
}

// Func returns fn for values that are lent, each until fn returns.
func (l *Lender) Func(verb string, fn func(value []byte) error) func([]byte) error {
	if l == nil {
		return fn
	}
	return func(value []byte) error {
		n := l.Lend(verb, value)
		return Join(fn(n.Bytes()), n.Return())
	}
}

// Join returns the error of one who got a loan, with what was found when it came
// back.
func Join(err, found error) error {
	if found == nil {
		return err
	}
	return errors.Join(err, found)
}
