package inuse

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever is in is alone, and sees what the one before him did.
func TestOneIsIn(t *testing.T) {
	var w Word
	var inside, met, ran int // plain: the race detector looks on
	var refused, waited atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				if !w.Enter() {
					refused.Add(1)
					runtime.Gosched()
					continue
				}
				if inside++; inside != 1 {
					met++
				}
				inside--
				w.Leave()
				if i%100 == 0 {
					waited.Add(1)
					w.WhenFree(func() { ran++ })
				}
			}
		})
	}
	wg.Wait()
	w.WhenFree(func() {})
	if met != 0 || ran != int(waited.Load()) {
		t.Errorf("%d were in together; %d of %d ran", met, ran, waited.Load())
	}
	if (w.Err() != nil) != (refused.Load() > 0) {
		t.Errorf("%d were refused: %v", refused.Load(), w.Err())
	}
}

func TestWhoIsInIsMissed(t *testing.T) {
	var w Word
	turn := w.Turn()
	if !w.Enter() || w.TryEnter() || w.Err() != nil {
		t.Errorf("one goes in: %v", w.Err())
	}
	order := ""
	w.WhenFree(func() { order += "a" })
	w.WhenFree(func() { order += "b" })
	if w.Enter() || w.Err() != ErrConcurrentUse || order != "" {
		t.Errorf("another one goes in: %v, %q ran", w.Err(), order)
	}
	w.Leave()
	if len(order) != 2 {
		t.Errorf("what waited: %q", order)
	}
	w.WhenFree(func() { order = "now" })
	if order != "now" {
		t.Error("nobody is in, and it waits")
	}
	if !w.Enter() {
		t.Error("it is not free")
	}
	w.Forgive()
	w.Leave()
	if w.Err() != nil || !w.Moved(turn) || w.Err() == nil || w.Moved(w.Turn()) {
		t.Error("it does not tell whether somebody was in")
	}
}

func BenchmarkEnter(b *testing.B) {
	var w Word
	for b.Loop() {
		if w.Enter() {
			w.Leave()
		}
	}
}
