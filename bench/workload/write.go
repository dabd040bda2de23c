package workload

import (
	"context"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/bench/result"
)

// besideRate is how many puts a second a writer does beside readers, the same
// for all engines.
const besideRate = 10_000

// put writes a new version of a record.
func (r *Runner) put(w *worker, number int64) error {
	r.order.makeKey(&w.key, number)
	makeValue(w.value, w.key[:], w.random.next())
	return w.Put(w.key[:], w.value)
}

// puts measures new versions of records whose numbers draw returns.
func (r *Runner) puts(ctx context.Context, goroutines int, draw func(w *worker) int64) (result.Row, error) {
	return r.run(ctx, timedWorkload{
		unit: "puts", of: "every put", goroutines: goroutines, sample: 1,
		op: func(w *worker) (int64, error) { return 1, r.put(w, draw(w)) },
	})
}

// putsBy measures puts by so many goroutines.
func putsBy(goroutines int) run {
	return func(r *Runner, ctx context.Context) (result.Row, error) {
		return r.puts(ctx, goroutines, r.uniform)
	}
}

// change measures a pass over all records, in an order of its own, and the
// settling after it.
func (r *Runner) change(
	ctx context.Context, unit string, numbers, bytesEach int64, op func(w *worker, i int64) error,
) (result.Row, error) {
	row := result.Row{Unit: unit, Goroutines: r.config.Goroutines}
	err := r.measured(&row, func() error {
		start := time.Now()
		step := int64(r.config.Goroutines)
		deadline := start.Add(r.config.LoadLimit)
		done, err := r.parallel(ctx, r.config.Goroutines, func(ctx context.Context, w *worker) error {
			for i := int64(w.index); i < numbers && ctx.Err() == nil; i += step {
				now, err := w.timed(func() error { return op(w, i) })
				if err != nil {
					return err
				}
				w.operations++
				if r.config.LoadLimit > 0 && now.After(deadline) {
					break
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		row.Operations = done.operations
		row.Latency = done.latency.Latency("every " + unit[:len(unit)-1])
		row.InputBytes = done.operations * bytesEach
		if done.operations < numbers {
			row.Seconds = done.elapsed.Seconds()
			row.Notes = append(row.Notes, fmt.Sprintf(
				"stopped after %.0f s with %d of %d done, settling not included", row.Seconds, done.operations, numbers))
			return nil
		}
		r.report("settling")
		if err := r.db.Settle(ctx); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		row.Seconds = time.Since(start).Seconds()
		row.SettleSeconds = row.Seconds - done.elapsed.Seconds()
		return nil
	})
	return row, err
}

// overwrite gives every record a new value.
func (r *Runner) overwrite(ctx context.Context) (result.Row, error) {
	row, err := r.change(ctx, "puts", r.records, r.recordBytes(), func(w *worker, i int64) error {
		return r.put(w, r.shuffled(i))
	})
	if err != nil {
		return row, err
	}
	return row, r.measureDisk(&row)
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
func (r *Runner) deleteHalf(ctx context.Context) (result.Row, error) {
	half := (r.records + 1) / 2
	row, err := r.change(ctx, "deletes", half, KeyBytes, func(w *worker, i int64) error {
		r.order.makeKey(&w.key, 2*i)
		return w.Delete(w.key[:])
	})
	if err != nil || row.Operations < half {
		return row, err
	}
	r.deleted = true
	_, err = r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
		for range 10_000 {
			pair := w.random.below(r.records/2) * 2
			if err := r.getAbsent(w, pair); err != nil {
				return err
			}
			if err := r.get(w, pair+1); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return row, err
	}
	return row, r.measureDisk(&row)
}

// readWhileWriting measures gets beside a writer that puts at a fixed rate.
func (r *Runner) readWhileWriting(ctx context.Context) (result.Row, error) {
	var written int64
	var span time.Duration
	row, err := r.run(ctx, timedWorkload{
		unit: "gets", of: fmt.Sprintf("1 in %d gets", getSample),
		goroutines: r.config.Goroutines, sample: getSample,
		op: func(w *worker) (int64, error) { return 1, r.get(w, r.uniform(w)) },
		beside: func(ctx context.Context, w *worker) error {
			start := time.Now()
			err := paced(ctx, besideRate, time.Hour, w, func() error { return r.put(w, r.uniform(w)) }, nil)
			written, span = w.operations, time.Since(start)
			return err
		},
	})
	if rate := float64(written) / span.Seconds(); err == nil && rate < 0.95*besideRate {
		row.Notes = append(row.Notes, fmt.Sprintf("the writer came to %.0f puts/s, not %d", rate, besideRate))
	}
	return row, err
}
