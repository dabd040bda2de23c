package workload

import (
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/clock"
)

// This file loads an empty database at once, by whatever it has for that.

// Bulk says how the records of a bulk load come, and how they are taken in.
type Bulk uint8

// The three sorts of bulk loads.
const (
	BulkSorted   Bulk = iota // in the order of their keys
	BulkUnsorted             // in random order
	// BulkTables are sorted, and written to files that do not belong to the database yet.
	BulkTables
)

// Loader is a Store that has more for a bulk load than commits.
type Loader interface {
	// BulkLoad begins a load of an empty database; nil: for such a one there is nothing.
	BulkLoad(how Bulk) (Load, error)
}

// Load is a bulk load. It is used by one goroutine.
type Load interface {
	// Add takes records, whose slices may be changed afterwards.
	Add(records []Record) error
	// Commit makes all readable, and durable whatever the store promises for single commits,
	// and ends the load.
	Commit() error
	// Close gives up what was not committed.
	Close() error
}

// bulkCommitRecords is how many records go to a commit where there is nothing else.
const bulkCommitRecords = 10_000

// commits are the bulk load of a store that has only commits, which are to be durable ones.
type commits struct{ Session }

func (c commits) Add(records []Record) error { return c.PutBatch(records) }
func (c commits) Commit() error              { return nil }

// beginBulk begins a load, and says what there is to say of it.
func (r *Runner) beginBulk(how Bulk) (Load, string, error) {
	if store, ok := r.Store.(Loader); ok {
		if load, err := store.BulkLoad(how); load != nil || err != nil {
			return load, "", err
		}
	}
	s, err := r.Store.Session()
	return commits{s}, fmt.Sprintf("it has nothing for that but commits, of %d records", bulkCommitRecords), err
}

// BulkLoadBy returns the row that loads all records by one goroutine, until they are readable and
// durable. Settling comes behind, unmeasured.
func BulkLoadBy(how Bulk) func(*Runner, context.Context) (Outcome, error) {
	return func(r *Runner, ctx context.Context) (Outcome, error) { return r.bulkLoad(ctx, how) }
}

func (r *Runner) bulkLoad(ctx context.Context, how Bulk) (Outcome, error) {
	o := Outcome{Unit: "puts", Goroutines: 1, Of: fmt.Sprintf("every %d puts", bulkCommitRecords), Latency: NewHistogram()}
	load, note, err := r.beginBulk(how)
	if err != nil {
		return o, err
	}
	if note != "" {
		o.Notes = append(o.Notes, note)
	}
	err = r.measured(&o, func() error {
		start := clock.System.Now()
		err := r.bulkFill(ctx, load, &o)
		if err == nil {
			err = load.Commit()
		}
		if err == nil {
			err = r.GetFirst()
		}
		o.Elapsed = clock.System.Now().Sub(start)
		return err
	})
	if err = errors.Join(err, load.Close()); err != nil {
		return o, err
	}
	r.Adopt()
	if err := r.settle(ctx); err != nil {
		return o, err
	}
	o.InputBytes, o.LiveBytes = o.Operations*r.Config.RecordBytes(), r.liveBytes()
	return o, r.checkAll()
}

// bulkFill adds all records.
func (r *Runner) bulkFill(ctx context.Context, load Load, o *Outcome) error {
	records := newRecords(int(min(bulkCommitRecords, r.Config.Records)), r.Config.ValueBytes)
	for n := int64(0); n < r.Config.Records && ctx.Err() == nil; n += int64(len(records)) {
		records = records[:min(int64(len(records)), r.Config.Records-n)]
		r.makeRecords(records, n)
		start := clock.System.Now()
		if err := load.Add(records); err != nil {
			return err
		}
		o.Latency.Record(clock.System.Now().Sub(start))
		o.Operations += int64(len(records))
		r.report(fmt.Sprintf("%d%% loaded", 100*o.Operations/r.Config.Records))
	}
	return ctx.Err()
}

// checkAll reads all records, and counts them.
func (r *Runner) checkAll() error {
	s, err := r.Store.Session()
	if err != nil {
		return err
	}
	rows := int64(0)
	err = s.Scan(nil, int(r.Config.Records)+1, func(key, value []byte) error {
		rows++
		return CheckRecord(key, value, r.Config.ValueBytes)
	})
	if err == nil && rows != r.Config.Records {
		err = wrong("%d records, not %d", rows, r.Config.Records)
	}
	return errors.Join(err, s.Close())
}
