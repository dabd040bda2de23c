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

// MigrateProgress says how far Migrate is.
type MigrateProgress struct {
	Version uint64 // to which rows are brought
	Rows    uint64 // looked at so far, also by earlier calls
}

// Migrate writes all rows of older versions of the schema by the newest one, after which
// the migrations that lead to it can be taken out of the program. Nobody has to wait for it: rows
// of older versions are read as if they were new. Others go on reading and writing
// meanwhile. It works in transactions of at most a thousand rows; after each it calls
// report, which can be nil. It can be stopped through ctx, by an error or by a crash at
// any time: the next call goes on from there. Rows expire when they would have.
func (t *Table[R, K]) Migrate(ctx context.Context, report func(MigrateProgress)) error {
	if t.core == nil {
		return lightning.ErrClosed
	}
	rowsMax := buildRowsMax
	for {
		var now *migrated
		err := t.db.UpdateWith(lightning.TxOptions{Context: ctx}, func(tx *lightning.Tx) (err error) {
			now, err = t.migrateSome(tx, rowsMax)
			rowsMax = max(1, rowsMax/4) // where it has to run again it meets fewer others
			return err
		})
		if err != nil {
			return fmt.Errorf("table %s: migrate to version %d: %w", t.name, t.versions.now, err)
		}
		if now == nil {
			return nil // all had been done
		}
		rowsMax = min(2*now.rowsMax, buildRowsMax)
		if report != nil {
			report(MigrateProgress{Version: t.versions.now, Rows: now.Rows})
		}
		if now.done {
			return nil
		}
	}
}

// migrated is what a transaction of Migrate has come to.
type migrated struct {
	catalogue.Progress
	rowsMax int // how many it was to look at
	done    bool
}

// migrateSome writes the next rows. It returns nil if there is nothing to do.
func (c *core[R]) migrateSome(tx *lightning.Tx, rowsMax int) (*migrated, error) {
	v, err := c.writable(tx)
	if err != nil {
		return nil, err
	}
	records := tx.In(c.catalogue)
	def, err := readDefinition(records, c.name)
	if err != nil || def.Oldest == def.Version {
		return nil, err
	}
	key := catalogue.Key(catalogue.KindProgress, c.name, c.rowsID)
	record, err := records.Get(key)
	if err != nil {
		return nil, fmt.Errorf("progress: %w", err)
	}
	begun, err := catalogue.DecodeProgress(record)
	if err != nil {
		return nil, err
	}
	now := &migrated{Progress: *begun, rowsMax: rowsMax}
	if err := c.rewrite(tx, v, now); err != nil {
		return nil, err
	}
	if !now.done {
		return now, records.Put(key, now.Encode())
	}
	def.Oldest = def.Version
	return now, errors.Join(records.Delete(key), records.Put(c.definitionKey, def.Encode()))
}

// rewrite writes those of the next rows that are of older versions. Rows after the last one of
// the time when the version was declared are of that version.
func (c *core[R]) rewrite(tx *lightning.Tx, v *view, now *migrated) (err error) {
	now.done, err = c.advance(tx, &now.Progress, now.rowsMax, func(it *lightning.Iterator) error {
		return c.rewriteRow(tx, v, it)
	})
	return err
}

// rewriteRow writes the row at an iterator if it is of an older version.
func (c *core[R]) rewriteRow(tx *lightning.Tx, v *view, it *lightning.Iterator) error {
	version, _, err := unframe(it.Value())
	if err != nil || version == c.versions.now {
		return err
	}
	primary := bytes.Clone(it.Key())
	rec, err := c.decode(primary, it.Value())
	if err != nil {
		return err
	}
	old := &stored[R]{rec: rec, primary: primary, life: lifetime{until: it.ExpiresAt()}}
	n, err := c.encode(rec)
	if err != nil {
		return err
	}
	if !bytes.Equal(n.primary, primary) {
		return fmt.Errorf("%w to %s", ErrKeyChanged, keyenc.Format(n.primary))
	}
	n.life = old.life
	return c.change(tx, v, primary, old, n)
}
