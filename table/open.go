package table

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Open opens a table, and makes it if there is none. It compares the schema
// with what the database knows and fails with a *DefinitionError where they
// contradict each other, or where an index exists that is not declared.
//
// An index that is declared for the first time is ready at once if the table
// has no rows. Otherwise Build must be called, at any time. Handles that were
// opened before do not know of it: from then on they fail to change rows, with
// ErrStale.
//
// ctx ends the waiting of what must be written, not what has begun.
func Open[R, K any](ctx context.Context, db *lightning.DB, schema Schema[R, K]) (*Table[R, K], error) {
	declared, err := schema.define()
	if err != nil {
		return nil, err
	}
	attributes, err := schema.attributes()
	if err != nil {
		return nil, err
	}
	versions, err := schema.versions()
	if err != nil {
		return nil, err
	}
	t, err := open(ctx, db, &schema, declared, versions)
	if err != nil && !errors.As(err, new(*DefinitionError)) {
		err = fmt.Errorf("open table %s: %w", schema.Name, err)
	}
	if t != nil {
		t.attributes = attributes
	}
	return t, err
}

func open[R, K any](
	ctx context.Context, db *lightning.DB, s *Schema[R, K], declared *catalogue.Definition, v versions,
) (*Table[R, K], error) {
	records, err := openCatalogue(ctx, db)
	if err != nil {
		return nil, err
	}
	def, err := declare(ctx, db, records, s.Name, declared, &v)
	if err != nil {
		return nil, err
	}
	if err := dropLeftovers(ctx, db, s.Name, def); err != nil {
		return nil, err
	}
	c := &core[R]{
		db: db, name: s.Name, key: s.Key.attribute, codec: s.codec(), rowsID: def.RowsID,
		expiry: s.Expiry, versions: v,
		catalogue: records, definitionKey: catalogue.Key(catalogue.KindDefinition, s.Name),
	}
	if c.rows, err = db.Keyspace(ctx, def.Keyspace(s.Name, def.RowsID), nil); err != nil {
		return nil, err
	}
	for _, declared := range s.Indexes { // in the order of the schema
		x := &index[R]{id: def.Index(declared.Name).Id, name: declared.Name, unique: declared.Unique}
		for _, column := range declared.On {
			x.columns = append(x.columns, column.column())
		}
		if x.keyspace, err = db.Keyspace(ctx, def.Keyspace(s.Name, x.id), nil); err != nil {
			return nil, err
		}
		c.indexes = append(c.indexes, x)
	}
	if err := c.loadStatistics(); err != nil {
		return nil, err
	}
	return &Table[R, K]{core: c, key: s.Key}, nil
}

// openCatalogue opens the keyspace of the catalogue, and makes it if there is none.
func openCatalogue(ctx context.Context, db *lightning.DB) (*lightning.Keyspace, error) {
	return db.Keyspace(ctx, catalogue.Name, &lightning.KeyspaceOptions{Reserved: true})
}

// declare writes to the catalogue what is declared, if it does not say so yet.
func declare(
	ctx context.Context, db *lightning.DB, records *lightning.Keyspace, name string, declared *catalogue.Definition, v *versions,
) (def *catalogue.Definition, err error) {
	known := false
	err = db.View(func(tx *lightning.Tx) error {
		stored, err := readDefinition(tx.In(records), name)
		if err != nil {
			return err
		}
		def, _, err = join(name, stored, declared, v)
		known = err == nil && stored != nil && bytes.Equal(stored.Encode(), def.Encode())
		return err
	})
	if err != nil || known {
		return def, err
	}
	err = updateDurably(ctx, db, func(tx *lightning.Tx) error {
		stored, err := readDefinition(tx.In(records), name)
		if err != nil {
			return err
		}
		var fresh []int
		if def, fresh, err = join(name, stored, declared, v); err != nil {
			return err
		}
		last, err := lastRow(ctx, db, tx, name, stored)
		if err != nil {
			return err
		}
		return redefinition{tx.In(records), name, stored, def}.write(fresh, last)
	})
	return def, err
}

// redefinition is a change of a definition: what was stored, which can be nil, and what will be.
type redefinition struct {
	records *lightning.Tx
	name    string
	was, is *catalogue.Definition
}

// write stores the definition, and the progress of what has to be done for rows that are
// there; last is the last of these, or nil.
func (c redefinition) write(fresh []int, last []byte) error {
	begun := catalogue.Progress{Until: last}
	for _, i := range fresh {
		x := &c.is.Indexes[i]
		if x.Ready = last == nil; x.Ready {
			continue
		}
		if err := c.records.Put(catalogue.Key(catalogue.KindProgress, c.name, x.Id), begun.Encode()); err != nil {
			return err
		}
	}
	if c.was != nil && c.was.RowsID != 0 {
		if err := c.writeMigration(last, begun.Encode()); err != nil {
			return err
		}
	}
	return c.records.Put(catalogue.Key(catalogue.KindDefinition, c.name), c.is.Encode())
}

