package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

// scanFlags choose what a scan visits and prints.
type scanFlags struct {
	keys             keyFlags
	prefix, from, to string
	reverse          bool
	limit            int64
	keysOnly         bool
	count            bool
	estimate         bool
	form             recordForm
}

func newScanCommand() *cobra.Command {
	var flags scanFlags
	cmd := &cobra.Command{
		Use:   "scan DIR",
		Short: "Print records in key order",
		Long: `Scan prints the records of a database in key order, one a line, the key and the
value divided by a tab: all of them, those that begin with a prefix, or those of
a range, forwards or backwards. A scan that finds nothing is no failure. One that
is interrupted (ctrl-C) ends behind a whole record, unless that is one of more than
4 KiB and nobody reads what is printed.

` + formatHelp,
		Example: `  lightning scan my.db --prefix user/ --limit 10
  lightning scan my.db --from 2024- --to 2025- --reverse
  lightning scan my.db --count
  lightning scan my.db --count --estimate --prefix user/`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			bounds, err := flags.bounds()
			if err != nil {
				return err
			}
			return readStore(args[0], flags.keys.keyspace, func(_ *lightning.DB, target store) error {
				out := flags.form.printer(cmd, target)
				count, err := flags.run(cmd.Context(), target, bounds, out)
				if err != nil {
					return err
				}
				if err := out.flush(); err != nil || !flags.count {
					return err
				}
				if flags.form.format.value == formatJSON {
					return printJSON(cmd.OutOrStdout(), countResult{count})
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), count)
				return err
			})
		},
	}
	flags.keys.register(cmd)
	cmd.Flags().StringVarP(&flags.prefix, "prefix", "p", "", "only keys that begin with this")
	cmd.Flags().StringVar(&flags.from, "from", "", "only keys from this one on, inclusive")
	cmd.Flags().StringVar(&flags.to, "to", "", "only keys before this one, exclusive")
	cmd.Flags().BoolVarP(&flags.reverse, "reverse", "r", false, "last key first")
	cmd.Flags().Int64VarP(&flags.limit, "limit", "n", 0, "stop after this many records; 0 is no limit")
	cmd.Flags().BoolVar(&flags.keysOnly, "keys-only", false, "print no values")
	cmd.Flags().BoolVar(&flags.count, "count", false, "print only how many records there are")
	cmd.Flags().BoolVar(&flags.estimate, "estimate", false, "with --count: about how many, without looking at each")
	flags.form.register(cmd)
	return cmd
}

// countResult is what scan --count prints, in the form of its JSON.
type countResult struct {
	Count int64 `json:"count"`
}

// bounds turns the flags into the range to visit.
func (f *scanFlags) bounds() (lightning.IterOptions, error) {
	if f.count && f.form.expiry {
		return lightning.IterOptions{}, usagef("--count prints no records, and --expiry is about them")
	}
	if f.estimate && (!f.count || f.limit != 0) {
		return lightning.IterOptions{}, usagef("--estimate is about --count, without --limit")
	}
	if f.limit < 0 {
		return lightning.IterOptions{}, usagef("--limit must not be negative")
	}
	var opts lightning.IterOptions
	for _, bound := range []struct {
		flag, text string
		target     *[]byte
	}{
		{"prefix", f.prefix, &opts.Prefix},
		{"from", f.from, &opts.Lower},
		{"to", f.to, &opts.Upper},
	} {
		key, err := f.keys.bound(bound.text)
		if err != nil {
			return lightning.IterOptions{}, err
		}
		*bound.target = key
	}
	if opts.Upper != nil && bytes.Compare(opts.Lower, opts.Upper) > 0 {
		return lightning.IterOptions{}, usagef("--from must not sort after --to")
	}
	return opts, nil
}

// run scans or, where that is enough, estimates.
func (f *scanFlags) run(
	ctx context.Context, target store, bounds lightning.IterOptions, out *printer,
) (count int64, err error) {
	if !f.estimate {
		return f.scan(ctx, target, bounds, out)
	}
	lo, hi := bounds.Lower, bounds.Upper
	if end := afterPrefix(bounds.Prefix); end != nil && (hi == nil || bytes.Compare(end, hi) < 0) {
		hi = end
	}
	if bytes.Compare(bounds.Prefix, lo) > 0 {
		lo = bounds.Prefix
	}
	if hi != nil && bytes.Compare(lo, hi) >= 0 {
		return 0, nil // the prefix and the bounds have nothing in common
	}
	return target.EstimateCount(lo, hi)
}

// scan visits the records in bounds and prints what is wanted of each. It
// returns how many there were.
func (f *scanFlags) scan(
	ctx context.Context, target store, bounds lightning.IterOptions, out *printer,
) (count int64, err error) {
	bounds.KeysOnly = f.count || f.keysOnly
	it, err := target.Iterator(bounds)
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	position, step := it.First, it.Next
	if f.reverse {
		position, step = it.Last, it.Prev
	}
	for ok := position(); ok && (f.limit == 0 || count < f.limit); ok = step() {
		if count%1024 == 0 && ctx.Err() != nil {
			return count, errInterrupted
		}
		if err := f.print(out, it); err != nil {
			return count, err
		}
		count++
	}
	return count, it.Err()
}

func (f *scanFlags) print(out *printer, it *lightning.Iterator) error {
	switch {
	case f.count:
		return nil
	case f.keysOnly:
		return out.row(it.ExpiresAt(), column{"key", it.Key()})
	}
	return out.row(it.ExpiresAt(), column{"key", it.Key()}, column{"value", it.Value()})
}
