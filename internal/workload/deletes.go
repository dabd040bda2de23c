package workload

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Rows on what is deleted: queues, windows, and databases most of which is gone. Each
// needs a database of its own, whose records were put in the order of their keys, and
// changes it so that no other row can follow.

const (
	// windowStep is how many records a window moves by, and how many of its oldest are
	// read after that.
	windowStep = BatchRecords
	// deletedShare is the part of the records that is deleted, in percent.
	deletedShare = 90
	// deletedRanges is by how many range deletes.
	deletedRanges = 500
	// idleTimes is how many times the time of a row the database is left alone, so
	// that it can tidy up.
	idleTimes = 10
	// firstReads is how often the first record is read before that, and after; fewer
	// times where that takes longer than a row, but firstReadsMin times.
	firstReads    = 1000
	firstReadsMin = 10
)

// DeleteRows are the rows on what is deleted.
func DeleteRows() []Row {
	return []Row{
		{
			Name: "queue", Run: (*Runner).queue,
			What: "a queue: read the first record, delete it, put one at the end; latency is that of the read",
		},
		{
			Name: "window", Run: (*Runner).window, DeletesRanges: true,
			What: "a window: put 1000 records at the end, delete the first 1000 as a range, " +
				"read the first 1000 that are left; latency is that of the reads",
		},
		{
			Name: "delete-head", Run: (*Runner).deleteHead,
			What: "delete the first 90 % of the records one by one, then leave the database alone; " +
				"latency is that of reading the first record",
		},
		{
			Name: "delete-ranges", Run: (*Runner).deleteRanges, DeletesRanges: true,
			What: "the same by 500 range deletes, each of nine tenths of its neighbours",
		},
	}
}

// readFirst reads the first rows of the database and looks whether they are those with
// the numbers from first on. It is timed.
func (r *Runner) readFirst(w *worker, first int64, rows int) error {
	r.Order.MakeKey(&w.key, first)
	number := first
	_, err := w.timed(func() error {
		return w.Scan([]byte{0}, rows, func(key, value []byte) error {
			if !bytes.Equal(key, w.key[:]) {
				return wrong("record %d is the first, and a scan passed %x and not %x", first, key, w.key)
			}
			number++
			r.Order.MakeKey(&w.key, number)
			return CheckValue(key, value, r.Config.ValueBytes)
		})
	})
	if err == nil && number != first+int64(rows) {
		err = wrong("a scan of the first %d records passed %d", rows, number-first)
	}
	return err
}

// moving measures what puts some records at the end and deletes as many at the
// beginning, by one goroutine; both count. step gets the numbers of the first record,
// and of the first that is not there.
func (r *Runner) moving(
	ctx context.Context, of string, moves int64, step func(w *worker, first, end int64) error,
) (Outcome, error) {
	o := Outcome{Unit: "puts and deletes", Goroutines: 1}
	first, end := int64(0), r.records
	pass := func(span time.Duration) (team, error) {
		return r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
			deadline := clock.System.Now().Add(span)
			for ctx.Err() == nil && clock.System.Now().Before(deadline) {
				if err := step(w, first, end); err != nil {
					return err
				}
				first, end = first+moves, end+moves
				w.operations += 2 * moves
			}
			return ctx.Err()
		})
	}
	if r.Config.WarmUp > 0 {
		if _, err := pass(r.Config.WarmUp); err != nil {
			return o, err
		}
	}
	err := r.measured(&o, func() error {
		done, err := pass(r.Config.Time)
		o.timed(done, of)
		return err
	})
	r.noteMean(&o)
	return o, err
}

// noteMean adds the mean of the latencies, which a few that are long move.
func (r *Runner) noteMean(o *Outcome) {
	if o.Latency != nil {
		o.Notes = append(o.Notes, fmt.Sprintf("mean latency %v", o.Latency.Mean()))
	}
}

func (r *Runner) queue(ctx context.Context) (Outcome, error) {
	return r.moving(ctx, "every read of the first record", 1,
		func(w *worker, first, end int64) error {
			if err := r.readFirst(w, first, 1); err != nil {
				return err
			}
			r.Order.MakeKey(&w.key, first)
			if err := w.Delete(w.key[:]); err != nil {
				return err
			}
			return r.put(w, end)
		})
}

