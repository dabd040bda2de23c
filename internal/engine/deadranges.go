package engine

import (
	"context"

	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/view"
)

// deadRanges is the worker that proves what was noted: that there is no row in a range.
// See package deadrange.
type deadRanges struct {
	reads   *view.Reader
	commits *commit.Pipeline
}

func (d *deadRanges) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.reads.Dead.Noted():
		}
		if p, ok := d.reads.Dead.Begin(); ok && d.prove(ctx, p) != nil {
			d.reads.Dead.Abandon(p) // and whoever scans there meets the error himself
		}
	}
}

// prove scans what was noted. The commits that may not have seen the range are waited for,
// so they are visible to the scan; what is written later has seen the range, and cuts it.
func (d *deadRanges) prove(ctx context.Context, p deadrange.Proof) error {
	if err := d.commits.AwaitGroup(ctx); err != nil {
		return err
	}
	it, err := d.reads.NewIterator(view.IterOptions{Lower: p.Lo, Upper: p.Hi, Own: true})
	if err != nil {
		return err
	}
	end, at := p.Hi, it.At()
	if it.First() {
		end = it.Key()
	}
	if err = it.Err(); err == nil {
		d.reads.Dead.Settle(p, end, at.Seq, at.Time)
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	return err
}
