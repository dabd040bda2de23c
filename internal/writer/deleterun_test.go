package writer

import (
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
)

// Deletes in ascending order are noted, each part where the last one ended, and what
// could not be noted goes with the next.
func TestDeletesAreNoted(t *testing.T) {
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
	dead := deadrange.New(func([]byte, []byte, base.SeqNum) bool { return true })
	var run deleteRun
	part := noteDeletes()
	del := func(from, to int) {
		for i := from; i < to; i++ {
			run.add(key(i), dead)
		}
	}
	want := func(from, to int) {
		t.Helper()
		p, ok := dead.Begin()
		lo, hi := p.Lo, p.Hi
		dead.Abandon(p)
		switch {
		case to == 0 && ok:
			t.Errorf("noted are %q-%q", lo, hi)
		case to > 0 && (string(lo) != string(key(from)) && string(lo) != string(key(from-1))+"\x00" ||
			string(hi) != string(key(to-1))+"\x00"):
			t.Errorf("noted are %q-%q, want those of %d to %d", lo, hi, from, to)
		}
	}
	del(0, part-1)
	want(0, 0)
	del(0, part) // backwards: a new beginning
	want(0, part)
	del(part, 3*part) // nobody has taken the first part before the second one
	want(part, 3*part)
	dead.Note([]byte("x"), []byte("y"))
	del(3*part, 4*part) // another one waits
	p, _ := dead.Begin()
	dead.Abandon(p)
	del(4*part, 5*part)
	want(3*part, 5*part)
	del(5*part, 6*part-1)
	want(0, 0)
	del(5, 6)
	want(0, 0)
}

// Range deletes that touch are noted together, from either end; others begin anew.
func TestRangeDeletesAreNoted(t *testing.T) {
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
	dead := deadrange.New(func([]byte, []byte, base.SeqNum) bool { return true })
	var run rangeRun
	want := func(when string, from, to int) {
		t.Helper()
		p, ok := dead.Begin()
		lo, hi := p.Lo, p.Hi
		dead.Abandon(p)
		if ok != (to > 0) || ok && (string(lo) != string(key(from)) || string(hi) != string(key(to))) {
			t.Errorf("%s: noted are %q-%q, %v", when, lo, hi, ok)
		}
	}
	const part = noteRanges
	for i := range part - 1 {
		run.add(key(10*i), key(10*i+10), dead)
	}
	want("too few", 0, 0)
	run.add(key(10*part-15), key(10*part), dead)
	want("a window", 0, 10*part)
	for i := part; i < 2*part; i++ {
		run.add(key(10*i), key(10*i+10), dead)
	}
	want("the next part of it", 10*part, 20*part)
	for i := range 3 * part {
		run.add(key(1000+20*i), key(1000+20*i+10), dead)
	}
	want("gaps", 0, 0)
	for i := part; i > 0; i-- {
		run.add(key(10*i), key(10*i+10), dead)
	}
	want("from the end", 10, 10*part+10)
	for i := range part {
		run.add(key(0), key(500+i), dead)
	}
	want("all from the begin", 0, 500+part-1)
}
