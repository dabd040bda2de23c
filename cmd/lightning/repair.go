package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/repair"
)

// errIncomplete says that a repair has lost something, which is told by then. It has the exit
// code of damage that was found.
var errIncomplete = fmt.Errorf("some of the data is lost or uncertain: %w", errDamaged)

func newRepairCommand() *cobra.Command {
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "repair DIR NEWDIR",
		Short: "Make a new database of what can be read of a damaged one",
		Long: `Repair reads all that can be read of the database in DIR, also where it cannot be
opened: tables block by block, the log group by group, without its manifest if that is
lost. It makes a database of that in NEWDIR, which must not exist, or be an empty
directory, and verifies it. DIR is not changed. Nobody may have it open meanwhile.

It prints what is lost or uncertain. A key in a range that it names may be absent, have
a value of before, or be back though it was deleted; all others are as they were. Ranges
are of stored keys, in hexadecimal: the prefix of the keyspace, which is 00 for the
default one, and the key. A loss without a range may be of any key.

The exit code is 0 if nothing is lost or uncertain, and 1 if something is; NEWDIR is
there in both cases. After an interrupt it is not there.`,
		Example: `  lightning repair my.db my-repaired.db
  lightning repair my.db my-repaired.db --json >report.json`,
		Args: arguments(2, "DIR", "NEWDIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := runRepair(cmd.Context(), args[0], args[1], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if format.value == formatJSON {
				err = printJSON(cmd.OutOrStdout(), result)
			} else {
				err = result.print(cmd.OutOrStdout())
			}
			if err == nil && !result.Sound {
				return errIncomplete
			}
			return err
		},
	}
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// repairResult is what repair prints, in the form of its JSON.
type repairResult struct {
	Seconds      float64   `json:"seconds"`
	Sound        bool      `json:"sound"`
	ManifestLost bool      `json:"manifest_lost"`
	CurrentLost  bool      `json:"current_lost"`
	Tables       int       `json:"tables"`
	LogGroups    int       `json:"log_groups"`
	Records      uint64    `json:"records"`
	Lost         []lost    `json:"lost"`
	LostWrites   []lostSeq `json:"lost_writes"`
	// LostLogEnd is the first write that may be lost at the end of the log; 0: none is.
	LostLogEnd uint64   `json:"lost_log_end"`
	Recovered  []string `json:"recovered_keyspaces"`
}

// lost is a place that could not be read.
type lost struct {
	damagePiece
	Values int `json:"values,omitempty"` // lost one by one
}

// lostSeq is a range of sequence numbers, both ends included.
type lostSeq struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func runRepair(ctx context.Context, dir, target string, notes io.Writer) (repairResult, error) {
	start := time.Now()
	visible := console.CanRedraw(notes)
	report, err := repair.Repair(ctx, dir, target, repair.Options{Progress: func(p repair.Progress) {
		if visible {
			fmt.Fprintf(notes, "\r%s\x1b[K", console.CountOf(int64(p.Files), "file")) // decoration: a failure means nothing
		}
	}})
	if visible {
		fmt.Fprint(notes, "\r\x1b[K") // as above
	}
	switch {
	case errors.Is(err, lightning.ErrCheckpointExists):
		return repairResult{}, plainError{err.Error(), err}
	case err != nil:
		return repairResult{}, interruptedOr(ctx, openFailure(dir, err))
	}
	r := repairResult{
		Seconds: time.Since(start).Seconds(), Sound: report.Sound(), ManifestLost: report.ManifestLost,
		CurrentLost: report.CurrentLost, Tables: report.Tables, LogGroups: report.LogGroups, Records: report.Records,
		Lost: []lost{}, LostWrites: []lostSeq{}, LostLogEnd: report.LostLogEnd, Recovered: append([]string{}, report.Recovered...),
	}
	for _, l := range report.Lost {
		r.Lost = append(r.Lost, lost{damagePiece{
			l.File, l.Offset, l.Length, l.Kind, l.Reason, hex.EncodeToString(l.Lo), hex.EncodeToString(l.Hi),
		}, l.Values})
	}
	for _, s := range report.LostSeqs {
		r.LostWrites = append(r.LostWrites, lostSeq(s))
	}
	return r, nil
}

func (r *repairResult) print(w io.Writer) error {
	var page strings.Builder
	style := console.StyleFor(w)
	if r.ManifestLost {
		fmt.Fprintf(&page, "%s: the tables were found by their files, and are all uncertain\n", style.Bad("the manifest is lost"))
	}
	if r.CurrentLost {
		fmt.Fprintf(&page, "%s: the newest manifest was taken\n", style.Bad("CURRENT is lost"))
	}
	for _, l := range r.Lost {
		where := l.File
		if l.Offset >= 0 {
			where += fmt.Sprintf(" at %d", l.Offset)
		}
		fmt.Fprintf(&page, "%s: %s: %s\n", style.Bad(where), l.Kind, l.Error)
		switch {
		case l.HiHex != "":
			fmt.Fprintf(&page, "  keys %s to %s\n", l.LoHex, l.HiHex)
		default:
			page.WriteString("  any key\n")
		}
	}
	for _, s := range r.LostWrites {
		fmt.Fprintf(&page, "%s: writes %d to %d, of any key\n", style.Bad("log"), s.First, s.Last)
	}
	if r.LostLogEnd > 0 {
		fmt.Fprintf(&page, "%s: writes from %d on may be lost, of any key\n", style.Bad("log"), r.LostLogEnd)
	}
	for _, name := range r.Recovered {
		fmt.Fprintf(&page, "a keyspace whose name is lost is now %s\n", name)
	}
	found := "nothing is lost"
	if !r.Sound {
		found = style.Bad("some is lost or uncertain")
	}
	fmt.Fprintf(&page, "%s from %s and %s in %s: %s\n", console.CountOf(int64(r.Records), "record"),
		console.CountOf(int64(r.Tables), "table"), console.CountOf(int64(r.LogGroups), "log group"),
		console.Duration(asDuration(r.Seconds)), found)
	_, err := io.WriteString(w, page.String())
	return err
}
