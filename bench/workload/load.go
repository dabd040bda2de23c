package workload

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/result"
)

// batchRecords is how many records are put at once where a workload says so.
const batchRecords = 1000

// fill puts the records with the numbers [from, to), each goroutine a part at a
// time, for at most the limit (0: none). It returns how many are in, always
// from the beginning without a gap.
func (r *Runner) fill(ctx context.Context, from, to int64, batch int, limit time.Duration) (team, int64, error) {
	var next atomic.Int64
	next.Store(from)
	deadline := time.Now().Add(limit)
	part := int64(max(batch, 128))
	done, err := r.parallel(ctx, r.goroutinesFor(batch), func(ctx context.Context, w *worker) error {
		records := newRecords(batch, r.config.ValueBytes)
		for ctx.Err() == nil && (limit == 0 || time.Now().Before(deadline)) {
			begin := next.Add(part) - part
			if begin >= to {
				return nil
			}
			if err := r.putPart(w, records, begin, min(begin+part, to)); err != nil {
				return err
			}
			if w.index == 0 {
				r.report(fmt.Sprintf("%d%% loaded", 100*begin/to))
			}
		}
		return ctx.Err()
	})
	return done, min(next.Load(), to), err
}

// goroutinesFor returns how many load: keys in ascending order come from one
// goroutine, or they would not arrive in order.
func (r *Runner) goroutinesFor(batch int) int {
	if r.order == ascending && batch > 1 {
		return 1
	}
	return r.config.Goroutines
}

func newRecords(n, valueBytes int) []engine.Record {
	records := make([]engine.Record, n)
	for i := range records {
		records[i] = engine.Record{Key: make([]byte, KeyBytes), Value: make([]byte, valueBytes)}
	}
	return records
}

func (r *Runner) putPart(w *worker, records []engine.Record, begin, end int64) error {
	for n := begin; n < end; {
		count := min(int64(len(records)), end-n)
		for i := range count {
			r.order.makeKey((*[KeyBytes]byte)(records[i].Key), n+i)
			makeValue(records[i].Value, records[i].Key, 0)
		}
		_, err := w.timed(func() error {
			if len(records) == 1 {
				return w.Put(records[0].Key, records[0].Value)
			}
			return w.PutBatch(records[:count])
		})
		if err != nil {
			return err
		}
		n += count
		w.operations += count
	}
	return nil
}

// load measures putting all records and settling. A load that takes longer than
// the limit is measured as far as it came; the rest is put in batches that are
// not measured.
func (r *Runner) load(ctx context.Context, batch int) (result.Row, error) {
	row := result.Row{Unit: "puts", Goroutines: r.goroutinesFor(batch)}
	loaded := int64(0)
	err := r.measured(&row, func() error {
		start := time.Now()
		done, n, err := r.fill(ctx, 0, r.config.Records, batch, r.config.LoadLimit)
		if err != nil {
			return err
		}
		loaded = n
		row.Operations, row.Seconds = done.operations, done.elapsed.Seconds()
		row.Latency = done.latency.Latency(commitOf(batch))
		row.InputBytes = done.operations * r.recordBytes()
		if n < r.config.Records {
			row.Notes = append(row.Notes, fmt.Sprintf(
				"stopped after %.0f s with %d records, settling not included", row.Seconds, n))
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
	if err != nil {
		return row, err
	}
	if loaded < r.config.Records {
		if err := r.finishLoad(ctx, loaded); err != nil {
			return row, err
		}
	}
	r.records = r.config.Records
	return row, r.measureDisk(&row)
}

func commitOf(batch int) string {
	if batch == 1 {
		return "every put"
	}
	return fmt.Sprintf("every batch of %d puts", batch)
}

// finishLoad puts the records from a number on without measuring, and settles.
func (r *Runner) finishLoad(ctx context.Context, from int64) error {
	if _, _, err := r.fill(ctx, from, r.config.Records, batchRecords, 0); err != nil {
		return err
	}
	r.report("settling")
	if err := r.db.Settle(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// prepare fills the database for workloads whose load is not measured.
func (r *Runner) prepare(ctx context.Context) error {
	if err := r.finishLoad(ctx, 0); err != nil {
		return err
	}
	r.records = r.config.Records
	return nil
}

// adopt takes over a database that an earlier process has filled.
func (r *Runner) adopt() { r.records = r.config.Records }

// popularity returns the generator of popular record numbers.
func (r *Runner) popularity() *zipfian {
	if r.popular == nil {
		r.popular = newZipfian(r.records)
	}
	return r.popular
}

// rowsFrom returns how many rows a scan must find from a key on, at least, up
// to scanRows.
func (r *Runner) rowsFrom(key []byte, limit int) int {
	if r.tail == nil {
		r.tail = r.greatestHeads()
	}
	at, _ := slices.BinarySearchFunc(r.tail, binary.BigEndian.Uint64(key), cmp.Compare)
	return min(len(r.tail)-at, limit)
}

// greatestHeads returns the heads of the last keys of the database, one more
// than a scan reads.
func (r *Runner) greatestHeads() []uint64 {
	var key [KeyBytes]byte
	heads := make([]uint64, r.records)
	for n := range heads {
		r.order.makeKey(&key, int64(n))
		heads[n] = binary.BigEndian.Uint64(key[:8])
	}
	slices.Sort(heads)
	return slices.Clone(heads[max(0, len(heads)-scanRows-1):])
}
