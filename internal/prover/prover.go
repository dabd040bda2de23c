// Package prover is the worker that proves what iterators have noted: that there is no row in a
// range. See package deadrange.
package prover

import (
	"context"

	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/view"
)

// Prover proves ranges to be without rows. Run is for one goroutine.
type Prover struct {
	Reads   *view.Reader
	Commits *commit.Pipeline
}

// Run is the worker, until ctx ends.
func (d *Prover) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.Reads.Dead.Noted():
		}
		if p, ok := d.Reads.Dead.Begin(); ok && d.prove(ctx, p) != nil {
			d.Reads.Dead.Abandon(p) // and whoever scans there meets the error himself
		}
	}
}

// prove scans what was noted. The commits that may not have seen the range are waited for,
// so they are visible to the scan; what is written later has seen the range, and cuts it.
func (d *Prover) prove(ctx context.Context, p deadrange.Proof) error {
	if err := d.Commits.AwaitGroup(ctx); err != nil {
		return err
	}
	it, err := d.Reads.NewIterator(view.IterOptions{Lower: p.Lo, Upper: p.Hi, Own: true})
	if err != nil {
		return err
	}
	end, at := p.Hi, it.At()
	if it.First() {
		end = it.Key()
	}
	if err = it.Err(); err == nil {
		d.Reads.Dead.Settle(p, end, at.Seq, at.Time)
	}
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	return err
}
