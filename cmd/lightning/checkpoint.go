package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

func newCheckpointCommand() *cobra.Command {
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "checkpoint DIR TARGET",
		Short: "Make a second database of the same content, mostly without copying",
		Long: `Checkpoint makes a database in TARGET that holds all that the one in DIR does: all
keyspaces, and the log archive. Files that do not change any more are in both, as
hard links, and take no space of their own as long as both have them; on another
file system they are copied. TARGET must not exist, or be an empty directory.

The database in DIR is not changed, and nobody else may have it open meanwhile: a
program that has it open takes checkpoints itself, with DB.Checkpoint. The two
databases are then used, changed and deleted independently of each other. But
what is linked is on the disk once: against a broken disk only a copy helps.`,
		Args: arguments(2, "DIR", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := runCheckpoint(cmd.Context(), args[0], args[1], cmd.ErrOrStderr())
			switch {
			case err != nil:
				return err
			case format.value == formatJSON:
				return printJSON(cmd.OutOrStdout(), result)
			}
			return result.print(cmd.OutOrStdout())
		},
	}
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// checkpointResult is what checkpoint prints, in the form of its JSON.
type checkpointResult struct {
	Seconds     float64 `json:"seconds"`
	NewestWrite uint64  `json:"newest_write"`
	Files       int     `json:"files"`
	LinkedBytes int64   `json:"linked_bytes"`
	CopiedBytes int64   `json:"copied_bytes"`
}

func runCheckpoint(ctx context.Context, dir, target string, notes io.Writer) (r checkpointResult, err error) {
	start := time.Now()
	progress := newFileProgress(notes, "copied")
	err = readStore(dir, "", func(db *lightning.DB, _ store) error {
		info, err := db.CheckpointWith(ctx, target, lightning.CheckpointOptions{
			Progress: func(p lightning.CheckpointProgress) { progress.update(p.CopiedBytes, p.TotalBytes-p.LinkedBytes) },
		})
		progress.finish()
		r = checkpointResult{
			NewestWrite: info.Seq, Files: info.Files, LinkedBytes: info.LinkedBytes, CopiedBytes: info.CopiedBytes,
		}
		return err
	})
	r.Seconds = time.Since(start).Seconds()
	switch {
	case ctx.Err() != nil && err != nil:
		return r, errInterrupted
	case errors.Is(err, lightning.ErrCheckpointExists):
		return r, plainError{err.Error(), err}
	}
	return r, err
}

func (r *checkpointResult) print(w io.Writer) error {
	text := fmt.Sprintf("%s in %s: %s linked, %s copied", console.CountOf(int64(r.Files), "file"),
		console.Duration(asDuration(r.Seconds)), console.Bytes(r.LinkedBytes), console.Bytes(r.CopiedBytes))
	_, err := fmt.Fprintln(w, console.Fill(text, 2, console.LineWidth(w)))
	return err
}

// fileProgress shows on one line how much of some files is done. Without a terminal it shows
// nothing. One goroutine uses it.
type fileProgress struct {
	out     io.Writer
	done    string // what was done with them
	start   time.Time
	shown   time.Time // when the line was last drawn
	visible bool
}

func newFileProgress(out io.Writer, done string) *fileProgress {
	return &fileProgress{out: out, done: done, start: time.Now(), visible: console.CanRedraw(out)}
}

func (p *fileProgress) update(doneBytes, totalBytes int64) {
	if !p.visible || time.Since(p.shown) < progressInterval {
		return
	}
	p.shown = time.Now()
	// The last column stays free, and the line is decoration: see importProgress.
	fmt.Fprintf(p.out, "\r%s\x1b[K", fitting(p.forms(doneBytes, totalBytes, time.Since(p.start)), console.Width(p.out)-1))
}

// forms returns what to show, from the fullest form to the shortest.
func (p *fileProgress) forms(doneBytes, totalBytes int64, elapsed time.Duration) []string {
	short := fmt.Sprintf("%s %s", console.Bytes(doneBytes), p.done)
	if totalBytes <= 0 || doneBytes <= 0 {
		return []string{short}
	}
	share := min(1, float64(doneBytes)/float64(totalBytes))
	left := console.Duration(time.Duration(float64(elapsed)*(1-share)/share)) + " left"
	return []string{
		fmt.Sprintf("%s %s %.0f%%, %s", short, progressBar(share), 100*share, left),
		fmt.Sprintf("%s, %.0f%%, %s", short, 100*share, left), fmt.Sprintf("%s, %.0f%%", short, 100*share), short,
	}
}

// finish removes the line.
func (p *fileProgress) finish() {
	if p.visible {
		fmt.Fprint(p.out, "\r\x1b[K") // decoration, as above
		p.visible = false
	}
}