func (r *Runner) window(ctx context.Context) (Outcome, error) {
	records := newRecords(windowStep, r.Config.ValueBytes)
	return r.moving(ctx, fmt.Sprintf("every read of the first %d records", windowStep), windowStep,
		func(w *worker, first, end int64) error {
			r.makeRecords(records, end)
			if err := w.PutBatch(records); err != nil {
				return err
			}
			if err := r.deleteNumbers(w, first, first+windowStep); err != nil {
				return err
			}
			return r.readFirst(w, first+windowStep, min(windowStep, int(r.records)))
		})
}

// deleteNumbers deletes the records with the numbers [from, to) as a range.
func (r *Runner) deleteNumbers(w *worker, from, to int64) error {
	var lo, hi [KeyBytes]byte
	r.Order.MakeKey(&lo, from)
	r.Order.MakeKey(&hi, to)
	return w.DeleteRange(lo[:], hi[:])
}

func (r *Runner) deleteHead(ctx context.Context) (Outcome, error) {
	n := r.records * deletedShare / 100
	return r.deleteMost(ctx, "deletes", n, func(w *worker, i int64) error {
		r.Order.MakeKey(&w.key, i)
		return w.Delete(w.key[:])
	}, func(done int64) (first, left int64) { return done, r.records - done })
}

func (r *Runner) deleteRanges(ctx context.Context) (Outcome, error) {
	part := r.records / deletedRanges
	gone := part * deletedShare / 100
	return r.deleteMost(ctx, "range deletes", deletedRanges, func(w *worker, i int64) error {
		return r.deleteNumbers(w, i*part, i*part+gone)
	}, func(done int64) (first, left int64) {
		if done > 0 {
			first = gone
		}
		return first, r.records - done*gone
	})
}

// deleteMost measures so many deletes by one goroutine, within the limit of a load. It
// reads the first record often, leaves the database alone for a while, and does so
// again. after says, when so many were done, which record is the first and how many
// are left.
func (r *Runner) deleteMost(
	ctx context.Context, unit string, deletes int64,
	delete func(w *worker, i int64) error, after func(done int64) (first, left int64),
) (Outcome, error) {
	o := Outcome{Unit: unit, Goroutines: 1}
	err := r.measured(&o, func() error {
		done, err := r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
			start := clock.System.Now()
			for ; w.operations < deletes && ctx.Err() == nil; w.operations++ {
				if limit := r.Config.LoadLimit; limit > 0 && clock.System.Now().Sub(start) > limit {
					break
				}
				if err := delete(w, w.operations); err != nil {
					return err
				}
			}
			o.Elapsed = clock.System.Now().Sub(start)
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		if done.operations < deletes {
			o.Notes = append(o.Notes, fmt.Sprintf("stopped after %.0f s with %d of %d done",
				o.Elapsed.Seconds(), done.operations, deletes))
		}
		first, left := after(done.operations)
		o.Operations, o.LiveBytes = done.operations, left*r.Config.RecordBytes()
		return r.readFirstOften(ctx, &o, first)
	})
	return o, err
}

// readFirstOften reads the first record before and after the database was left alone.
func (r *Runner) readFirstOften(ctx context.Context, o *Outcome, first int64) error {
	o.Latency, o.Of = NewHistogram(), "every read of the first record"
	var very, mean [2]time.Duration // of the very first read, and of all
	alone := idleTimes * r.Config.Time
	for i := range very {
		if i > 0 {
			r.report("leaving it alone")
			if err := wait(ctx, alone); err != nil {
				return err
			}
		}
		done, err := r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
			deadline := clock.System.Now().Add(r.Config.Time)
			for n := range firstReads {
				if n >= firstReadsMin && clock.System.Now().After(deadline) {
					break
				}
				if err := r.readFirst(w, first, 1); err != nil {
					return err
				}
				if n == 0 {
					very[i] = w.latency.Max()
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		o.Latency.Add(done.latency)
		mean[i] = done.latency.Mean()
	}
	o.Notes = append(o.Notes, fmt.Sprintf("first read of the first record %v, mean %v; after %v alone %v, mean %v",
		very[0], mean[0], alone, very[1], mean[1]))
	return nil
}
