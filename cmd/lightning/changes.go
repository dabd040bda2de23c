package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

func newChangesCommand() *cobra.Command {
	var from uint64
	var limit int64
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "changes DIR",
		Short: "Print what was written, in the order of the commits",
		Long: `Changes prints the commits that are still in the log or in the log archive of a
database, in order, and ends: all of those, up to the last one that is durable.
Of what this program writes it keeps the last 64 MiB for that; what other programs
keep is theirs to say (Options.LogArchive of the library). Each is a JSON object on a
line: the sequence numbers of the commit and its changes, each with its kind, which is
put, delete, delete-range, merge, keyspace (made, or given other options) or
drop-keyspace, its keyspace, where that is not the default one, and key, end, value
and options. What is not UTF-8 goes into "key_hex" and so
on. Where the wanted commits are not there any more, it says where to go on.

It opens the database read-only, which the program that uses it must have closed. So
it cannot follow a program at work: that has to tell of its changes itself, with
DB.Watch or DB.Changes of the library.`,
		Example: `  lightning changes my.db
  lightning changes my.db --from 1200 --limit 10`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 {
				return usagef("--limit must not be negative")
			}
			return readStore(args[0], "", func(db *lightning.DB, _ store) error {
				out := newPrinter(cmd.Context(), cmd.OutOrStdout(), format.value)
				count, err := printChanges(cmd.Context(), db, from, limit, out)
				if flushErr := out.flush(); err == nil {
					err = flushErr
				}
				if newest := db.Metrics().VisibleSeq; err == nil && count == 0 && from == 0 && newest > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), "no commits are kept: the newest was %d, without Options.LogArchive\n", newest)
				}
				return err
			})
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0,
		"begin with the commit of this sequence number; 0 is the oldest")
	cmd.Flags().Int64VarP(&limit, "limit", "n", 0, "stop after this many commits; 0 is no limit")
	format = addFormat(cmd, formatJSON)
	return cmd
}

// printChanges prints the commits from a sequence number on, and returns how
// many there were.
func printChanges(
	ctx context.Context, db *lightning.DB, from uint64, limit int64, out *printer,
) (count int64, err error) {
	for batch, err := range db.Changes(ctx, from) {
		switch {
		case ctx.Err() != nil:
			return count, errInterrupted
		case err != nil:
			return count, err
		}
		if err := out.commit(batch); err != nil {
			return count, err
		}
		if count++; count == limit {
			break
		}
	}
	return count, nil
}

// optionColumns are the options of a keyspace that are set.
func optionColumns(o lightning.KeyspaceOptions) (set []column) {
	if o.Compression != 0 {
		set = append(set, column{"compression", []byte(o.Compression.String())})
	}
	if o.TTL != 0 {
		set = append(set, column{"ttl", []byte(o.TTL.String())})
	}
	if o.Merge != "" {
		set = append(set, column{"merge", []byte(o.Merge)})
	}
	if o.BlobBytes != 0 {
		set = append(set, column{"blobs_from", strconv.AppendInt(nil, int64(o.BlobBytes), 10)})
	}
	return set
}

// commit prints a batch of changes on a line. Of a large one no more than a part is in
// memory.
func (p *printer) commit(batch *lightning.ChangeBatch) error {
	p.line = fmt.Appendf(p.line[:0], `{"first":%d,"last":%d,"changes":[`, batch.First, batch.Last)
	comma := ""
	for c := range batch.All() {
		p.line = append(p.line, comma...)
		p.change(&c)
		comma = ","
		if len(p.line) >= bufferBytes {
			if err := p.print(p.line); err != nil {
				return err
			}
			p.line = p.line[:0]
		}
	}
	if err := batch.Err(); err != nil {
		return err
	}
	return p.print(append(p.line, "]}\n"...))
}

// change appends a change to the line.
func (p *printer) change(c *lightning.Change) {
	p.line = fmt.Appendf(p.line, `{"kind":"%v"`, c.Kind)
	for _, field := range []struct {
		name string
		text []byte
		is   bool
	}{
		{"keyspace", []byte(c.Keyspace), c.Keyspace != ""},
		{"key", c.Key, c.Key != nil},
		{"end", c.End, c.End != nil},
		{"value", c.Value, c.Kind == lightning.ChangePut || c.Kind == lightning.ChangeMerge},
		{records.ExpiryMember, appendExpiry(nil, c.ExpiresAt), !c.ExpiresAt.IsZero()},
	} {
		if field.is {
			p.line = appendField(append(p.line, ','), field.name, field.text)
		}
	}
	if c.Options != nil {
		for _, option := range optionColumns(*c.Options) {
			p.line = appendField(append(p.line, ','), option.name, option.text)
		}
	}
	p.line = append(p.line, '}')
}
