package health

import (
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// newHealth returns a Health, and how often it has said that writes are refused.
func newHealth() (h *Health, refused *int) {
	refused = new(int)
	h = &Health{Config: Config{
		Events: event.NewSink(slog.New(slog.DiscardHandler)),
		Closed: func() bool { return false }, Failed: func() { *refused++ },
	}}
	return h, refused
}

// The first failure is the answer to every write from then on, and is told once.
func TestFirstFailureStays(t *testing.T) {
	h, refused := newHealth()
	if h.Err() != nil || h.Writable() != nil {
		t.Fatal("it begins with a failure")
	}
	first := h.Poison("log", syscall.EIO)
	second := h.Poison("manifest", syscall.ENOSPC)
	if !errors.Is(first, syscall.EIO) || !strings.Contains(first.Error(), "log") {
		t.Errorf("the failure is %v", first)
	}
	if second != first || h.Err() != first || h.Writable() != first {
		t.Errorf("later ones get %v, %v and %v, not %v", second, h.Err(), h.Writable(), first)
	}
	if *refused != 1 {
		t.Errorf("it was told %d times", *refused)
	}
}

// What comes too late for a file that Close has closed has not failed.
func TestLateWriteIsNoFailure(t *testing.T) {
	h, refused := newHealth()
	if err := h.Poison("log", base.ErrClosed); err != base.ErrClosed || h.Err() != nil || *refused != 0 {
		t.Errorf("%v, then %v, told %d times", err, h.Err(), *refused)
	}
}

// A database that is closed, or only read, says so before it speaks of failures.
func TestWritable(t *testing.T) {
	h, _ := newHealth()
	h.Poison("log", syscall.EIO)
	h.ReadOnly = true
	if err := h.Writable(); err != base.ErrReadOnly {
		t.Error(err)
	}
	h.Closed = func() bool { return true }
	if err := h.Writable(); err != base.ErrClosed {
		t.Error(err)
	}
	if !errors.Is(h.Err(), syscall.EIO) {
		t.Error(h.Err())
	}
}

// An outcome is that of the last job, whatever became of those before.
func TestOutcomeIsOfTheLastJob(t *testing.T) {
	var o Outcome
	for _, want := range []error{nil, syscall.EIO, syscall.ENOSPC, nil, nil, syscall.EIO} {
		if o.Set(want); o.Err() != want {
			t.Errorf("%v after %v", o.Err(), want)
		}
	}
}

// A sync of the directory that succeeds after one that failed proves nothing, so
// there is none.
func TestDirectoryIsNotSyncedAfterAFailure(t *testing.T) {
	h, _ := newHealth()
	faulty := faultfs.New(memfs.New())
	fs := &WatchedFS{FS: faulty, Health: h}
	if err := fs.MkdirAll("db"); err != nil {
		t.Fatal(err)
	}
	if err := fs.SyncDir("db"); err != nil || h.Err() != nil {
		t.Fatal(err, h.Err())
	}
	syncs := faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncDir, Err: syscall.EIO})
	if err := fs.SyncDir("db"); !errors.Is(err, syscall.EIO) || !errors.Is(h.Err(), syscall.EIO) {
		t.Errorf("%v, and writes get %v", err, h.Err())
	}
	if err := fs.SyncDir("db"); err == nil || syncs.Seen() != 1 {
		t.Errorf("%v after %d syncs", err, syncs.Seen())
	}
}
