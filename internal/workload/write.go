package workload

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// besideRate is how many puts a second a writer does beside readers, the same
// for all engines.
const besideRate = 10_000

// put writes a new version of a record.
func (r *Runner) put(w *worker, number int64) error {
	r.Order.MakeKey(&w.key, number)
	MakeValue(w.value, w.key[:], w.random.Next())
	return w.Put(w.key[:], w.value)
}

// puts measures new versions of records whose numbers draw returns.
func (r *Runner) puts(ctx context.Context, goroutines int, draw func(w *worker) int64) (Outcome, error) {
	return r.run(ctx, timedRow{
		unit: "puts", of: "every put", goroutines: goroutines, sample: 1,
		op: func(w *worker) (int64, error) { return 1, r.put(w, draw(w)) },
	})
}

// PutsBy measures puts by so many goroutines.
func PutsBy(goroutines int) func(*Runner, context.Context) (Outcome, error) {
	return func(r *Runner, ctx context.Context) (Outcome, error) {
		return r.puts(ctx, goroutines, r.uniform)
	}
}

// change measures a pass over all records, in an order of its own, and the
// settling after it.
func (r *Runner) change(
	ctx context.Context, unit string, numbers, bytesEach int64, op func(w *worker, i int64) error,
) (Outcome, error) {
	o := Outcome{Unit: unit, Goroutines: r.Config.Goroutines}
	err := r.measured(&o, func() error {
		step := int64(r.Config.Goroutines)
		deadline := clock.System.Now().Add(r.Config.LoadLimit)
		done, err := r.parallel(ctx, r.Config.Goroutines, func(ctx context.Context, w *worker) error {
			for i := int64(w.index); i < numbers && ctx.Err() == nil; i += step {
				now, err := w.timed(func() error { return op(w, i) })
				if err != nil {
					return err
				}
				w.operations++
				if r.Config.LoadLimit > 0 && now.After(deadline) {
					break
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		o.timed(done, "every "+strings.TrimSuffix(unit, "s"))
		o.InputBytes = done.operations * bytesEach
		if done.operations < numbers {
			o.Notes = append(o.Notes, fmt.Sprintf("stopped after %.0f s with %d of %d done, settling not included",
				o.Elapsed.Seconds(), done.operations, numbers))
			return nil
		}
		return r.settleWithin(ctx, &o)
	})
	return o, err
}

// overwrite gives every record a new value.
func (r *Runner) overwrite(ctx context.Context) (Outcome, error) {
	o, err := r.change(ctx, "puts", r.records, r.Config.RecordBytes(), func(w *worker, i int64) error {
		return r.put(w, r.shuffled(i))
	})
	o.LiveBytes = r.liveBytes()
	return o, err
}

// shuffled is a permutation of the record numbers that is not the order of the
// load: a step that has no factor in common with their number.
func (r *Runner) shuffled(i int64) int64 {
	const step = 1_000_003 // a prime
	if r.records%step == 0 {
		return i
	}
	return i * step % r.records
}

// deleteHalf deletes the records with even numbers and checks that they, and
// only they, are gone.
func (r *Runner) deleteHalf(ctx context.Context) (Outcome, error) {
	half := (r.records + 1) / 2
	o, err := r.change(ctx, "deletes", half, KeyBytes, func(w *worker, i int64) error {
		r.Order.MakeKey(&w.key, 2*i)
		return w.Delete(w.key[:])
	})
	if err != nil || o.Operations < half {
		return o, err
	}
	r.deleted = true
	_, err = r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
		for range 10_000 {
			pair := w.random.Below(r.records/2) * 2
			if err := r.getAbsent(w, pair); err != nil {
				return err
			}
			if err := r.get(w, pair+1); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	o.LiveBytes = r.liveBytes()
	return o, err
}

// readWhileWriting measures gets beside a writer that puts at a fixed rate.
func (r *Runner) readWhileWriting(ctx context.Context) (Outcome, error) {
	var written int64
	var span time.Duration
	o, err := r.run(ctx, timedRow{
		unit: "gets", of: fmt.Sprintf("1 in %d gets", getSample),
		goroutines: r.Config.Goroutines, sample: getSample,
		op: func(w *worker) (int64, error) { return 1, r.get(w, r.uniform(w)) },
		beside: func(ctx context.Context, w *worker) error {
			start := clock.System.Now()
			err := paced(ctx, besideRate, time.Hour, w, func() error { return r.put(w, r.uniform(w)) }, nil)
			written, span = w.operations, clock.System.Now().Sub(start)
			return err
		},
	})
	if rate := float64(written) / span.Seconds(); err == nil && rate < 0.95*besideRate {
		o.Notes = append(o.Notes, fmt.Sprintf("the writer came to %.0f puts/s, not %d", rate, besideRate))
	}
	return o, err
}

// liveBytes is the size of the keys and values that are in the database.
func (r *Runner) liveBytes() int64 { return r.live() * r.Config.RecordBytes() }

// PutAgain overwrites random records for the time of a row, one by one, and
// leaves the log as full as it is then. Nothing is measured.
func (r *Runner) PutAgain(ctx context.Context) error {
	_, err := r.parallel(ctx, r.Config.Goroutines, func(ctx context.Context, w *worker) error {
		return w.until(ctx, r.Config.Time, 1, func() (int64, error) { return 1, r.put(w, r.uniform(w)) })
	})
	return err
}
