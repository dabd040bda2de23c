package txn

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// newestOf is layers.newest the slow way.
func newestOf(all []rangeDelete, key []byte) Step {
	for i := len(all) - 1; i >= 0; i-- {
		if bytes.Compare(all[i].lo, key) <= 0 && bytes.Compare(key, all[i].hi) < 0 {
			return all[i].step
		}
	}
	return -1
}

func TestDeletesAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 22))
		var d deletes
		var model []rangeDelete
		type past struct {
			layers layers
			model  []rangeDelete
		}
		var seen []past
		for step := range Step(120) {
			if to := step - Step(r.IntN(30)); r.IntN(12) == 0 {
				d.rollBack(to)
				for len(model) > 0 && model[len(model)-1].step >= to {
					model = model[: len(model)-1 : len(model)-1]
				}
			} else {
				lo, hi := r.IntN(40), r.IntN(41)
				if r.IntN(4) > 0 {
					hi = lo + r.IntN(4)
				}
				one := rangeDelete{step, []byte(key(lo)), []byte(key(hi))}
				d.add(one)
				model = append(model, one)
			}
			if r.IntN(10) == 0 {
				seen = append(seen, past{d.layers, model})
			}
			for _, p := range append(seen, past{d.layers, model}) {
				at := []byte(key(r.IntN(42)))
				if got, want := p.layers.newest(at), newestOf(p.model, at); got != want {
					t.Fatalf("seed %d, step %d: %d over %s, want %d of %v", seed, step, got, at, want, p.model)
				}
			}
		}
	}
}

// However the deletes lie, each is copied a logarithmic number of times, and a
// search has that many layers to look into.
func TestDeletesCostALogarithm(t *testing.T) {
	const count = 1 << 12
	r := rand.New(rand.NewPCG(1, 22))
	for shape, bounds := range map[string]func(n int) (lo, hi int){
		"ascending":  func(n int) (int, int) { return 2 * n, 2*n + 1 },
		"descending": func(n int) (int, int) { return 2 * (count - n), 2*(count-n) + 1 },
		"growing":    func(n int) (int, int) { return count - n, count + n + 1 },
		"shrinking":  func(n int) (int, int) { return n, 2*count - n },
		"random":     func(int) (int, int) { lo := r.IntN(count); return lo, lo + 1 + r.IntN(count-lo) },
	} {
		var d deletes
		copied := 0
		for n := range count {
			lo, hi := bounds(n)
			d.add(rangeDelete{Step(n), fmt.Appendf(nil, "%06d", lo), fmt.Appendf(nil, "%06d", hi)})
			top := d.layers[len(d.layers)-1]
			copied += len(top.pieces)
			if len(d.layers) > bits.Len(uint(n+1)) || len(top.pieces) > 2*top.count {
				t.Fatalf("%s, %d deletes: %d layers, the last of %d has %d pieces", shape, n+1, len(d.layers),
					top.count, len(top.pieces))
			}
		}
		if most := 2 * count * bits.Len(count); copied > most {
			t.Errorf("%s: %d pieces were copied for %d deletes, at most %d should be", shape, copied, count, most)
		}
	}
}

// A scan over range deletes costs little for each of them.
func BenchmarkCursorOverDeletes(b *testing.B) {
	for _, count := range []int{2000, 32000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			w, under := &Writes{}, replayed{}
			for n := range count {
				w.DeleteRange(fmt.Appendf(nil, "%08d", 2*n), fmt.Appendf(nil, "%08d", 2*n+1))
				under[fmt.Sprintf("%08d", 2*n+1)] = "row"
			}
			c, err := NewCursor(Scope{Rows: newTable(under, "", "~"), Lower: []byte{}, Upper: []byte("~")}, w)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				rows := 0
				for ok := c.First(); ok; ok = c.Next() {
					rows++
				}
				if rows != count {
					b.Fatalf("%d rows", rows)
				}
			}
		})
	}
}
