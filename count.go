package lightning

import (
	"context"
	"iter"
)

// Range is the keys in [Lo, Hi); nil is no bound.
type Range struct{ Lo, Hi []byte }

// Options returns the options of an iterator over the range. Their slices are those of the
// range, and belong to the caller.
func (r Range) Options() IterOptions { return IterOptions{Lower: r.Lo, Upper: r.Hi} }

// maxParts is into how many ranges one is divided at most.
const maxParts = 1 << 10

// countSteps is how many rows are counted between two looks at the context.
const countSteps = 1024

// count returns how many rows a scan of [lo, hi) shows; nil is no bound.
func count(ctx context.Context, lo, hi []byte, scan func(ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error) (int64, error) {
	if ctx == nil {
		return 0, errNilContext
	}
	if err := ctx.Err(); err != nil {
		return 0, context.Cause(ctx)
	}
	n := int64(0)
	err := scan(ScanOptions{IterOptions: IterOptions{Lower: lo, Upper: hi, KeysOnly: true}}, func(rows iter.Seq2[[]byte, []byte]) error {
		for range rows {
			if n++; n%countSteps == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