// writeMigration begins the migration to a new version anew, and forgets how far the
// building of indexes is that are dropped.
func (c redefinition) writeMigration(last, begun []byte) error {
	for _, x := range c.was.Indexes {
		if c.is.ByID(x.Id) == nil {
			if err := c.records.Delete(catalogue.Key(catalogue.KindProgress, c.name, x.Id)); err != nil {
				return err
			}
		}
	}
	if c.was.Version == c.is.Version {
		return nil
	}
	key := catalogue.Key(catalogue.KindProgress, c.name, c.is.RowsID)
	if last == nil {
		c.is.Oldest = c.is.Version
		return c.records.Delete(key)
	}
	return c.records.Put(key, begun)
}

// updateDurably is db.Update for changes of the catalogue. They go before
// changes of keyspaces, which survive a crash whatever the durability.
func updateDurably(ctx context.Context, db *lightning.DB, fn func(tx *lightning.Tx) error) error {
	if err := db.UpdateWith(lightning.TxOptions{Context: ctx}, fn); err != nil {
		return err
	}
	return db.SyncLog(ctx)
}

// readDefinition returns the definition of a table, or nil if there never was
// one of the name. tx is the view of the catalogue.
func readDefinition(tx *lightning.Tx, name string) (*catalogue.Definition, error) {
	record, err := tx.Get(catalogue.Key(catalogue.KindDefinition, name))
	if errors.Is(err, lightning.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return catalogue.DecodeDefinition(record)
}

// lastRow returns the greatest primary key, or nil if there are no rows. It
// counts as read that none follows.
func lastRow(
	ctx context.Context, db *lightning.DB, tx *lightning.Tx, name string, stored *catalogue.Definition,
) ([]byte, error) {
	if stored == nil || stored.RowsID == 0 {
		return nil, nil
	}
	rows, err := db.Keyspace(ctx, stored.Keyspace(name, stored.RowsID), nil)
	if err != nil {
		return nil, err
	}
	it, err := tx.In(rows).Iterator(lightning.IterOptions{})
	if err != nil {
		return nil, err
	}
	it.Last()
	last := bytes.Clone(it.Key())
	return last, it.Close()
}

// dropLeftovers removes the keyspaces of a table that its definition does not
// have any more: a crash may have come between the two steps. Newer numbers
// than the definition knows belong to someone who is declaring.
func dropLeftovers(ctx context.Context, db *lightning.DB, name string, def *catalogue.Definition) error {
	for _, keyspace := range db.Keyspaces() {
		number, ok := strings.CutPrefix(keyspace, catalogue.KeyspacePrefix(cmp.Or(def.Home, name)))
		if !ok {
			continue
		}
		id, err := strconv.ParseUint(number, 10, 64)
		if err != nil || id >= def.NextID || id == def.RowsID || def.ByID(id) != nil {
			continue
		}
		err = db.DropKeyspace(ctx, keyspace)
		gone := errors.Is(err, lightning.ErrKeyspaceNotFound) || errors.Is(err, lightning.ErrReadOnly)
		if err != nil && !gone {
			return err
		}
	}
	return nil
}

// DropIndex removes an index of a table, whether or not it is built. It takes
// constant time; the space is given back in the background. Handles that
// declare the index fail with ErrStale when they change rows, and their queries
// do without it.
func DropIndex(ctx context.Context, db *lightning.DB, table, index string) error {
	return redefine(ctx, db, table, "drop index "+index, func(tx *lightning.Tx, def *catalogue.Definition) error {
		x := def.Index(index)
		if x == nil {
			return lightning.ErrNotFound
		}
		id := x.Id
		def.Indexes = slices.DeleteFunc(def.Indexes, func(o catalogue.Index) bool { return o.Id == id })
		return tx.Delete(catalogue.Key(catalogue.KindProgress, table, id))
	})
}

// Drop removes a table with all rows and indexes, in constant time. Handles to
// it fail with ErrStale. A table of the same name can be made anew.
func Drop(ctx context.Context, db *lightning.DB, table string) error {
	return redefine(ctx, db, table, "drop", func(tx *lightning.Tx, def *catalogue.Definition) error {
		*def = catalogue.Definition{NextID: def.NextID, Home: def.Home}
		lo := catalogue.Key(catalogue.KindProgress, table)
		return errors.Join(
			tx.DeleteRange(lo, keyenc.PrefixEnd(lo)), tx.Delete(catalogue.Key(catalogue.KindStatistics, table)))
	})
}

// redefine changes the definition of a table and drops what is no longer in it.
// change gets the transaction's view of the catalogue.
func redefine(
	ctx context.Context, db *lightning.DB, table, what string, change func(tx *lightning.Tx, def *catalogue.Definition) error,
) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("table %s: %s: %w", table, what, err)
		}
	}()
	records, err := openCatalogue(ctx, db)
	if err != nil {
		return err
	}
	var def *catalogue.Definition
	err = updateDurably(ctx, db, func(tx *lightning.Tx) error {
		tx = tx.In(records)
		if def, err = readDefinition(tx, table); err != nil {
			return err
		}
		if def == nil || def.RowsID == 0 {
			return lightning.ErrNotFound
		}
		if err := change(tx, def); err != nil {
			return err
		}
		return tx.Put(catalogue.Key(catalogue.KindDefinition, table), def.Encode())
	})
	if err != nil {
		return err
	}
	return dropLeftovers(ctx, db, table, def)
}
