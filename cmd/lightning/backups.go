package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

// newBackupsCommand has what is done with backups that are there.
func newBackupsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backups",
		Short: "List, check and delete backups",
		Long: `Backups works with a directory that 'lightning backup' or DB.Backup has made.
'lightning restore' makes a database of one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBackupsListCommand(), newBackupsCheckCommand(), newBackupsPruneCommand(), newBackupsDeleteCommand())
	return cmd
}

func newBackupsListCommand() *cobra.Command {
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "list TARGET",
		Short: "List the backups of a directory, the oldest first, and the archived log",
		Args:  arguments(1, "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			infos, err := backup.List(cmd.Context(), backup.Dir(args[0]))
			if err != nil && infos == nil {
				return interruptedOr(cmd.Context(), err)
			}
			if format.value == formatJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), results(infos)), err)
			}
			ranges, logErr := backup.Logs(cmd.Context(), backup.Dir(args[0]))
			return errors.Join(printBackups(cmd.OutOrStdout(), infos), printRanges(cmd.OutOrStdout(), ranges), err, logErr)
		},
	}
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// results returns backups as JSON has them.
func results(infos []backup.Info) []backupResult {
	all := make([]backupResult, len(infos))
	for i, info := range infos {
		all[i] = backupResult{Info: info, Files: info.Files}
	}
	return all
}

func printBackups(w io.Writer, infos []backup.Info) error {
	table := console.Table{
		{Title: "backup", Width: 29, Left: true}, {Title: "database", Width: 8, Left: true},
		{Title: "newest write", Width: 12}, {Title: "size", Width: 10}, {Title: "new", Width: 10},
	}
	width := console.LineWidth(w)
	var page strings.Builder
	page.WriteString(table.Head(width) + "\n")
	for _, info := range infos {
		page.WriteString(table.Row(width, info.ID, info.Database[:min(8, len(info.Database))],
			console.Count(int64(info.Seq)), console.Bytes(info.SizeBytes), console.Bytes(info.NewBytes)) + "\n")
	}
	_, err := io.WriteString(w, page.String())
	return err
}

// printRanges tells to which writes and times one can restore from a backup before.
func printRanges(w io.Writer, ranges []backup.Range) error {
	if len(ranges) == 0 {
		return nil
	}
	table := console.Table{
		{Title: "archived log of", Width: 15, Left: true}, {Title: "from write", Width: 12}, {Title: "to write", Width: 12},
		{Title: "known until", Width: 20}, {Title: "stored", Width: 10},
	}
	width := console.LineWidth(w)
	var page strings.Builder
	page.WriteString("\n" + table.Head(width) + "\n")
	for _, r := range ranges {
		page.WriteString(table.Row(width, r.Database[:8], console.Count(int64(r.First)), console.Count(int64(r.Last)),
			r.Until.UTC().Format(time.RFC3339), console.Bytes(r.SizeBytes)) + "\n")
	}
	_, err := io.WriteString(w, page.String())
	return err
}

// checkedBackups is what 'backups check' prints, in the form of its JSON.
type checkedBackups struct {
	Sound     []backupResult    `json:"sound"`
	Damaged   map[string]string `json:"damaged"` // by ID, or the name of a part of the log
	LogParts  int               `json:"log_parts"`
	Chunks    int               `json:"chunks"`
	ReadBytes int64             `json:"read_bytes"`
	Seconds   float64           `json:"seconds"`
}

func newBackupsCheckCommand() *cobra.Command {
	var format *choice[outputFormat]
	var o backup.CheckOptions
	rate := byteSize(0)
	cmd := &cobra.Command{
		Use:   "check TARGET [ID]...",
		Short: "Read all of the backups, and tell which cannot be restored",
		Long: `Check reads every chunk of the backups in TARGET, each once, and the archived log, and tells
which backups cannot be restored, and what of the log is damaged or missing. With --discard it deletes damaged chunks, so that the next backup
of a database that still has their content stores them again.

The exit code is 1 where there is damage.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("missing argument TARGET")
			}
			start := time.Now()
			progress := newFileProgress(cmd.ErrOrStderr(), "checked")
			o.IDs, o.BytesPerSecond = args[1:], int64(rate)
			o.Progress = func(p backup.Progress) { progress.update(p.DoneBytes, p.TotalBytes) }
			report, err := backup.Check(cmd.Context(), backup.Dir(args[0]), o)
			progress.finish()
			if err != nil {
				return interruptedOr(cmd.Context(), err)
			}
			r := checkedBackups{
				Sound: results(report.Backups), Damaged: map[string]string{}, Chunks: report.Chunks,
				LogParts: report.LogParts, ReadBytes: report.ReadBytes, Seconds: time.Since(start).Seconds(),
			}
			for _, damage := range []map[string]error{report.Damage, report.LogDamage} {
				for id, err := range damage {
					r.Damaged[id] = err.Error()
				}
			}
			if format.value == formatJSON {
				err = printJSON(cmd.OutOrStdout(), r)
			} else {
				err = r.print(cmd.OutOrStdout())
			}
			if err == nil && len(r.Damaged) > 0 {
				return errDamaged
			}
			return err
		},
	}
	cmd.Flags().Var(&rate, "rate", "read no more than this in a second; 0 is no bound")
	cmd.Flags().BoolVar(&o.Discard, "discard", false, "delete chunks that are damaged")
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

