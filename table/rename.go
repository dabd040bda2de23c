package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Rename gives a table another name, in constant time: its keyspaces stay where they are.
// Handles that were opened under the old name fail with ErrStale, and Open of that name
// with a *DefinitionError that has the new one: nobody makes an empty table there by
// mistake. So the old name cannot be used for another table, but the table can get it
// back. The new one must not have been that of a table before.
//
// It fails with lightning.ErrNotFound if there is no such table.
func Rename(ctx context.Context, db *lightning.DB, from, to string) error {
	if !nameForm.MatchString(to) {
		return &DefinitionError{Table: to, Part: "name", Reason: nameRule}
	}
	records, err := openCatalogue(ctx, db)
	if err == nil {
		err = updateDurably(ctx, db, func(tx *lightning.Tx) error { return rename(tx.In(records), from, to) })
	}
	if err != nil && !errors.As(err, new(*DefinitionError)) {
		err = fmt.Errorf("table %s: rename to %s: %w", from, to, err)
	}
	return err
}

// rename changes the catalogue.
func rename(records *lightning.Tx, from, to string) error {
	def, err := readDefinition(records, from)
	if err != nil {
		return err
	}
	if def == nil || def.RowsID == 0 {
		return lightning.ErrNotFound
	}
	other, err := readDefinition(records, to)
	if err != nil {
		return err
	}
	if other != nil && other.Moved != from {
		return &DefinitionError{Table: to, Part: "name", Reason: "is or was that of another table"}
	}
	gone := catalogue.Definition{NextID: def.NextID, Moved: to}
	if def.Home == "" {
		def.Home = from
	}
	if def.Home == to {
		def.Home = ""
	}
	if err := moveRecords(records, from, to); err != nil {
		return err
	}
	return errors.Join(
		records.Put(catalogue.Key(catalogue.KindDefinition, from), gone.Encode()),
		records.Put(catalogue.Key(catalogue.KindDefinition, to), def.Encode()))
}

// moveRecords gives the statistics of a table, and how far its building and migrating
// are, to another name.
func moveRecords(records *lightning.Tx, from, to string) error {
	for _, kind := range []int{catalogue.KindStatistics, catalogue.KindProgress} {
		old, new := catalogue.Key(kind, from), catalogue.Key(kind, to)
		for key, value := range records.Range(old, keyenc.PrefixEnd(old)) {
			moved := append(append([]byte{}, new...), key[len(old):]...)
			if err := records.Put(moved, value); err != nil {
				return err
			}
		}
		if err := errors.Join(records.Err(), records.DeleteRange(old, keyenc.PrefixEnd(old))); err != nil {
			return err
		}
	}
	return nil
}
