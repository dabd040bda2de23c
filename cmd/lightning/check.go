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
)

// errDamaged says that a check has found damage, which is told by then.
var errDamaged = errors.New("the database is damaged")

func newCheckCommand() *cobra.Command {
	var format *choice[outputFormat]
	rate := byteSize(0)
	cmd := &cobra.Command{
		Use:   "check DIR",
		Short: "Read all files of a database and report damage",
		Long: `Check reads every file of a database, and reports all that is damaged: each block of
each table, with its checksum, order, filter and index; the values that records have
in other files; the log as far as it is needed, its archive, and the manifest. It
also reads a database that cannot be opened because of damage, and changes nothing.
What a crash has left unfinished is no damage. Nobody else may have the database
open meanwhile: a program that has it open checks it with DB.Verify.

Sectors that are lost, and that the parity of a table makes good, are reported as healable: a
database that is opened has the files rewritten when it reads there, or verifies itself.

The exit code is 1 where there is damage; what is healable is none.`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := runCheck(cmd.Context(), args[0], int64(rate), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if format.value == formatJSON {
				err = printJSON(cmd.OutOrStdout(), result)
			} else {
				err = result.print(cmd.OutOrStdout())
			}
			if err == nil && len(result.Damage) > 0 {
				return errDamaged
			}
			return err
		},
	}
	cmd.Flags().Var(&rate, "rate", "read no more than this in a second; 0 is no bound")
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// checkResult is what check prints, in the form of its JSON.
type checkResult struct {
	Seconds   float64       `json:"seconds"`
	Files     int           `json:"files"`
	ReadBytes int64         `json:"read_bytes"`
	Damage    []damagePiece `json:"damage"`
	Healable  []damagePiece `json:"healable"` // sectors that parity makes good
}

type damagePiece struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"` // -1: the whole file
	Length int64  `json:"length"` // 0: unknown
	Kind   string `json:"kind"`
	Error  string `json:"error"`
	// The stored keys that are affected, each with the prefix of its keyspace; both are left
	// out where that is unknown.
	LoHex string `json:"lo_hex,omitempty"`
	HiHex string `json:"hi_hex,omitempty"`
}

func runCheck(ctx context.Context, dir string, bytesPerSecond int64, notes io.Writer) (checkResult, error) {
	start := time.Now()
	progress := newFileProgress(notes, "read")
	report, err := lightning.Verify(ctx, dir, nil, lightning.VerifyOptions{
		BytesPerSecond: bytesPerSecond,
		Progress:       func(p lightning.VerifyProgress) { progress.update(p.ReadBytes, p.TotalBytes) },
	})
	progress.finish()
	if err != nil {
		return checkResult{}, interruptedOr(ctx, openFailure(dir, err))
	}
	r := checkResult{
		Seconds: time.Since(start).Seconds(), Files: report.Files, ReadBytes: report.ReadBytes,
		Damage: damagePieces(report.Damage), Healable: damagePieces(report.Healable),
	}
	return r, nil
}

func damagePieces(found []*lightning.CorruptionError) []damagePiece {
	pieces := []damagePiece{}
	for _, e := range found {
		pieces = append(pieces, damagePiece{
			e.File, e.Offset, e.Length, e.Kind, e.Err.Error(), hex.EncodeToString(e.Lo), hex.EncodeToString(e.Hi),
		})
	}
	return pieces
}

func (r *checkResult) print(w io.Writer) error {
	var page strings.Builder
	style := console.StyleFor(w)
	for _, d := range r.Damage {
		where := d.File
		if d.Offset >= 0 {
			where += fmt.Sprintf(" at %d", d.Offset)
		}
		fmt.Fprintf(&page, "%s: %s: %s\n", style.Bad(where), d.Kind, d.Error)
		if d.LoHex != "" {
			fmt.Fprintf(&page, "  keys %s to %s\n", d.LoHex, d.HiHex)
		}
	}
	for _, d := range r.Healable {
		fmt.Fprintf(&page, "%s at %d: healable: %s\n", d.File, d.Offset, d.Error)
	}
	found := "no damage"
	if n := len(r.Damage); n > 0 {
		found = style.Bad("damage in " + console.CountOf(int64(n), "place"))
	}
	if n := len(r.Healable); n > 0 {
		found += ", " + console.CountOf(int64(n), "healable sector")
	}
	fmt.Fprintf(&page, "%s, %s read in %s: %s\n", console.CountOf(int64(r.Files), "file"), console.Bytes(r.ReadBytes),
		console.Duration(asDuration(r.Seconds)), found)
	_, err := io.WriteString(w, page.String())
	return err
}
