package metamorph

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/script"
)

// write does writes outside of batches.
func (w *world) write(op *script.Op, j *judge) error {
	var into script.Writer = w.db
	if k := w.spaces[op.Space]; k != nil {
		into = k
	} else if op.Space != "" {
		return nil
	}
	if op.Count%2 == 1 && (op.Kind == script.Fill || op.Kind == script.Overwrite) {
		return load(w, op, j)
	}
	for _, one := range op.Singles() {
		if err := one.Write(into); err != nil {
			return j.err(err) // what is wrong with one is wrong with the first
		}
	}
	return nil
}

// decide does a write that depends on what its key holds.
func decide(w *world, op *script.Op, j *judge) error {
	var on script.Decider = w.db
	if k := w.spaces[op.Space]; k != nil {
		on = k
	} else if op.Space != "" {
		return nil
	}
	answer, err := op.Decide(on)
	if err != nil {
		return j.err(err)
	}
	return j.line(nil, nil, answer)
}

// load does the puts of an operation as a bulk load.
func load(w *world, op *script.Op, j *judge) error {
	begin := w.db.BulkLoader
	if k := w.spaces[op.Space]; k != nil {
		begin = k.BulkLoader
	}
	loader, err := begin()
	if err != nil {
		return j.err(err)
	}
	defer loader.Close()
	for _, one := range op.Singles() {
		key, value := one.Key.Bytes(), one.Value.Bytes()
		err := loader.Put(key, value)
		script.Scribble(key, value)
		if err != nil {
			return j.err(err)
		}
	}
	if err := loader.Commit(); err != nil {
		return j.err(err)
	}
	return w.checkDurable()
}

// add adds parts to a batch.
func (w *world) add(b *lightning.Batch, parts []script.Op, j *judge) error {
	for i := range parts {
		into := b
		if k := w.spaces[parts[i].Space]; k != nil {
			into = b.In(k)
		} else if parts[i].Space != "" {
			continue
		}
		if err := j.err(parts[i].Write(into)); err != nil {
			return fmt.Errorf("%v: %w", &parts[i], err)
		}
	}
	j.say("batch of %d writes, %d bytes; ", b.Len(), b.SizeBytes())
	return nil
}

// commit adds the parts of op to a batch and commits it.
func (w *world) commit(b *lightning.Batch, op *script.Op, j *judge) error {
	if err := w.add(b, op.Parts, j); err != nil {
		return err
	}
	err := op.Commit(b)
	if err == nil && op.Wait == script.WaitFor(lightning.DurabilitySync) && b.Len() > 0 {
		return w.checkDurable()
	}
	return j.err(err)
}

func (w *world) batch(op *script.Op, j *judge) error {
	b := w.batches[op.Slot]
	if b == nil {
		if op.Kind != script.BatchAdd {
			return nil
		}
		b = w.db.NewBatch()
		w.batches[op.Slot] = b
	}
	switch op.Kind {
	case script.BatchAdd:
		return w.add(b, op.Parts, j)
	case script.BatchReset:
		b.Reset()
		if b.Len() != 0 {
			return fmt.Errorf("a batch holds %d writes after Reset", b.Len())
		}
		return nil
	}
	return w.commit(b, op, j)
}

// checkDurable checks that everything is durable after something that waits for
// that.
func (w *world) checkDurable() error {
	if durable, visible := w.db.DurableSeq(), w.db.Metrics().VisibleSeq; durable < visible {
		return fmt.Errorf("after a sync, %d is durable and %d visible", durable, visible)
	}
	return nil
}

// patience is how long a flush or compaction may take. They take milliseconds,
// unless they never end or the machine is very busy.
const patience = 5 * time.Minute

// maintain does what must not change an answer.
func (w *world) maintain(op *script.Op, j *judge) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch op.Kind {
	case script.Flush:
		return w.db.Flush(ctx)
	case script.SyncLog:
		if err := w.db.SyncLog(context.Background()); err != nil {
			return err
		}
		return w.checkDurable()
	}
	if op.Fail {
		cancel()
	}
	lo, hi := op.Key.Bytes(), op.Upper.Bytes()
	var err error
	if k := w.spaces[op.Space]; k != nil {
		err = k.Compact(ctx, lo, hi)
	} else if op.Space == "" {
		err = w.db.Compact(ctx, lo, hi)
	}
	switch {
	case op.Fail: // it may have been done by then, and wrong bounds may come first
		if _, fault := noteFor(err); fault != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	case err != nil || !compactsAll(op) || len(w.snapshots)+len(w.iterators) > 0:
		return j.err(err)
	}
	var records, tombstones uint64
	for _, level := range w.db.Metrics().Levels {
		records += level.Records
		tombstones += level.Tombstones
	}
	return j.line(nil, nil, recordsNote(records, tombstones))
}

// check looks at the metrics.
func (w *world) check(j *judge) error {
	durable := w.db.DurableSeq()
	m := w.db.Metrics()
	j.say("visible %d; ", m.VisibleSeq)
	var owned int64
	for _, bytes := range m.Memory.OwnerBytes {
		owned += bytes
	}
	for _, c := range []struct {
		ok   bool
		what string
		have any
	}{
		{durable >= w.durable, "DurableSeq went back", []uint64{w.durable, durable}},
		{m.DurableSeq <= m.VisibleSeq, "more is durable than visible", []uint64{m.DurableSeq, m.VisibleSeq}},
		{m.Handles.Snapshots == len(w.snapshots), "open snapshots", m.Handles},
		{m.Handles.Iterators == len(w.iterators), "open iterators", m.Handles},
		{m.Health.WriteErr == nil, "write error", m.Health.WriteErr},
		{m.Health.BackgroundErr == nil, "background error", m.Health.BackgroundErr},
		{m.Health.QuarantinedFiles == 0, "quarantined files", m.Health.QuarantinedFiles},
		{m.Cache.UsedBytes <= m.Cache.CapacityBytes, "cache over its capacity", m.Cache},
		{m.Memory.BudgetBytes == w.settings.options.MemoryBudget, "budget", m.Memory.BudgetBytes},
	} {
		if !c.ok {
			return fmt.Errorf("metrics: %s: %v", c.what, c.have)
		}
	}
	w.durable = durable
	fs, dir := w.location()
	o := w.settings.options
	o.FS = fs
	if db, err := lightning.Open(dir, &o); !errors.Is(err, lightning.ErrLocked) {
		if err == nil {
			err = db.Close()
		}
		return fmt.Errorf("a second opener: %v, expected %v", err, lightning.ErrLocked)
	}
	return nil
}
