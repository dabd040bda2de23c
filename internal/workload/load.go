package workload

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// BatchRecords is how many records are put at once where a row says so.
const BatchRecords = 1000

// fill puts the records with the numbers [from, to), each goroutine a part at a
// time, for at most the limit (0: none). It returns how many are in, always
// from the beginning without a gap.
func (r *Runner) fill(ctx context.Context, from, to int64, batch int, limit time.Duration) (team, int64, error) {
	var next atomic.Int64
	next.Store(from)
	deadline := clock.System.Now().Add(limit)
	part := int64(max(batch, 128))
	done, err := r.parallel(ctx, r.goroutinesFor(batch), func(ctx context.Context, w *worker) error {
		records := newRecords(int(min(int64(batch), to-from)), r.Config.ValueBytes)
		for ctx.Err() == nil && (limit == 0 || clock.System.Now().Before(deadline)) {
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
	if r.Order == Ascending && batch > 1 {
		return 1
	}
	return r.Config.Goroutines
}

func newRecords(n, valueBytes int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{Key: make([]byte, KeyBytes), Value: make([]byte, valueBytes)}
	}
	return records
}

// makeRecords makes those with the numbers from a first one on.
func (r *Runner) makeRecords(records []Record, first int64) {
	for i := range records {
		r.Order.MakeKey((*[KeyBytes]byte)(records[i].Key), first+int64(i))
		MakeValue(records[i].Value, records[i].Key, 0)
	}
}

func (r *Runner) putPart(w *worker, records []Record, begin, end int64) error {
	for n := begin; n < end; {
		count := min(int64(len(records)), end-n)
		r.makeRecords(records[:count], n)
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

// Load measures putting all records, so many to a batch, and settling. A load
// that takes longer than the limit is measured as far as it came; the rest is
// put in batches that are not measured.
func (r *Runner) Load(ctx context.Context, batch int) (Outcome, error) {
	o := Outcome{Unit: "puts", Goroutines: r.goroutinesFor(batch)}
	loaded := int64(0)
	err := r.measured(&o, func() error {
		done, n, err := r.fill(ctx, 0, r.Config.Records, batch, r.Config.LoadLimit)
		if err != nil {
			return err
		}
		loaded = n
		o.timed(done, commitOf(batch))
		o.InputBytes = done.operations * r.Config.RecordBytes()
		if n < r.Config.Records {
			o.Notes = append(o.Notes, fmt.Sprintf(
				"stopped after %.0f s with %d records, settling not included", o.Elapsed.Seconds(), n))
			return nil
		}
		return r.settleWithin(ctx, &o)
	})
	if err != nil {
		return o, err
	}
	if loaded < r.Config.Records {
		if err := r.finishLoad(ctx, loaded); err != nil {
			return o, err
		}
	}
	r.Adopt()
	o.LiveBytes = r.liveBytes()
	return o, nil
}

// settleWithin settles and adds the time to what the outcome took.
func (r *Runner) settleWithin(ctx context.Context, o *Outcome) error {
	start := clock.System.Now()
	err := r.settle(ctx)
	o.Settling = clock.System.Now().Sub(start)
	o.Elapsed += o.Settling
	return err
}

// Fill is Load without the settling and the limit: Settle does the other half.
func (r *Runner) Fill(ctx context.Context, batch int) (Outcome, error) {
	o := Outcome{Unit: "puts", Goroutines: r.goroutinesFor(batch)}
	err := r.measured(&o, func() error {
		done, _, err := r.fill(ctx, 0, r.Config.Records, batch, 0)
		o.timed(done, commitOf(batch))
		o.InputBytes = done.operations * r.Config.RecordBytes()
		return err
	})
	r.Adopt()
	return o, err
}

// Settle measures compacting until nothing is left to do.
func (r *Runner) Settle(ctx context.Context) (Outcome, error) {
	o := Outcome{Unit: "compactions", Operations: 1, Goroutines: 1}
	err := r.measured(&o, func() error { return r.settleWithin(ctx, &o) })
	return o, err
}

func commitOf(batch int) string {
	if batch == 1 {
		return "every put"
	}
	return fmt.Sprintf("every batch of %d puts", batch)
}

// finishLoad puts the records from a number on without measuring, and settles.
func (r *Runner) finishLoad(ctx context.Context, from int64) error {
	if _, _, err := r.fill(ctx, from, r.Config.Records, BatchRecords, 0); err != nil {
		return err
	}
	return r.settle(ctx)
}

// Prepare fills the database for rows whose load is not measured.
func (r *Runner) Prepare(ctx context.Context) error {
	if err := r.finishLoad(ctx, 0); err != nil {
		return err
	}
	r.Adopt()
	return nil
}

// popularity returns the generator of popular record numbers.
func (r *Runner) popularity() *Zipfian {
	if r.popular == nil {
		r.popular = NewZipfian(r.records)
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

// greatestHeads returns the heads of the last keys of the database, ascending,
// one more than a scan reads. It keeps few of them meanwhile: there may be more
// records than memory is meant to be used.
func (r *Runner) greatestHeads() []uint64 {
	const most = scanRows + 1
	var key [KeyBytes]byte
	heads, least := make([]uint64, 0, 100*most), uint64(0)
	cut := func() {
		slices.Sort(heads)
		heads = slices.Delete(heads, 0, max(0, len(heads)-most))
	}
	for n := range r.records {
		r.Order.MakeKey(&key, n)
		head := binary.BigEndian.Uint64(key[:8])
		if head < least {
			continue
		}
		if heads = append(heads, head); len(heads) == cap(heads) {
			cut()
			least = heads[0]
		}
	}
	cut()
	return heads
}
