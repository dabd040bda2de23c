package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

func newDumpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dump DIR",
		Short: "Print all that a database holds, for import",
		Long: `Dump prints all records of all keyspaces, as they are at one moment, with the
options of the keyspaces and the times at which records expire, as JSON lines.
'lightning import' makes the same of it in another database. The last line tells
how many records there are: import refuses a dump that is cut off.

Dump reads every record that a scan shows, and so finds damage to them: a database
can be checked by a dump that goes nowhere.`,
		Example: `  lightning dump my.db > my.jsonl
  lightning dump old.db | lightning import new.db - --format jsonl`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return readStore(args[0], "", func(db *lightning.DB, _ store) error {
				snap, err := db.Snapshot()
				if err != nil {
					return err
				}
				d := dumper{db: db, snap: snap, out: newPrinter(cmd.Context(), cmd.OutOrStdout(), formatJSON)}
				return errors.Join(d.all(), snap.Close())
			})
		},
	}
}

// dumper prints the dump of a database.
type dumper struct {
	db   *lightning.DB
	snap *lightning.Snapshot
	out  *printer
	end  records.DumpEnd
}

func (d *dumper) all() error {
	if err := d.line(map[string]int{records.DumpMember: records.DumpVersion}); err != nil {
		return err
	}
	if err := d.records(d.snap); err != nil {
		return err
	}
	for _, name := range d.db.Keyspaces() {
		if err := d.keyspace(name); err != nil {
			return err
		}
	}
	if err := d.line(d.end); err != nil {
		return err
	}
	return d.out.flush()
}

// line prints what is no record.
func (d *dumper) line(content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return d.out.print(append(text, '\n'))
}

func (d *dumper) keyspace(name string) error {
	keyspace, err := d.db.Keyspace(context.Background(), name, &lightning.KeyspaceOptions{Reserved: true})
	if err != nil {
		return err
	}
	d.end.Keyspaces++
	columns := append([]column{{"keyspace", []byte(name)}}, optionColumns(keyspace.Options())...)
	d.out.saysNever = false
	if err := d.out.row(time.Time{}, columns...); err != nil {
		return err
	}
	d.out.saysNever = expiresByDefault(keyspace)
	return d.records(d.snap.In(keyspace))
}

func (d *dumper) records(from *lightning.Snapshot) error {
	it, err := from.Iterator(lightning.IterOptions{})
	if err != nil {
		return err
	}
	for it.Next() {
		if err := d.out.row(it.ExpiresAt(), column{"key", it.Key()}, column{"value", it.Value()}); err != nil {
			return errors.Join(err, it.Close())
		}
		d.end.Records++
	}
	return it.Close()
}
