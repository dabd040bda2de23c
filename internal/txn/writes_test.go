package txn

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// plain is the model of Writes: what the writes so far say of each key, and the
// states of earlier steps.
type plain struct {
	says   map[string]*string // nil: deleted
	adds   map[string]string  // operands, the oldest first, for what is not in says
	ranges [][2]string
}

func (p *plain) clone() *plain {
	return &plain{maps.Clone(p.says), maps.Clone(p.adds), slices.Clone(p.ranges)}
}

func (p *plain) set(key string, value *string) {
	p.says[key] = value
	delete(p.adds, key)
}

func (p *plain) get(key string) (string, Outcome) {
	if operands, ok := p.adds[key]; ok {
		return operands, Merged
	}
	if v, ok := p.says[key]; ok {
		if v == nil {
			return "", Deleted
		}
		return *v, Present
	}
	for _, r := range p.ranges {
		if r[0] <= key && key < r[1] {
			return "", Deleted
		}
	}
	return "", Untouched
}

func (p *plain) deleteRange(lo, hi string) {
	p.ranges = append(p.ranges, [2]string{lo, hi})
	for n := range 31 {
		_, outcome := p.get(key(n))
		if k := key(n); outcome != Untouched && lo <= k && k < hi {
			p.set(k, nil)
		}
	}
}

func key(n int) string { return fmt.Sprintf("k%02d", n) }

// change makes one random write to both.
func change(r *rand.Rand, w *Writes, p *plain) {
	k := key(r.IntN(30))
	switch r.IntN(8) {
	case 0:
		w.Delete([]byte(k))
		p.set(k, nil)
	case 2, 3:
		operand := fmt.Sprintf(",%d", r.IntN(1000))
		value, outcome := p.get(k)
		if outcome == Untouched || outcome == Merged {
			if p.adds == nil {
				p.adds = map[string]string{}
			}
			w.Merge([]byte(k), []byte(operand))
			p.adds[k] += operand
			break
		}
		value += operand
		w.Put([]byte(k), []byte(value))
		p.set(k, &value)
	case 1:
		lo, hi := key(r.IntN(30)), key(r.IntN(31))
		w.DeleteRange([]byte(lo), []byte(hi))
		p.deleteRange(lo, hi)
	default:
		v := fmt.Sprint(r.IntN(1000))
		if r.IntN(8) == 0 {
			v = ""
		}
		if r.IntN(4) == 0 {
			w.PutExpiring([]byte(k), []byte(v), 1)
		} else {
			w.Put([]byte(k), []byte(v))
		}
		p.set(k, &v)
	}
}

func checkWrites(t *testing.T, w *Writes, p *plain) {
	t.Helper()
	for n := range 31 {
		value, outcome, err := w.Get([]byte(key(n)))
		if err != nil {
			t.Fatal(err)
		}
		want, wantOutcome := p.get(key(n))
		if outcome == Merged && wantOutcome == Merged {
			operands, err := w.Operands(nil, []byte(key(n)))
			slices.Reverse(operands)
			if all := string(bytes.Join(operands, nil)); all != want || err != nil {
				t.Fatalf("%s: operands %q, %v; the model has %q", key(n), all, err, want)
			}
		}
		if outcome != wantOutcome || outcome == Present && string(value) != want {
			t.Fatalf("%s: %q, %v; the model has %q, %v", key(n), value, outcome, want, wantOutcome)
		}
	}
}

// savepoints are places to which writes and their model can be rolled back.
type savepoints []struct {
	step Step
	p    *plain
}

func (s *savepoints) note(w *Writes, p *plain) {
	*s = append(*s, struct {
		step Step
		p    *plain
	}{w.Step(), p.clone()})
}

// rollBack goes back to a place at random, if there is one, and returns the model
// of it.
func (s *savepoints) rollBack(r *rand.Rand, w *Writes, p *plain) *plain {
	if len(*s) == 0 {
		return p
	}
	i := r.IntN(len(*s))
	w.RollBack((*s)[i].step)
	*s = (*s)[:i+1]
	return (*s)[i].p.clone()
}

func TestWritesAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		w, p := &Writes{}, &plain{says: map[string]*string{}}
		var places savepoints
		for range 80 {
			switch r.IntN(12) {
			case 0:
				places.note(w, p)
			case 1:
				p = places.rollBack(r, w, p)
			default:
				change(r, w, p)
			}
			checkWrites(t, w, p)
		}
		checkReplay(t, w, p)
	}
}

// replayed applies what it is given to a map over some rows.
type replayed map[string]string

func (m replayed) Put(key, value []byte) error { m[string(key)] = string(value); return nil }
func (m replayed) PutExpiring(key, value []byte, _ base.Instant) error {
	m[string(key)] = string(value)
	return nil
}
func (m replayed) Merge(key, operand []byte) error { m[string(key)] += string(operand); return nil }
func (m replayed) Delete(key []byte) error         { delete(m, string(key)); return nil }
func (m replayed) DeleteRange(lo, hi []byte) error {
	for key := range m {
		if string(lo) <= key && key < string(hi) {
			delete(m, key)
		}
	}
	return nil
}

func rows(every int) replayed {
	m := replayed{}
	for n := 0; n < 31; n += every {
		m[key(n)] = "row" + key(n)
	}
	return m
}

func checkReplay(t *testing.T, w *Writes, p *plain) {
	t.Helper()
	got, want := rows(2), overlay(rows(2), p)
	if err := w.Replay(got); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("replayed to %v, not %v", got, want)
	}
}

// overlay returns rows with the model's writes over them.
func overlay(m replayed, p *plain) replayed {
	out := replayed{}
	for n := range 31 {
		switch value, outcome := p.get(key(n)); outcome {
		case Present:
			out[key(n)] = value
		case Merged:
			out[key(n)] = m[key(n)] + value
		case Untouched:
			if v, ok := m[key(n)]; ok {
				out[key(n)] = v
			}
		}
	}
	return out
}

func TestWritesKeepTheirOwnCopies(t *testing.T) {
	w := &Writes{}
	b := []byte("abc")
	w.Put(b, b)
	w.DeleteRange(b, []byte("abd"))
	w.Put(b, b)
	b[0] = 'x'
	if v, outcome, _ := w.Get([]byte("abc")); outcome != Present || string(v) != "abc" {
		t.Errorf("%q %v", v, outcome)
	}
	large := bytes.Repeat([]byte("l"), 3*memoryPieceSize)
	w.Put([]byte("large"), large)
	large[0] = 'x'
	if v, _, _ := w.Get([]byte("large")); len(v) != len(large) || v[0] != 'l' {
		t.Error("a large value was not copied")
	}
	if w.Len() != 4 || w.SizeBytes() < len(large) {
		t.Errorf("%d writes of %d bytes", w.Len(), w.SizeBytes())
	}
}

func BenchmarkWritesPut(b *testing.B) {
	var keys [1024][]byte
	for i := range keys {
		keys[i] = []byte(fmt.Sprintf("key%08d", i*7919%1024))
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &Writes{}
		for i := range 10 {
			w.Put(keys[i], keys[i])
		}
	}
}

// counted counts what it is given.
type counted struct{ puts, merges, deletes, ranges int }

func (c *counted) Put(_, _ []byte) error { c.puts++; return nil }
func (c *counted) PutExpiring(_, _ []byte, _ base.Instant) error {
	c.puts++
	return nil
}
func (c *counted) Merge(_, _ []byte) error       { c.merges++; return nil }
func (c *counted) Delete([]byte) error           { c.deletes++; return nil }
func (c *counted) DeleteRange(_, _ []byte) error { c.ranges++; return nil }

// A key that was written often costs the commit one write.
func TestReplayPassesOnlyTheNewest(t *testing.T) {
	w := &Writes{}
	for range 5 {
		w.Put([]byte("a"), []byte("1"))
		w.Delete([]byte("b"))
		w.Put([]byte("b"), []byte("1"))
		w.Delete([]byte("c"))
	}
	for range 3 {
		w.Merge([]byte("m"), []byte("1")) // each of them counts
	}
	w.DeleteRange([]byte("x"), []byte("y"))
	var got counted
	if err := w.Replay(&got); err != nil || got != (counted{puts: 2, merges: 3, deletes: 1, ranges: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
}
