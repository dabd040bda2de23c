package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
)

// One in this many gets, and scans, is timed; the clock is also looked at only
// then.
const (
	getSample  = 64
	scanSample = 16
)

// hotRecords is how many records get-hot reads.
const hotRecords = 10_000

func (r *Runner) getUniform(ctx context.Context) (Result, error) {
	return r.get(ctx, 0, r.config.Records)
}

func (r *Runner) getHot(ctx context.Context) (Result, error) {
	return r.get(ctx, 0, min(hotRecords, r.config.Records))
}

func (r *Runner) getAbsent(ctx context.Context) (Result, error) {
	return r.get(ctx, r.config.Records, 2*r.config.Records)
}

// get reads random records of the numbers [from, to). Those that were never
// put must not be found, all others must be.
func (r *Runner) get(ctx context.Context, from, to int64) (Result, error) {
	present := from < r.config.Records
	result, err := r.parallel(ctx, func(ctx context.Context, w *worker) error {
		var key [KeyBytes]byte
		var value []byte
		numbers := random(w.index)
		read := func() error {
			makeKey(&key, from+numbers.below(to-from))
			var err error
			value, err = r.db.AppendGet(value[:0], key[:])
			return r.checkGet(key[:], value, err, present)
		}
		return w.until(ctx, r.config.ReadTime, getSample, func() (int64, error) { return 1, read() })
	})
	result.Unit, result.Sampled = "gets", fmt.Sprintf("1 in %d gets", getSample)
	return result, err
}

func (r *Runner) checkGet(key, value []byte, err error, present bool) error {
	switch {
	case err == nil && present:
		return checkValue(key, value, r.config.ValueBytes)
	case err == nil:
		return fmt.Errorf("wrong answer: key %x was never put, and found", key)
	case errors.Is(err, lightning.ErrNotFound) && !present:
		return nil
	case errors.Is(err, lightning.ErrNotFound):
		return fmt.Errorf("wrong answer: key %x was put, and not found", key)
	}
	return err
}

// until repeats fn, which returns how many operations it did, for a span of
// time. Of every sample calls one is timed.
func (w *worker) until(
	ctx context.Context, span time.Duration, sample int, fn func() (int64, error),
) error {
	deadline := time.Now().Add(span)
	for ctx.Err() == nil {
		var done int64
		now, err := w.timed(func() (err error) { done, err = fn(); return err })
		if err != nil {
			return err
		}
		w.operations += done
		if now.After(deadline) {
			return nil
		}
		for range sample - 1 {
			done, err := fn()
			if err != nil {
				return err
			}
			w.operations += done
		}
	}
	return ctx.Err()
}

// scanRows is how many rows a scan reads, if there are so many.
const scanRows = 100

func (r *Runner) scanReused(ctx context.Context) (Result, error) {
	return r.scan(ctx, true, forward)
}

func (r *Runner) scanReverse(ctx context.Context) (Result, error) {
	return r.scan(ctx, true, backward)
}

func (r *Runner) scanNew(ctx context.Context) (Result, error) {
	return r.scan(ctx, false, forward)
}

// scan reads rows from random places on, with one iterator a goroutine or a
// new one each time.
func (r *Runner) scan(
	ctx context.Context, reuse bool, rows func(*lightning.Iterator, []byte, int) (int64, error),
) (Result, error) {
	result, err := r.parallel(ctx, func(ctx context.Context, w *worker) error {
		var key [KeyBytes]byte
		numbers := random(w.index)
		open := func() (*lightning.Iterator, error) { return r.db.Iterator(lightning.IterOptions{}) }
		if !reuse {
			return w.until(ctx, r.config.ReadTime, scanSample, func() (int64, error) {
				makeKey(&key, numbers.below(r.config.Records))
				it, err := open()
				if err != nil {
					return 0, err
				}
				count, err := rows(it, key[:], r.config.ValueBytes)
				return count, errors.Join(err, it.Close())
			})
		}
		it, err := open()
		if err != nil {
			return err
		}
		err = w.until(ctx, r.config.ReadTime, scanSample, func() (int64, error) {
			makeKey(&key, numbers.below(r.config.Records))
			return rows(it, key[:], r.config.ValueBytes)
		})
		return errors.Join(err, it.Close())
	})
	result.Unit = "rows"
	result.Sampled = fmt.Sprintf("1 in %d scans of %d rows", scanSample, scanRows)
	return result, err
}

// forward reads rows from key on, which must be there.
func forward(it *lightning.Iterator, key []byte, valueBytes int) (count int64, err error) {
	for ok := it.SeekGE(key); ok; ok = it.Next() {
		if count == 0 && !bytes.Equal(it.Key(), key) {
			return 0, fmt.Errorf("wrong answer: seek to %x landed on %x", key, it.Key())
		}
		if err := checkRecord(it.Key(), it.Value(), valueBytes); err != nil {
			return count, err
		}
		if count++; count == scanRows {
			break
		}
	}
	if count == 0 && it.Err() == nil {
		return 0, fmt.Errorf("wrong answer: seek to %x found nothing", key)
	}
	return count, it.Err()
}

// backward reads rows before key.
func backward(it *lightning.Iterator, key []byte, valueBytes int) (count int64, err error) {
	for ok := it.SeekLT(key); ok; ok = it.Prev() {
		if count == 0 && bytes.Compare(it.Key(), key) >= 0 {
			return 0, fmt.Errorf("wrong answer: seek before %x landed on %x", key, it.Key())
		}
		if err := checkRecord(it.Key(), it.Value(), valueBytes); err != nil {
			return count, err
		}
		if count++; count == scanRows {
			break
		}
	}
	return count, it.Err()
}

// fullScan reads everything once: all records must be there, in order.
func (r *Runner) fullScan(ctx context.Context) (Result, error) {
	result := Result{Unit: "rows"}
	it, err := r.db.Iterator(lightning.IterOptions{})
	if err != nil {
		return result, err
	}
	start := time.Now()
	err = r.readAll(ctx, it, &result.Operations)
	result.Elapsed = time.Since(start)
	return result, errors.Join(err, it.Close())
}

func (r *Runner) readAll(ctx context.Context, it *lightning.Iterator, count *int64) error {
	var previous [KeyBytes]byte
	for ok := it.First(); ok; ok = it.Next() {
		if *count%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := checkRecord(it.Key(), it.Value(), r.config.ValueBytes); err != nil {
			return err
		}
		if *count > 0 && bytes.Compare(previous[:], it.Key()) >= 0 {
			return fmt.Errorf("wrong answer: key %x after %x", it.Key(), previous)
		}
		copy(previous[:], it.Key())
		*count++
	}
	if it.Err() == nil && *count != r.config.Records {
		return fmt.Errorf("wrong answer: %d records, not %d", *count, r.config.Records)
	}
	return it.Err()
}

// reopen measures how long it takes from opening a cleanly closed database to
// its first answer.
func (r *Runner) reopen(context.Context) (Result, error) {
	if err := r.Close(); err != nil {
		return Result{}, err
	}
	return single("open and get", func() error {
		if err := r.open(); err != nil {
			return err
		}
		var key [KeyBytes]byte
		makeKey(&key, 0)
		value, err := r.db.Get(key[:])
		return r.checkGet(key[:], value, err, true)
	})
}

// single is the result of one operation.
func single(unit string, fn func() error) (Result, error) {
	start := time.Now()
	err := fn()
	return Result{Operations: 1, Unit: unit, Single: true, Elapsed: time.Since(start)}, err
}