func (r *checkedBackups) print(w io.Writer) error {
	var page strings.Builder
	style := console.StyleFor(w)
	for _, id := range slices.Sorted(maps.Keys(r.Damaged)) {
		fmt.Fprintf(&page, "%s: %s\n", style.Bad(id), r.Damaged[id])
	}
	fmt.Fprintf(&page, "%s sound, %d damaged; %s, %s read in %s\n", console.CountOf(int64(len(r.Sound)), "backup"),
		len(r.Damaged), console.CountOf(int64(r.Chunks), "chunk"), console.Bytes(r.ReadBytes), console.Duration(asDuration(r.Seconds)))
	_, err := io.WriteString(w, page.String())
	return err
}

func newBackupsPruneCommand() *cobra.Command {
	var keep backup.Keep
	remove := newRemoving(&cobra.Command{
		Use:   "prune TARGET",
		Short: "Delete the backups that no rule keeps",
		Long: `Prune deletes all backups but those that one of the rules keeps, for each database by
itself, the chunks that no other backup has, and the archived log before the oldest. Days, weeks, months and years are
those of UTC; each is represented by its newest backup.`,
		Example: `  lightning backups prune /mnt/backups/my --keep-last 3 --keep-daily 7 --keep-monthly 12
  lightning backups prune /mnt/backups/my --keep-within 720h --dry-run`,
		Args: arguments(1, "TARGET"),
	})
	remove.cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if keep == (backup.Keep{Log: keep.Log}) {
			return usagef("nothing says what to keep: see --help")
		}
		d, err := backup.Prune(cmd.Context(), backup.Dir(args[0]), keep, remove.options)
		return remove.report(d, err)
	}
	flags := remove.cmd.Flags()
	flags.IntVar(&keep.Last, "keep-last", 0, "how many of the newest to keep")
	flags.IntVar(&keep.Daily, "keep-daily", 0, "for how many days to keep one")
	flags.IntVar(&keep.Weekly, "keep-weekly", 0, "for how many weeks to keep one")
	flags.IntVar(&keep.Monthly, "keep-monthly", 0, "for how many months to keep one")
	flags.IntVar(&keep.Yearly, "keep-yearly", 0, "for how many years to keep one")
	flags.DurationVar(&keep.Within, "keep-within", 0, "for how long to keep all, as 720h")
	flags.DurationVar(&keep.Log, "keep-log", 0, "for how long to keep the archived log, as 168h; 0 is back to the oldest backup")
	flags.StringVar(&remove.options.Database, "database", "", "delete only backups of the database with this identity")
	return remove.cmd
}

func newBackupsDeleteCommand() *cobra.Command {
	remove := newRemoving(&cobra.Command{
		Use:   "delete TARGET ID...",
		Short: "Delete backups, and what no other backup needs",
		Args:  cobra.ArbitraryArgs,
	})
	remove.cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) < 2 {
			return usagef("missing argument %s", []string{"TARGET", "ID"}[len(args)])
		}
		d, err := backup.Delete(cmd.Context(), backup.Dir(args[0]), remove.options, args[1:]...)
		return remove.report(d, err)
	}
	return remove.cmd
}

// removing is what the commands that delete have in common.
type removing struct {
	cmd     *cobra.Command
	format  *choice[outputFormat]
	options backup.PruneOptions
}

func newRemoving(cmd *cobra.Command) *removing {
	r := &removing{cmd: cmd}
	cmd.Flags().BoolVar(&r.options.DryRun, "dry-run", false, "say what would be deleted, and delete nothing")
	r.format = addFormat(cmd, formatTable, formatJSON)
	return r
}

// deletedResult is what they print, in the form of their JSON.
type deletedResult struct {
	Deleted []backupResult `json:"deleted"`
	Kept    []backupResult `json:"kept"`
	Chunks  int            `json:"chunks"`
	Bytes   int64          `json:"bytes"`

	LogParts int   `json:"log_parts"`
	LogBytes int64 `json:"log_bytes"`
}

func (r *removing) report(d backup.Deleted, err error) error {
	if err != nil {
		return interruptedOr(r.cmd.Context(), err)
	}
	out := r.cmd.OutOrStdout()
	if r.format.value == formatJSON {
		return printJSON(out, deletedResult{results(d.Backups), results(d.Kept), d.Chunks, d.Bytes, d.LogParts, d.LogBytes})
	}
	verb := "deleted"
	if r.options.DryRun {
		verb = "would delete"
	}
	var page strings.Builder
	for _, info := range d.Backups {
		fmt.Fprintf(&page, "%s %s\n", verb, info.ID)
	}
	fmt.Fprintf(&page, "%s deleted, %d kept; %s given back\n", console.CountOf(int64(len(d.Backups)), "backup"),
		len(d.Kept), console.Bytes(d.Bytes+d.LogBytes))
	_, err = io.WriteString(out, page.String())
	return err
}
