package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

func newBackupCommand() *cobra.Command {
	var format *choice[outputFormat]
	var parallel int
	rate := byteSize(0)
	cmd := &cobra.Command{
		Use:   "backup DIR TARGET",
		Short: "Store a copy of a database in a directory of backups",
		Long: `Backup stores a copy of the database in DIR in TARGET, a directory that may have the
backups of many days, and of several databases. Only what TARGET does not have yet is
stored, compressed; each backup stands for itself all the same, and any can be
deleted: see 'lightning backups'. One that was interrupted is gone on with by the next.

Nobody else may have the database open meanwhile: a program that has it open makes
backups itself, with DB.Backup, to the same TARGET.`,
		Example: `  lightning backup my.db /mnt/backups/my
  lightning backup my.db /mnt/backups/my --rate 20MiB`,
		Args: arguments(2, "DIR", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			start := time.Now()
			progress := newFileProgress(cmd.ErrOrStderr(), "read")
			info, err := backup.Store(cmd.Context(), args[0], backup.Dir(args[1]), backup.Options{
				BytesPerSecond: int64(rate), Parallel: parallel,
				Progress: func(p backup.Progress) { progress.update(p.DoneBytes, p.TotalBytes) },
			})
			progress.finish()
			if err != nil {
				return interruptedOr(cmd.Context(), openFailure(args[0], err))
			}
			return printBackup(cmd.OutOrStdout(), format.value, "backed up", backup.Restored{Info: info}, time.Since(start))
		},
	}
	addBackupLimits(cmd, &rate, &parallel)
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

func newRestoreCommand() *cobra.Command {
	var format *choice[outputFormat]
	var o backup.RestoreOptions
	var at string
	rate := byteSize(0)
	cmd := &cobra.Command{
		Use:   "restore TARGET DIR",
		Short: "Make a database from a backup",
		Long: `Restore makes a database in DIR from a backup in TARGET and the log that was archived
behind it: the newest state that is there, or that of a time with --at, or that of a
write with --seq. With --id alone it is that backup as it is. Where the log has a hole on the
way, or ends before, that is an error. DIR must not exist, or be an empty directory. All is
compared with what was stored, and at the end verified as by 'lightning check'.
DIR is there as a whole or not at all.`,
		Example: `  lightning restore /mnt/backups/my my.db
  lightning restore /mnt/backups/my my.db --at 2026-11-30T18:00:00Z
  lightning restore /mnt/backups/my my.db --seq 120000`,
		Args: arguments(2, "TARGET", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			start := time.Now()
			if at != "" {
				var err error
				if o.At, err = time.Parse(time.RFC3339, at); err != nil {
					return usagef("--at %s must be a time such as 2026-11-30T18:00:00Z", at)
				}
			}
			progress := newFileProgress(cmd.ErrOrStderr(), "restored")
			o.BytesPerSecond = int64(rate)
			o.Progress = func(p backup.Progress) { progress.update(p.DoneBytes, p.TotalBytes) }
			restored, err := backup.Restore(cmd.Context(), backup.Dir(args[0]), args[1], o)
			progress.finish()
			if err != nil {
				return interruptedOr(cmd.Context(), err)
			}
			return printBackup(cmd.OutOrStdout(), format.value, "restored", restored, time.Since(start))
		},
	}
	cmd.Flags().StringVar(&o.ID, "id", "", "the backup, as 'lightning backups list' has it")
	cmd.Flags().StringVar(&at, "at", "", "what was written by then, as 2026-11-30T18:00:00Z; without archived log, the newest backup that was begun by then")
	cmd.Flags().Uint64Var(&o.Seq, "seq", 0, "all writes up to the one with this sequence number")
	cmd.Flags().StringVar(&o.Database, "database", "", "the identity of the database, where TARGET has several")
	addBackupLimits(cmd, &rate, &o.Parallel)
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

func addBackupLimits(cmd *cobra.Command, rate *byteSize, parallel *int) {
	cmd.Flags().Var(rate, "rate", "move no more than this in a second; 0 is no bound")
	cmd.Flags().IntVar(parallel, "parallel", 0, "pieces at once, each with 20 MiB of memory (default 2)")
}

// interruptedOr returns err, unless the user has ended what failed.
func interruptedOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// backupResult is what backup and restore print, in the form of their JSON.
type backupResult struct {
	backup.Info
	Files   int     `json:"files"`
	Seconds float64 `json:"seconds"`
	ToSeq   uint64  `json:"to_seq,omitempty"` // of what was restored
}

func printBackup(w io.Writer, format outputFormat, what string, restored backup.Restored, took time.Duration) error {
	info := restored.Info
	if format == formatJSON {
		return printJSON(w, backupResult{info, info.Files, took.Seconds(), restored.ToSeq})
	}
	text := fmt.Sprintf("%s %s in %s: %s, %s", what, info.ID, console.Duration(took),
		console.CountOf(int64(info.Files), "file"), console.Bytes(info.SizeBytes))
	if what == "backed up" {
		text += fmt.Sprintf(", of which %s new, stored as %s", console.Bytes(info.NewBytes), console.Bytes(info.StoredBytes))
	}
	if restored.ToSeq > 0 {
		text += fmt.Sprintf(", to write %d of %s", restored.ToSeq, restored.Until.UTC().Format(time.RFC3339))
	}
	_, err := fmt.Fprintln(w, console.Fill(text, 2, console.LineWidth(w)))
	return err
}
