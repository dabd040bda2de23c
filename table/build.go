package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// BuildProgress says how far the building of an index is.
type BuildProgress struct {
	Index string
	Rows  uint64 // looked at so far, also by earlier calls
}

// Build fills in the indexes that lack rows which were there before they were
// declared, and returns when all are ready. Others go on reading and writing
// meanwhile. It works in transactions of at most a thousand rows; after each it
// calls report, which can be nil. It can be stopped through ctx, by an error or
// by a crash at any time: the next call goes on from there.
//
// If a unique index turns out to have two rows under one key, Build fails with
// a *DuplicateError that names them. The index is then not used by queries;
// once one of the rows was changed Build can be called again.
func (t *Table[R, K]) Build(ctx context.Context, report func(BuildProgress)) error {
	if t.core == nil {
		return lightning.ErrClosed
	}
	rows := buildRowsMax
	for _, x := range t.indexes {
		for done := false; !done; {
			now, err := t.buildSome(ctx, x, rows)
			if err != nil {
				return fmt.Errorf("table %s: build index %s: %w", t.name, x.name, err)
			}
			if now == nil {
				break // it was ready
			}
			rows = min(2*now.rowsMax, buildRowsMax)
			done = now.ready
			if report != nil {
				report(BuildProgress{Index: x.name, Rows: now.Rows})
			}
		}
	}
	return nil
}

const (
	buildRowsMax  = 1000
	buildBytesMax = 1 << 20
)

// built is what a transaction of a builder has come to.
type built struct {
	catalogue.Progress
	rowsMax int // how many it was to look at
	entries int // that were not there
	ready   bool
}

// buildSome indexes the next rows in a transaction of its own. It returns nil
// if there is nothing to do.
//
// Rows after the one that was the last when the index was declared have been
// indexed by who wrote them, so a builder that follows a table that grows at
// its end comes to an end itself. If a row that it has looked at changes before
// it commits, it looks again, at fewer rows each time; the next call may look at
// twice as many as the one that went through.
func (c *core[R]) buildSome(ctx context.Context, x *index[R], rowsMax int) (*built, error) {
	var now *built
	err := c.db.UpdateWith(lightning.TxOptions{Context: ctx}, func(tx *lightning.Tx) error {
		var err error
		now, err = c.buildIn(tx, x, rowsMax)
		rowsMax = max(1, rowsMax/4)
		return err
	})
	if err == nil && now != nil {
		c.countEntries(x, int64(now.entries))
	}
	return now, err
}

func (c *core[R]) buildIn(tx *lightning.Tx, x *index[R], rowsMax int) (*built, error) {
	records := tx.In(c.catalogue)
	def, err := readDefinition(records, c.name)
	if err != nil {
		return nil, err
	}
	if def == nil || def.ByID(x.id) == nil {
		return nil, ErrStale
	}
	if def.ByID(x.id).Ready {
		return nil, nil
	}
	key := catalogue.Key(catalogue.KindProgress, c.name, x.id)
	record, err := records.Get(key)
	if err != nil {
		return nil, fmt.Errorf("progress: %w", err)
	}
	begun, err := catalogue.DecodeProgress(record)
	if err != nil {
		return nil, err
	}
	now := &built{Progress: *begun, rowsMax: rowsMax}
	if err := c.backfill(tx, x, now); err != nil {
		return nil, err
	}
	if !now.ready {
		return now, records.Put(key, now.Encode())
	}
	def.ByID(x.id).Ready = true
	return now, errors.Join(records.Delete(key), records.Put(c.definitionKey, def.Encode()))
}

// backfill writes the entries of the next rows.
func (c *core[R]) backfill(tx *lightning.Tx, x *index[R], now *built) (err error) {
	now.ready, err = c.advance(tx, &now.Progress, now.rowsMax, func(it *lightning.Iterator) error {
		added, err := c.backfillRow(tx.In(x.keyspace), x, now.Position, it)
		now.entries += added
		return err
	})
	return err
}

// advance calls each for the rows behind a position, up to rowsMax of them or buildBytesMax, and
// moves the position on. It reports whether there are no more.
func (c *core[R]) advance(
	tx *lightning.Tx, now *catalogue.Progress, rowsMax int, each func(it *lightning.Iterator) error,
) (done bool, err error) {
	o := lightning.IterOptions{Upper: append(bytes.Clone(now.Until), 0)}
	if len(now.Position) > 0 {
		o.Lower = append(bytes.Clone(now.Position), 0)
	}
	it, err := tx.In(c.rows).Iterator(o)
	if err != nil {
		return false, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	sizeBytes := 0
	for range rowsMax {
		if !it.Next() {
			return it.Err() == nil, nil // the deferred Close has the error
		}
		now.Position = append(now.Position[:0], it.Key()...)
		now.Rows++
		sizeBytes += len(it.Value())
		if err := each(it); err != nil {
			return false, fmt.Errorf("row %s: %w", keyenc.Format(now.Position), err)
		}
		if sizeBytes >= buildBytesMax {
			break
		}
	}
	return false, nil
}

// backfillRow writes the entries of the row at an iterator that are missing. Those that are
// there were written by who changed the row since.
func (c *core[R]) backfillRow(
	tx *lightning.Tx, x *index[R], primary []byte, it *lightning.Iterator,
) (added int, err error) {
	rec, err := c.decode(primary, it.Value())
	if err != nil {
		return 0, err
	}
	entries, err := x.entries(rec, primary)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		missing, err := x.vacant(tx, e, primary)
		if err != nil {
			return 0, c.describe(err, primary)
		}
		if !missing {
			continue
		}
		if err := tx.PutUntil(e.key, e.value, it.ExpiresAt()); err != nil {
			return 0, err
		}
		added++
	}
	return added, nil
}
