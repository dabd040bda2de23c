package workload

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
)

// The six mixes of the Yahoo Cloud Serving Benchmark (Cooper and others, 2010)
// with its proportions and distributions, in closed loop. Records are those of
// the run, not YCSB's of ten fields.
//
// An insert becomes visible to the readers of the latest records once it, and
// all before it, were acknowledged.

// inserts hands out new record numbers behind those of the database.
type inserts struct {
	first int64
	next  atomic.Int64
	// done is the number behind the last one that is acknowledged without a
	// gap; a goroutine that finishes early waits for nobody, it leaves a mark.
	done  atomic.Int64
	marks []atomic.Bool // of numbers modulo their length
}

func (r *Runner) newInserts() *inserts {
	ins := &inserts{first: r.records + r.added.Load(), marks: make([]atomic.Bool, 1<<16)}
	ins.next.Store(ins.first)
	ins.done.Store(ins.first)
	return ins
}

// insert puts a new record.
func (r *Runner) insert(w *worker, ins *inserts) error {
	number := ins.next.Add(1) - 1
	for number-ins.done.Load() >= int64(len(ins.marks)) {
		runtime.Gosched() // one insert is stalled, and the others are far ahead
	}
	if err := r.put(w, number); err != nil {
		return err
	}
	r.added.Add(1)
	ins.acknowledge(number)
	return nil
}

func (ins *inserts) acknowledge(number int64) {
	size := int64(len(ins.marks))
	ins.marks[number%size].Store(true)
	for {
		done := ins.done.Load()
		if !ins.marks[done%size].CompareAndSwap(true, false) {
			return
		}
		ins.done.Store(done + 1) // only the one that took the mark gets here
	}
}

// mix measures operations of two kinds: the first in a share of the cases.
func (r *Runner) mix(
	ctx context.Context, unit string, share float64, first, second func(*worker) (int64, error),
) (Outcome, error) {
	if err := r.readAll(ctx); err != nil {
		return Outcome{}, err
	}
	_ = r.popularity()
	return r.run(ctx, timedRow{
		unit: unit, of: fmt.Sprintf("1 in %d operations", mixSample),
		goroutines: r.Config.Goroutines, sample: mixSample,
		op: func(w *worker) (int64, error) {
			if w.random.Fraction() < share {
				return first(w)
			}
			return second(w)
		},
	})
}

func (r *Runner) popularNumber(w *worker) int64 { return r.popular.Draw(&w.random) }

func (r *Runner) readPopular(w *worker) (int64, error) { return 1, r.get(w, r.popularNumber(w)) }

func (r *Runner) updatePopular(w *worker) (int64, error) { return 1, r.put(w, r.popularNumber(w)) }

// modifyPopular reads a record and puts a new version of it.
func (r *Runner) modifyPopular(w *worker) (int64, error) {
	number := r.popularNumber(w)
	if err := r.get(w, number); err != nil {
		return 0, err
	}
	return 1, r.put(w, number)
}

// A: an update-heavy mix, half reads and half updates.
func (r *Runner) ycsbA(ctx context.Context) (Outcome, error) {
	return r.mix(ctx, "operations", 0.5, r.readPopular, r.updatePopular)
}

// B: mostly reads, 5 % updates.
func (r *Runner) ycsbB(ctx context.Context) (Outcome, error) {
	return r.mix(ctx, "operations", 0.95, r.readPopular, r.updatePopular)
}

// C: reads only.
func (r *Runner) ycsbC(ctx context.Context) (Outcome, error) {
	return r.mix(ctx, "operations", 1, r.readPopular, r.updatePopular)
}

// D: reads of the latest records, 5 % inserts.
func (r *Runner) ycsbD(ctx context.Context) (Outcome, error) {
	ins := r.newInserts()
	latest := func(w *worker) (int64, error) {
		return 1, r.get(w, ins.done.Load()-1-r.popularNumber(w))
	}
	return r.mix(ctx, "operations", 0.95, latest, func(w *worker) (int64, error) {
		return 1, r.insert(w, ins)
	})
}

// E: short scans of 1 to 100 rows, 5 % inserts.
func (r *Runner) ycsbE(ctx context.Context) (Outcome, error) {
	ins := r.newInserts()
	_ = r.rowsFrom(make([]byte, KeyBytes), 1) // made here, not by several goroutines at once
	scan := func(w *worker) (int64, error) {
		_, err := r.scan(w, r.popularNumber(w), 1+int(w.random.Below(scanRows)))
		return 1, err
	}
	return r.mix(ctx, "operations", 0.95, scan, func(w *worker) (int64, error) {
		return 1, r.insert(w, ins)
	})
}

// F: half reads, half reads followed by an update of the same record.
func (r *Runner) ycsbF(ctx context.Context) (Outcome, error) {
	return r.mix(ctx, "operations", 0.5, r.readPopular, r.modifyPopular)
}
