package loan

import (
	"errors"
	"strings"
	"testing"
)

// reports collects what a lender says.
type reports struct{ all []error }

func newLender() (*Lender, *reports) {
	r := &reports{}
	return NewLender(func(err error) { r.all = append(r.all, err) }), r
}

func TestLentIsACopy(t *testing.T) {
	l, r := newLender()
	memory := []byte("memory")
	n := l.Lend("Get", memory)
	n.Bytes()[2] = '!'
	if string(memory) != "memory" {
		t.Fatalf("the memory is %q", memory)
	}
	if &append(n.Bytes(), 'x')[0] == &n.Bytes()[0] {
		t.Error("there is room behind what was lent")
	}
	var found *Error
	if err := n.Return(); !errors.As(err, &found) || !errors.Is(err, ErrWritten) {
		t.Fatalf("%v", err)
	}
	if found.Verb != "Get" || found.Offset != 2 || found.SizeBytes != 6 || found.Late {
		t.Errorf("%+v", found)
	}
	if !strings.Contains(found.Stack, "TestLentIsACopy") || !strings.Contains(found.Error(), "loan_test.go:") {
		t.Errorf("nobody is named:\n%v", found)
	}
	if len(r.all) != 1 || l.Close() != nil {
		t.Errorf("reported %v; and Close says it again, or not", r.all)
	}
}

func TestHonestBorrower(t *testing.T) {
	l, r := newLender()
	for _, b := range [][]byte{nil, {}, []byte("x"), make([]byte, 3*returnedMaxBytes)} {
		n := l.Lend("Get", b)
		if len(n.Bytes()) != len(b) || (n.Bytes() == nil) != (b == nil) {
			t.Errorf("%d bytes, nil: %t, for %d, nil: %t", len(n.Bytes()), n.Bytes() == nil, len(b), b == nil)
		}
		if err := n.Return(); err != nil {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil || len(r.all) > 0 {
		t.Errorf("%v, %v", err, r.all)
	}
}

// TestKeptSlice is about one who has kept his slice: he reads a pattern, and is found
// when he writes.
func TestKeptSlice(t *testing.T) {
	for _, later := range []int{0, returnedMaxBytes/overheadBytes + 1} {
		l, r := newLender()
		n := l.Lend("Get", []byte("memory"))
		kept := n.Bytes()
		if err := n.Return(); err != nil {
			t.Fatal(err)
		}
		if kept[0] != pattern {
			t.Errorf("%q can still be read", kept)
		}
		kept[5] = 0
		for range later {
			if err := l.Lend("Get", []byte("other")).Return(); err != nil {
				t.Fatal(err)
			}
		}
		if (len(r.all) == 1) != (later > 0) {
			t.Errorf("%d loans later: %v", later, r.all)
		}
		var found *Error
		if err := l.Close(); !errors.As(err, &found) || !found.Late || found.Offset != 5 || len(r.all) != 1 {
			t.Errorf("%d loans later: Close says %v; reported %d", later, err, len(r.all))
		}
		if err := l.Close(); err != nil {
			t.Errorf("and once more: %v", err)
		}
	}
}

func TestReturnLater(t *testing.T) {
	l, r := newLender()
	for range 2 * maxLate {
		n := l.Lend("All", []byte("memory"))
		clear(n.Bytes())
		n.ReturnLater()
	}
	if len(r.all) != 2*maxLate {
		t.Errorf("%d of %d reported", len(r.all), 2*maxLate)
	}
	if err := l.Close(); strings.Count(err.Error(), "from All") != maxLate {
		t.Errorf("%v", err)
	}
}

func TestFunc(t *testing.T) {
	l, _ := newLender()
	own := errors.New("own")
	memory := []byte("memory")
	err := l.Func("Get", func(value []byte) error { clear(value); return own })(memory)
	if !errors.Is(err, own) || !errors.Is(err, ErrWritten) || string(memory) != "memory" {
		t.Errorf("%v, %q", err, memory)
	}
	if err := l.Func("Get", func([]byte) error { return own })(memory); err != own {
		t.Errorf("%v", err)
	}
}

func TestNilLenderLendsTheMemory(t *testing.T) {
	var l *Lender
	memory := []byte("memory")
	n := l.Lend("Get", memory)
	n.Bytes()[0] = 'M'
	if err := n.Return(); err != nil || string(memory) != "Memory" || l.Close() != nil {
		t.Errorf("%v, %q", err, memory)
	}
}
