package health

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// patient is a Health whose callbacks the test sees.
type patient struct {
	Health
	closed atomic.Bool
	failed atomic.Int32
	log    bytes.Buffer
}

func newPatient() *patient {
	p := &patient{}
	p.Config = Config{
		Events: event.NewSink(slog.New(slog.NewTextHandler(&p.log, nil)), nil),
		Closed: p.closed.Load, Failed: func() { p.failed.Add(1) },
	}
	return p
}

// The first failure is the reason for good; it is told once, and before those who
// wait are woken.
func TestFirstFailureIsKept(t *testing.T) {
	p := newPatient()
	if p.Err() != nil || p.Writable() != nil {
		t.Errorf("a new database: %v, %v", p.Err(), p.Writable())
	}
	first, second := errors.New("first"), errors.New("second")
	p.Failed = func() {
		p.failed.Add(1)
		if !errors.Is(p.Err(), first) {
			t.Error("woken before the reason is known")
		}
	}
	for _, err := range []error{p.Poison("log", first), p.Poison("manifest", second), p.Err(), p.Writable()} {
		if !errors.Is(err, first) || errors.Is(err, second) || !strings.Contains(err.Error(), "log") {
			t.Errorf("got %v", err)
		}
	}
	if p.failed.Load() != 1 || strings.Count(p.log.String(), "database refuses writes") != 1 {
		t.Errorf("told %d times: %s", p.failed.Load(), &p.log)
	}
}

func TestConcurrentFailures(t *testing.T) {
	p := newPatient()
	got := make([]error, 16)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = p.Poison("log", fmt.Errorf("failure %d", i)) })
	}
	wg.Wait()
	for _, err := range got {
		if err != got[0] {
			t.Errorf("%v, and %v", err, got[0])
		}
	}
	if p.failed.Load() != 1 {
		t.Errorf("told %d times", p.failed.Load())
	}
}

// Who finds the log closed came too late; that is no failure.
func TestClosedIsNoFailure(t *testing.T) {
	p := newPatient()
	if err := p.Poison("log", fmt.Errorf("append: %w", base.ErrClosed)); err != base.ErrClosed {
		t.Errorf("got %v", err)
	}
	if p.Err() != nil || p.failed.Load() != 0 || p.log.Len() > 0 {
		t.Errorf("poisoned: %v; told %q", p.Err(), &p.log)
	}
	p.ReadOnly = true
	if err := p.Writable(); err != base.ErrReadOnly {
		t.Errorf("read-only: %v", err)
	}
	p.closed.Store(true)
	if err := p.Writable(); err != base.ErrClosed {
		t.Errorf("closed: %v", err)
	}
}

func TestOutcome(t *testing.T) {
	var o Outcome
	if o.Err() != nil {
		t.Error(o.Err())
	}
	reason := errors.New("reason")
	o.Set(reason)
	if o.Err() != reason {
		t.Error(o.Err())
	}
	o.Set(nil)
	if o.Err() != nil {
		t.Error(o.Err())
	}
}

// After a failed sync of a directory all later ones fail, without being tried: one
// that succeeds would say nothing.
func TestFailedDirectorySyncPoisons(t *testing.T) {
	p := newPatient()
	under := faultfs.New(memfs.New())
	fs := &WatchedFS{FS: under, Health: &p.Health}
	for range 2 {
		if err := fs.SyncDir("/"); err != nil {
			t.Fatal(err)
		}
	}
	reason := errors.New("reason")
	under.Add(faultfs.Rule{Kinds: vfs.OpSyncDir, Err: reason})
	if err := fs.SyncDir("/"); !errors.Is(err, reason) || !errors.Is(p.Err(), reason) {
		t.Errorf("got %v; the database says %v", err, p.Err())
	}
	if err := fs.SyncDir("/"); err != p.Err() || under.Count(vfs.OpSyncDir) != 3 {
		t.Errorf("a later one: %v, after %d tries", err, under.Count(vfs.OpSyncDir))
	}
}
