package workload

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/bench/result"
)

const (
	// One in this many gets, scans and operations of a mix is timed.
	getSample  = 32
	scanSample = 8
	mixSample  = 16

	scanRows   = 100
	hotRecords = 10_000

	// absentFrom is the first number that no workload puts.
	absentFrom = 1 << 40

	warmReadMax = 10 * time.Second
)

// get reads a record that must be there.
func (r *Runner) get(w *worker, number int64) error {
	r.order.makeKey(&w.key, number)
	value, found, err := w.AppendGet(w.got[:0], w.key[:])
	if err != nil {
		return err
	}
	w.got = value
	if !found {
		return wrong("key %x was put, and not found", w.key)
	}
	return checkValue(w.key[:], value, r.config.ValueBytes)
}

// getAbsent reads a record that must not be there.
func (r *Runner) getAbsent(w *worker, number int64) error {
	r.order.makeKey(&w.key, number)
	_, found, err := w.AppendGet(w.got[:0], w.key[:])
	if err == nil && found {
		err = wrong("key %x is not there, and found", w.key)
	}
	return err
}

// readAll reads every record once, for at most warmReadMax, so that what fits
// into the caches is in them.
func (r *Runner) readAll(ctx context.Context) error {
	if r.warm {
		return nil
	}
	r.report("reading everything once")
	var next atomic.Int64
	deadline := time.Now().Add(warmReadMax)
	_, err := r.parallel(ctx, r.config.Goroutines, func(ctx context.Context, w *worker) error {
		for ctx.Err() == nil && time.Now().Before(deadline) {
			begin := next.Add(128) - 128
			for n := begin; n < min(begin+128, r.records); n++ {
				if err := r.get(w, n); err != nil {
					return err
				}
			}
			if begin >= r.records {
				return nil
			}
		}
		return ctx.Err()
	})
	r.warm = true
	return err
}

// gets measures reading records whose numbers draw returns.
func (r *Runner) gets(ctx context.Context, goroutines int, draw func(w *worker) int64) (result.Row, error) {
	if err := r.readAll(ctx); err != nil {
		return result.Row{}, err
	}
	return r.run(ctx, timedWorkload{
		unit: "gets", of: fmt.Sprintf("1 in %d gets", getSample), goroutines: goroutines, sample: getSample,
		op: func(w *worker) (int64, error) { return 1, r.get(w, draw(w)) },
	})
}

func (r *Runner) uniform(w *worker) int64 { return w.random.below(r.records) }

func (r *Runner) getUniform(ctx context.Context) (result.Row, error) {
	return r.gets(ctx, r.config.Goroutines, r.uniform)
}

func (r *Runner) getZipf(ctx context.Context) (result.Row, error) {
	popular := r.popularity()
	return r.gets(ctx, r.config.Goroutines, func(w *worker) int64 { return popular.draw(&w.random) })
}

func (r *Runner) getHot(ctx context.Context) (result.Row, error) {
	hot := min(hotRecords, r.records)
	return r.gets(ctx, r.config.Goroutines, func(w *worker) int64 { return w.random.below(hot) })
}

func (r *Runner) getMissing(ctx context.Context) (result.Row, error) {
	if err := r.readAll(ctx); err != nil {
		return result.Row{}, err
	}
	return r.run(ctx, timedWorkload{
		unit: "gets", of: fmt.Sprintf("1 in %d gets", getSample),
		goroutines: r.config.Goroutines, sample: getSample,
		op: func(w *worker) (int64, error) { return 1, r.getAbsent(w, absentFrom+w.random.below(r.records)) },
	})
}

// getsBy measures uniform gets by so many goroutines.
func getsBy(goroutines int) run {
	return func(r *Runner, ctx context.Context) (result.Row, error) {
		return r.gets(ctx, goroutines, r.uniform)
	}
}

// scan reads rows from a record on, checks each, and returns how many.
func (r *Runner) scan(w *worker, number int64, limit int) (int64, error) {
	r.order.makeKey(&w.key, number)
	var previous [KeyBytes]byte
	rows := 0
	err := w.Scan(w.key[:], limit, func(key, value []byte) error {
		if err := checkRecord(key, value, r.config.ValueBytes); err != nil {
			return err
		}
		if rows == 0 && !bytes.Equal(key, w.key[:]) {
			return wrong("scan from %x began at %x", w.key, key)
		}
		if rows > 0 && bytes.Compare(previous[:], key) >= 0 {
			return wrong("scan passed %x after %x", key, previous)
		}
		copy(previous[:], key)
		rows++
		return nil
	})
	if err != nil {
		return int64(rows), err
	}
	if least := r.rowsFrom(w.key[:], limit); rows > limit || rows < least {
		return int64(rows), wrong("scan from %x passed %d rows, not %d to %d", w.key, rows, least, limit)
	}
	return int64(rows), nil
}

// scans measures scans of 100 rows from random records on.
func (r *Runner) scans(ctx context.Context, goroutines int, cold bool) (result.Row, error) {
	_ = r.rowsFrom(make([]byte, KeyBytes), 1) // made here, not by several goroutines at once
	return r.run(ctx, timedWorkload{
		unit: "rows", of: fmt.Sprintf("1 in %d scans of %d rows", scanSample, scanRows),
		goroutines: goroutines, sample: scanSample, cold: cold,
		op: func(w *worker) (int64, error) { return r.scan(w, r.uniform(w), scanRows) },
	})
}

func (r *Runner) scan100(ctx context.Context) (result.Row, error) {
	return r.scans(ctx, r.config.Goroutines, false)
}

func (r *Runner) coldScan(ctx context.Context) (result.Row, error) {
	return r.scans(ctx, r.config.Goroutines, true)
}

// fullScan reads all rows once, with one goroutine.
func (r *Runner) fullScan(ctx context.Context) (result.Row, error) {
	row := result.Row{Unit: "rows", Goroutines: 1}
	err := r.measured(&row, func() error {
		done, err := r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
			return r.scanAll(ctx, w)
		})
		row.Operations, row.Seconds = done.operations, done.elapsed.Seconds()
		return err
	})
	return row, err
}

func (r *Runner) scanAll(ctx context.Context, w *worker) error {
	var previous [KeyBytes]byte
	err := w.Scan(make([]byte, 1), int(r.live())+1, func(key, value []byte) error {
		if err := checkRecord(key, value, r.config.ValueBytes); err != nil {
			return err
		}
		if w.operations > 0 && bytes.Compare(previous[:], key) >= 0 {
			return wrong("scan passed %x after %x", key, previous)
		}
		copy(previous[:], key)
		if w.operations++; w.operations%(1<<16) == 0 {
			return ctx.Err()
		}
		return nil
	})
	if err == nil && w.operations != r.live() {
		err = wrong("scan of everything passed %d rows, not %d", w.operations, r.live())
	}
	return err
}
