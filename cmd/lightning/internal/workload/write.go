package workload

import (
	"context"
	"fmt"
)

// One in this many puts is timed.
const putSample = 16

// fill puts all records; each goroutine takes every n-th.
func (r *Runner) fill(ctx context.Context) (Result, error) {
	one := r.fillSingle
	sampled := fmt.Sprintf("1 in %d puts", putSample)
	if r.config.BatchRecords > 1 {
		one = r.fillBatches
		sampled = fmt.Sprintf("every batch of %d puts", r.config.BatchRecords)
	}
	result, err := r.parallel(ctx, one)
	result.Unit, result.Sampled = "puts", sampled
	return result, err
}

func (r *Runner) fillSingle(ctx context.Context, w *worker) error {
	var key [KeyBytes]byte
	value := make([]byte, r.config.ValueBytes)
	put := func() error { return r.db.Put(key[:], value) }
	for n := int64(w.index); n < r.config.Records; n += int64(r.config.Goroutines) {
		makeKey(&key, n)
		makeValue(value, key[:])
		var err error
		if w.operations%putSample == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			_, err = w.timed(put)
		} else {
			err = put()
		}
		if err != nil {
			return err
		}
		w.operations++
	}
	return nil
}

func (r *Runner) fillBatches(ctx context.Context, w *worker) error {
	var key [KeyBytes]byte
	value := make([]byte, r.config.ValueBytes)
	batch := r.db.NewBatch()
	commit := func() error {
		_, err := w.timed(batch.Commit)
		w.operations += int64(batch.Len())
		batch.Reset()
		return err
	}
	for n := int64(w.index); n < r.config.Records; n += int64(r.config.Goroutines) {
		makeKey(&key, n)
		makeValue(value, key[:])
		if err := batch.Put(key[:], value); err != nil {
			return err
		}
		if batch.Len() < r.config.BatchRecords {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := commit(); err != nil {
			return err
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	return commit()
}

// settle compacts everything.
func (r *Runner) settle(ctx context.Context) (Result, error) {
	return single("compaction", func() error { return r.db.Compact(ctx, nil, nil) })
}
