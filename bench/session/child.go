package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/lightningdb/lightning/bench/engine"
	"github.com/lightningdb/lightning/bench/measure"
	"github.com/lightningdb/lightning/bench/result"
	"github.com/lightningdb/lightning/bench/suite"
)

// Child does the work of a child and ends the process, if this is one. It is
// to be called first in main.
func Child() {
	if os.Getenv(childVariable) == "" {
		return
	}
	out := &writer{to: json.NewEncoder(os.Stdout)}
	if err := obey(os.Stdin, out); err != nil {
		_ = out.send(event{Error: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

// writer sends events; several goroutines may use it.
type writer struct {
	mu   sync.Mutex
	to   *json.Encoder
	last time.Time // of progress
}

func (w *writer) send(e event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Encode(e)
}

// progress sends a word of progress, unless one was sent a moment ago.
func (w *writer) progress(words string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.last) > progressEvery {
		w.last = now
		_ = w.to.Encode(event{Progress: words})
	}
}

const progressEvery = 200 * time.Millisecond

// obey does what it is told and keeps the process alive to be killed, if that
// is to happen.
func obey(in io.Reader, out *writer) (err error) {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	if err := measure.Join(o.LimitDir); err != nil {
		return err
	}
	e, err := engine.Lookup(o.Engine)
	if err != nil {
		return err
	}
	group, err := suite.FindGroup(o.Group)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := suite.New(e, o.Dir, o.Config, out.progress)
	err = r.RunPhase(ctx, &group, o.Phase, o.Workloads, func(row result.Row) error {
		return out.send(event{Row: &row})
	})
	if err == nil && group.Phases[o.Phase].Killed {
		if err := out.send(event{Done: true}); err != nil {
			return err
		}
		<-ctx.Done() // killed while the database is open
		return ctx.Err()
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	return out.send(event{Done: true})
}
