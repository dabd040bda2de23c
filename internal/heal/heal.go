// Package heal has the files rewritten of whose sectors some are lost and made good by parity.
// Whoever meets such a sector tells a Healer, and reads on; a worker does the rest, one file after
// the other. A file that cannot be rewritten is tried again, unless more of it is lost than parity
// makes good: then it stays as it is, and what can be read of it can.
//
// A Healer has no lock: what is lost and what waits are in maps that need none.
package heal

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/parity"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
)

// Healer does it. Note and Metrics may be called at any time, by anybody; Run by one goroutine.
type Healer struct {
	Config
	lost    sync.Map      // lostSector -> nil: of files that are not rewritten yet
	waiting sync.Map      // base.FileNum -> nil
	wake    chan struct{} // holds one when there may be something to do

	sectors, files, failed atomic.Int64
}

// Config says what a Healer works with.
type Config struct {
	Store      *store.Store
	Events     *event.Sink
	Clock      clock.Clock
	RetryDelay time.Duration
	Admit      func() error // says why no file is to be written now
}

// New returns a healer that has nothing to do. Its Config may be set until Run.
func New() *Healer { return &Healer{wake: make(chan struct{}, 1)} }

// lostSector is the place of one.
type lostSector struct {
	table  base.FileNum
	offset int64
}

// Metrics describe what a Healer has done.
type Metrics struct {
	LostSectors, HealedFiles, Failures int64
	// Unhealed is how many files wait to be rewritten, or cannot be.
	Unhealed int
}

// Metrics returns them.
func (h *Healer) Metrics() Metrics {
	m := Metrics{LostSectors: h.sectors.Load(), HealedFiles: h.files.Load(), Failures: h.failed.Load()}
	files := map[base.FileNum]bool{}
	h.lost.Range(func(at, _ any) bool {
		files[at.(lostSector).table] = true
		return true
	})
	m.Unhealed = len(files)
	return m
}

// Note takes up that a sector is lost. Locks may be held.
func (h *Healer) Note(table base.FileNum, err *base.CorruptionError) {
	if _, known := h.lost.LoadOrStore(lostSector{table, err.Offset}, nil); known {
		return
	}
	h.sectors.Add(1)
	event.SectorLost(h.Events, err)
	h.waiting.Store(table, nil)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (h *Healer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		for !h.all(ctx) {
			if !signal.Sleep(ctx, h.Clock, h.RetryDelay) {
				return
			}
		}
	}
}

// all heals what waits, and reports whether nothing is to be tried again.
func (h *Healer) all(ctx context.Context) (done bool) {
	done = true
	h.waiting.Range(func(key, _ any) bool {
		table := key.(base.FileNum)
		h.waiting.Delete(table) // what is met from now on is noted again
		if err := h.heal(ctx, table); err != nil && ctx.Err() == nil {
			h.failed.Add(1)
			event.Healed(h.Events, event.HealInfo{File: store.TableName(table), Err: err})
			if !errors.Is(err, parity.ErrBeyond) && !errors.Is(err, base.ErrCorrupted) {
				h.waiting.Store(table, nil)
				done = false
			}
		}
		return ctx.Err() == nil
	})
	return done
}

// heal has one file rewritten.
func (h *Healer) heal(ctx context.Context, table base.FileNum) error {
	if err := h.Admit(); err != nil {
		return err
	}
	healed, err := store.Heal(ctx, h.Store, table)
	if err != nil {
		return err
	}
	sectors := 0
	h.lost.Range(func(at, _ any) bool {
		if at.(lostSector).table == table {
			h.lost.Delete(at)
			sectors++
		}
		return true
	})
	if healed { // or the table has gone meanwhile
		h.files.Add(1)
		event.Healed(h.Events, event.HealInfo{File: store.TableName(table), Sectors: sectors})
	}
	return nil
}
