package verify

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/signal"
)

// Scrubber verifies a database from time to time, while it is used. What it finds is told as an
// event, once, and is in its State; nothing else becomes of it, as with every verification.
// One goroutine runs it; State may be called at any time.
type Scrubber struct {
	Every          time.Duration // from the end of one to the begin of the next; 0: there is none
	BytesPerSecond int64
	Clock          clock.Clock
	Events         *event.Sink
	Verify         func(ctx context.Context, o Options) (Report, error)

	state atomic.Pointer[ScrubState] // nil: none has begun
}

// ScrubState is how far a Scrubber has come.
type ScrubState struct {
	Running               bool
	ReadBytes, TotalBytes int64 // of the one that is running
	Runs                  int64 // that came to their end
	// Of the last one that came to its end.
	Ended  time.Time
	Took   time.Duration
	Damage int
}

// State returns it.
func (s *Scrubber) State() ScrubState {
	if at := s.state.Load(); at != nil {
		return *at
	}
	return ScrubState{}
}

// Run works until ctx ends.
func (s *Scrubber) Run(ctx context.Context) {
	if s.Every == 0 {
		return
	}
	for signal.Sleep(ctx, s.Clock, s.Every) {
		if err := s.scrub(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, base.ErrClosed) {
			s.Events.BackgroundFailed("scrub", err)
		}
	}
}

// scrub verifies everything once.
func (s *Scrubber) scrub(ctx context.Context) error {
	now := s.State()
	update := func() {
		state := now
		s.state.Store(&state)
	}
	now.Running, now.ReadBytes, now.TotalBytes = true, 0, 0
	update()
	defer func() {
		now.Running = false
		update()
	}()
	start := s.Clock.Now()
	report, err := s.Verify(ctx, Options{
		BytesPerSecond: s.BytesPerSecond, Clock: s.Clock,
		Progress: func(p Progress) {
			now.ReadBytes, now.TotalBytes = p.ReadBytes, p.TotalBytes
			update()
		},
	})
	if err != nil {
		return err
	}
	now.Runs++
	now.Ended = s.Clock.Now()
	now.Took, now.Damage = now.Ended.Sub(start), len(report.Damage)
	event.ScrubEnded(s.Events, event.ScrubInfo{
		Files: report.Files, ReadBytes: report.ReadBytes, Took: now.Took, Damage: report.Damage,
	})
	return nil
}
