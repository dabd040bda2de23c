package workload

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
)

// The transactions read and write records whose version counts how often they
// were written: however the transactions met, the versions must add up.

const (
	txRecords  = 4  // that a transaction reads and writes
	txContest  = 16 // records that all transactions contend for
	txScanRows = 20
)

// transactions measures transactions; op does one.
func (r *Runner) transactions(
	ctx context.Context, op func(w *worker, tx Transactor) error,
) (Outcome, error) {
	if r.Config.ValueBytes < VersionedBytes {
		return Outcome{}, errNoVersions
	}
	if err := r.readAll(ctx); err != nil {
		return Outcome{}, err
	}
	return r.run(ctx, timedRow{
		unit: "transactions", of: fmt.Sprintf("1 in %d transactions", mixSample),
		goroutines: r.Config.Goroutines, sample: mixSample,
		op: func(w *worker) (int64, error) {
			tx, ok := w.Session.(Transactor)
			if !ok {
				return 0, errNoTransactions
			}
			return 1, op(w, tx)
		},
	})
}

// readVersion reads a record in a transaction and returns its version.
func (r *Runner) readVersion(w *worker, tx Tx, number int64) (uint64, error) {
	r.Order.MakeKey(&w.key, number)
	value, found, err := tx.AppendGet(w.got[:0], w.key[:])
	if err != nil {
		return 0, err
	}
	w.got = value
	if !found {
		return 0, wrong("key %x was put, and not found", w.key)
	}
	return binary.LittleEndian.Uint64(value), CheckValue(w.key[:], value, r.Config.ValueBytes)
}

// increment counts the versions of some different records up, in one
// transaction.
func (r *Runner) increment(w *worker, t Transactor, numbers [txRecords]int64) error {
	return t.Update(func(tx Tx) error {
		for _, n := range numbers {
			version, err := r.readVersion(w, tx, n)
			if err != nil {
				return err
			}
			MakeValue(w.value, w.key[:], version+1)
			if err := tx.Put(w.key[:], w.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// different returns record numbers below a limit, all different.
func (w *worker) different(limit int64) (numbers [txRecords]int64) {
	for i := range numbers {
	again:
		numbers[i] = w.random.Below(limit)
		for _, n := range numbers[:i] {
			if n == numbers[i] {
				goto again
			}
		}
	}
	return numbers
}

// readModifyWrite measures transactions that read and write 4 of some records,
// and checks that no update was lost.
func (r *Runner) readModifyWrite(ctx context.Context, limit int64) (Outcome, error) {
	if r.Config.ValueBytes < VersionedBytes {
		return Outcome{}, errNoVersions
	}
	before, err := r.sumVersions(ctx, limit)
	if err != nil {
		return Outcome{}, err
	}
	var done atomic.Int64 // warm-up included
	o, err := r.transactions(ctx, func(w *worker, tx Transactor) error {
		err := r.increment(w, tx, w.different(limit))
		if err == nil {
			done.Add(1)
		}
		return err
	})
	if err != nil {
		return o, err
	}
	after, err := r.sumVersions(ctx, limit)
	if want := before + txRecords*uint64(done.Load()); err == nil && after != want {
		err = wrong("%d transactions counted %d records up from %d to %d, not to %d",
			done.Load(), limit, before, after, want)
	}
	return o, err
}

// sumVersions adds up the versions of the records below a number.
func (r *Runner) sumVersions(ctx context.Context, limit int64) (sum uint64, err error) {
	_, err = r.parallel(ctx, 1, func(ctx context.Context, w *worker) error {
		for n := range limit {
			if err := r.get(w, n); err != nil {
				return err
			}
			sum += binary.LittleEndian.Uint64(w.got)
		}
		return ctx.Err()
	})
	return sum, err
}

func (r *Runner) txLowContention(ctx context.Context) (Outcome, error) {
	return r.readModifyWrite(ctx, r.records)
}

func (r *Runner) txHighContention(ctx context.Context) (Outcome, error) {
	return r.readModifyWrite(ctx, min(txContest, r.records))
}

// txReadOnly measures transactions that read 4 records.
func (r *Runner) txReadOnly(ctx context.Context) (Outcome, error) {
	return r.transactions(ctx, func(w *worker, t Transactor) error {
		return t.View(func(tx Tx) error {
			for _, n := range w.different(r.records) {
				if _, err := r.readVersion(w, tx, n); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// txScanInsert measures transactions that read 20 rows and insert a record.
func (r *Runner) txScanInsert(ctx context.Context) (Outcome, error) {
	var next atomic.Int64
	next.Store(r.records + r.added.Load())
	return r.transactions(ctx, func(w *worker, t Transactor) error {
		from, number := r.uniform(w), next.Add(1)-1
		err := t.Update(func(tx Tx) error {
			r.Order.MakeKey(&w.key, from)
			err := tx.Scan(w.key[:], txScanRows, func(key, value []byte) error {
				return CheckRecord(key, value, r.Config.ValueBytes)
			})
			if err != nil {
				return err
			}
			r.Order.MakeKey(&w.key, number)
			MakeValue(w.value, w.key[:], 0)
			return tx.Put(w.key[:], w.value)
		})
		if err == nil {
			r.added.Add(1)
		}
		return err
	})
}
