package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

const (
	// One in this many gets, scans and operations of a mix is timed.
	getSample  = 32
	scanSample = 8
	mixSample  = 16

	scanRows   = 100
	hotRecords = 10_000

	// absentFrom is the first number that no row puts.
	absentFrom = 1 << 40

	warmReadMax = 10 * time.Second
)

// get reads a record that must be there.
func (r *Runner) get(w *worker, number int64) error {
	r.Order.MakeKey(&w.key, number)
	value, found, err := w.AppendGet(w.got[:0], w.key[:])
	if err != nil {
		return err
	}
	w.got = value
	if !found {
		return wrong("key %x was put, and not found", w.key)
	}
	return CheckValue(w.key[:], value, r.Config.ValueBytes)
}

// getAbsent reads a record that must not be there.
func (r *Runner) getAbsent(w *worker, number int64) error {
	r.Order.MakeKey(&w.key, number)
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
	deadline := clock.System.Now().Add(warmReadMax)
	_, err := r.parallel(ctx, r.Config.Goroutines, func(ctx context.Context, w *worker) error {
		for ctx.Err() == nil && clock.System.Now().Before(deadline) {
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
func (r *Runner) gets(ctx context.Context, goroutines int, draw func(w *worker) int64) (Outcome, error) {
	if err := r.readAll(ctx); err != nil {
		return Outcome{}, err
	}
	return r.run(ctx, timedRow{
		unit: "gets", of: fmt.Sprintf("1 in %d gets", getSample), goroutines: goroutines, sample: getSample,
		op: func(w *worker) (int64, error) { return 1, r.get(w, draw(w)) },
	})
}

func (r *Runner) uniform(w *worker) int64 { return w.random.Below(r.records) }

// GetUniform measures gets of random records.
func (r *Runner) GetUniform(ctx context.Context) (Outcome, error) {
	return r.gets(ctx, r.Config.Goroutines, r.uniform)
}

func (r *Runner) getZipf(ctx context.Context) (Outcome, error) {
	popular := r.popularity()
	return r.gets(ctx, r.Config.Goroutines, func(w *worker) int64 { return popular.Draw(&w.random) })
}

func (r *Runner) getHot(ctx context.Context) (Outcome, error) {
	hot := min(hotRecords, r.records)
	return r.gets(ctx, r.Config.Goroutines, func(w *worker) int64 { return w.random.Below(hot) })
}

func (r *Runner) getMissing(ctx context.Context) (Outcome, error) {
	if err := r.readAll(ctx); err != nil {
		return Outcome{}, err
	}
	return r.run(ctx, timedRow{
		unit: "gets", of: fmt.Sprintf("1 in %d gets", getSample),
		goroutines: r.Config.Goroutines, sample: getSample,
		op: func(w *worker) (int64, error) { return 1, r.getAbsent(w, absentFrom+w.random.Below(r.records)) },
	})
}

// getsBy measures uniform gets by so many goroutines.
func getsBy(goroutines int) func(*Runner, context.Context) (Outcome, error) {
	return func(r *Runner, ctx context.Context) (Outcome, error) {
		return r.gets(ctx, goroutines, r.uniform)
	}
}

// scan reads rows from a record on, checks each, and returns how many.
func (r *Runner) scan(w *worker, number int64, limit int) (int64, error) {
	return r.scanWith(w, w.Scan, number, limit)
}

// scanWith is scan with another way to scan than the session's own.
func (r *Runner) scanWith(
	w *worker, scan func(lo []byte, limit int, fn func(key, value []byte) error) error, number int64, limit int,
) (int64, error) {
	r.Order.MakeKey(&w.key, number)
	var previous [KeyBytes]byte
	rows := 0
	err := scan(w.key[:], limit, func(key, value []byte) error {
		if err := CheckRecord(key, value, r.Config.ValueBytes); err != nil {
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
func (r *Runner) scans(ctx context.Context, goroutines int, cold bool) (Outcome, error) {
	_ = r.rowsFrom(make([]byte, KeyBytes), 1) // made here, not by several goroutines at once
	return r.run(ctx, timedRow{
		unit: "rows", of: scanOf(),
		goroutines: goroutines, sample: scanSample, cold: cold,
		op: func(w *worker) (int64, error) { return r.scan(w, r.uniform(w), scanRows) },
	})
}

func scanOf() string { return fmt.Sprintf("1 in %d scans of %d rows", scanSample, scanRows) }

func (r *Runner) scan100(ctx context.Context) (Outcome, error) {
	return r.scans(ctx, r.Config.Goroutines, false)
}

// ColdScans measures scans without a warm-up.
func (r *Runner) ColdScans(ctx context.Context) (Outcome, error) {
	return r.scans(ctx, r.Config.Goroutines, true)
}

// ColdGetsBy measures gets of random records by so many goroutines, each timed,
// without a warm-up.
func ColdGetsBy(goroutines int) func(*Runner, context.Context) (Outcome, error) {
	return func(r *Runner, ctx context.Context) (Outcome, error) {
		return r.run(ctx, timedRow{
			unit: "gets", of: "every get", goroutines: goroutines, sample: 1, cold: true,
			op: func(w *worker) (int64, error) { return 1, r.get(w, r.uniform(w)) },
		})
	}
}

// GetFirst gets one record and checks it.
func (r *Runner) GetFirst() (err error) {
	s, err := r.Store.Session()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return r.get(&worker{Session: s}, 0)
}

// scanKept is scan100 with an iterator that a session keeps.
func (r *Runner) scanKept(ctx context.Context) (Outcome, error) {
	_ = r.rowsFrom(make([]byte, KeyBytes), 1) // as in scans
	return r.iterate(ctx, func(w *worker, k keeper) (int64, error) {
		return r.scanWith(w, k.ScanKept, r.uniform(w), scanRows)
	})
}

// scanBack reads 100 rows before random records.
func (r *Runner) scanBack(ctx context.Context) (Outcome, error) {
	return r.iterate(ctx, func(w *worker, k keeper) (rows int64, err error) {
		r.Order.MakeKey(&w.key, r.uniform(w))
		last := w.key
		err = k.ScanBack(w.key[:], scanRows, func(key, value []byte) error {
			if bytes.Compare(key, last[:]) >= 0 {
				return wrong("scan backwards passed %x after %x", key, last)
			}
			copy(last[:], key)
			rows++
			return CheckRecord(key, value, r.Config.ValueBytes)
		})
		return rows, err
	})
}

// iterate measures scans with iterators that are kept.
func (r *Runner) iterate(ctx context.Context, scan func(*worker, keeper) (int64, error)) (Outcome, error) {
	return r.run(ctx, timedRow{
		unit: "rows", of: scanOf(), goroutines: r.Config.Goroutines, sample: scanSample,
		op: func(w *worker) (int64, error) {
			k, ok := w.Session.(keeper)
			if !ok {
				return 0, errNoIterators
			}
			return scan(w, k)
		},
	})
}

// fullScan reads all rows once, with one goroutine.
func (r *Runner) fullScan(ctx context.Context) (Outcome, error) {
	o := Outcome{Unit: "rows", Goroutines: 1}
	err := r.measured(&o, func() error {
		done, err := r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
			return r.scanAll(ctx, w)
		})
		o.Operations, o.Elapsed = done.operations, done.elapsed
		return err
	})
	return o, err
}

func (r *Runner) scanAll(ctx context.Context, w *worker) error {
	var previous [KeyBytes]byte
	err := w.Scan(make([]byte, 1), int(r.live())+1, func(key, value []byte) error {
		if err := CheckRecord(key, value, r.Config.ValueBytes); err != nil {
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
