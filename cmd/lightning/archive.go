package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

// archiveResult is what 'archive' prints, in the form of its JSON.
type archiveResult struct {
	ArchivedSeq uint64        `json:"archived_seq"`
	Parts       int           `json:"parts"`
	StoredBytes int64         `json:"stored_bytes"`
	Holes       []backup.Hole `json:"holes,omitempty"`
	Seconds     float64       `json:"seconds"`
}

func newArchiveCommand() *cobra.Command {
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "archive DIR TARGET",
		Short: "Store the log of a database behind its backups",
		Long: `Archive stores what the log of the database in DIR has, and TARGET does not, in TARGET, in
which there must be a backup of it. 'lightning restore' can then go to each write behind that
backup, and to each time.

It opens the database read-only, which the program that uses it must have closed, and ends
when all is stored. A program that has it open archives the log as it grows, with
DB.Archive, to the same TARGET. How much of the log is there when a database is closed is
for Options.LogArchive to say; what is not is a hole, which is told.`,
		Example: `  lightning archive my.db /mnt/backups/my`,
		Args:    arguments(2, "DIR", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return readStore(args[0], "", func(db *lightning.DB, _ store) error {
				start := time.Now()
				var r archiveResult
				var failure error
				o := backup.ArchiveOptions{Progress: func(s backup.ArchiveStatus) {
					if s.Holes > len(r.Holes) {
						r.Holes = append(r.Holes, s.Hole)
						fmt.Fprintf(cmd.ErrOrStderr(), "writes %d to %d were gone from the log before they were archived: make another backup\n",
							s.Hole.First, s.Hole.Last)
					}
					if s.Err != nil && failure == nil {
						fmt.Fprintf(cmd.ErrOrStderr(), "%v; trying again\n", s.Err)
					}
					failure = s.Err
					r.ArchivedSeq, r.Parts, r.StoredBytes = s.ArchivedSeq, s.Parts, s.StoredBytes
				}}
				if err := db.Archive(cmd.Context(), backup.Dir(args[1]), o); err != nil {
					return interruptedOr(cmd.Context(), err)
				}
				r.Seconds = time.Since(start).Seconds()
				if format.value == formatJSON {
					return printJSON(cmd.OutOrStdout(), r)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "archived to write %d in %s: %s, stored as %s\n", r.ArchivedSeq,
					console.Duration(time.Since(start)), console.CountOf(int64(r.Parts), "part"), console.Bytes(r.StoredBytes))
				return err
			})
		},
	}
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}
