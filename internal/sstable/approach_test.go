package sstable

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/invariant"
)

// arrive goes all the way to a key, and returns what it has come to, in how many steps.
func arrive(t *testing.T, r *Reader, key string, seq base.SeqNum) (Arrival, int) {
	t.Helper()
	var a Approach
	a.Begin(r)
	for steps := 1; steps <= 20; steps++ {
		if came := a.Step([]byte(key), base.Hash([]byte(key)), seq); came != Underway {
			return came, steps
		}
	}
	t.Fatalf("%q: there is no end", key)
	return 0, 0
}

// An approach comes as far as the cache goes, reads nothing, and tells of no key that is
// there that it is not.
func TestApproach(t *testing.T) {
	f, m, r := openLong(t)
	g := r.o.Epochs.Enter()
	defer g.Exit()
	steps := func(key string) (n int) {
		read := readsOf(f, func() {
			var came Arrival
			if came, n = arrive(t, r, key, 9); came != Arrived {
				t.Errorf("%q: came to %v", key, came)
			}
		})
		if read != 0 {
			t.Errorf("%q: %d reads", key, read)
		}
		return n
	}
	key := string(m[len(m)/2].key)
	before := steps(key)
	if _, err := r.MayContain(base.Hash([]byte(key))); err != nil {
		t.Fatal(err)
	}
	filtered := steps(key)
	if _, _, found, err := r.Get([]byte(key), base.Hash([]byte(key)), 9); err != nil || !found {
		t.Fatal(found, err)
	}
	if all := steps(key); !(before < filtered && filtered < all) {
		t.Errorf("%d steps with nothing in the cache, %d with the filter, %d with all", before, filtered, all)
	}
	for i := range m {
		if _, _, _, err := r.Get(m[i].key, base.Hash(m[i].key), 9); err != nil {
			t.Fatal(err)
		}
		if came, _ := arrive(t, r, string(m[i].key), 9); came != Arrived {
			t.Errorf("%q: came to %v", m[i].key, came)
		}
	}
	expectTaken(t, r, m)
	absent := 0
	for i := range 200 {
		if came, _ := arrive(t, r, fmt.Sprintf("key%06dx", i), 9); came == NotThere {
			absent++
		}
	}
	if absent < 190 {
		t.Errorf("%d of 200 keys are known to be absent", absent)
	}
	if came, _ := arrive(t, r, "z", 9); came != NotThere {
		t.Errorf("behind the last key: came to %v", came)
	}
}

func TestApproachDoesNotAllocate(t *testing.T) {
	if invariant.Enabled {
		t.Skip("checks allocate")
	}
	_, m, r := openLong(t)
	g := r.o.Epochs.Enter()
	defer g.Exit()
	key := string(m[3].key)
	if _, _, _, err := r.Get(m[3].key, base.Hash(m[3].key), 9); err != nil {
		t.Fatal(err)
	}
	hash := base.Hash(m[3].key)
	var a Approach
	if n := testing.AllocsPerRun(100, func() {
		for a.Begin(r); a.Step(m[3].key, hash, 9) == Underway; {
		}
	}); n != 0 {
		t.Errorf("%q: %v allocations", key, n)
	}
}

// Tables whose numbers are raised have no key for readers who are older.
func TestApproachOfRaisedTable(t *testing.T) {
	f, m := longTable(t)
	r := openRaised(t, f, 8<<20, 100)
	if came, _ := arrive(t, r, string(m[0].key), 50); came != NotThere {
		t.Errorf("an older reader came to %v", came)
	}
}

// expectTaken takes every record of a table that is all in the cache, as of several numbers.
func expectTaken(t *testing.T, r *Reader, m model) {
	t.Helper()
	for i := range m {
		key, hash := m[i].key, base.Hash(m[i].key)
		for seq := range base.SeqNum(12) {
			var a Approach
			a.Begin(r)
			for a.Step(key, hash, seq) == Underway {
			}
			tr, value, ok := a.Take(key, hash, seq)
			wantTr, want, found, err := r.Get(key, hash, seq)
			if err != nil || ok != found || tr != wantTr || !bytes.Equal(value, want) {
				t.Fatalf("%q at %d: %v, %q, %v; want %v, %q, %v, %v", key, seq, tr, value, ok, wantTr, want, found, err)
			}
		}
	}
}
