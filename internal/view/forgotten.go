package view

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/event"
)

// A handle that its user forgot to close pins files and old versions for ever. The garbage
// collector knows when nobody can reach it any more: then it is closed, counted, and told to
// the log and the listener. Of what a handle holds, nothing may lead back to it, or it would
// be reached from there; so what is closed is handed to the collector apart from the handle.

// HandleKind says what a handle is.
type HandleKind uint8

const (
	KindIterator HandleKind = iota
	KindSnapshot
	KindTransaction
	KindLoader
	kinds
)

func (k HandleKind) String() string {
	return [...]string{KindIterator: "iterator", KindSnapshot: "snapshot", KindTransaction: "transaction", KindLoader: "bulk loader"}[k]
}

// HandleCounts counts handles by their kind.
type HandleCounts [kinds]int

// tallies counts what became of handles. It is safe for concurrent use.
type tallies [kinds]atomic.Int64

func (t *tallies) counts() (c HandleCounts) {
	for kind := range t {
		c[kind] = int(t[kind].Load())
	}
	return c
}

// Opened is when a handle was opened, and by whom if handles are tracked.
type Opened struct {
	At    time.Time
	Stack []byte
}

// NoteForgotten says that a handle was found that nobody can reach, and is about to be closed.
func NoteForgotten(r *Reader, kind HandleKind, opened Opened) {
	r.handles.forgotten[kind].Add(1)
	event.HandleForgotten(r.cfg.Events, describe(&r.cfg, kind, opened))
}

// describe says of a handle what its user should know.
func describe(cfg *Config, kind HandleKind, opened Opened) event.HandleInfo {
	return event.HandleInfo{
		Kind: kind.String(), Age: cfg.Clock.Now().Sub(opened.At), Stack: string(opened.Stack),
	}
}

// closeIfForgotten has the pin of a snapshot given back when nobody can reach that.
func (s *Snapshot) closeIfForgotten() {
	s.cleanup = runtime.AddCleanup(s, func(p pinned) { p.forgotten() }, pinned{s.reader, s.pin})
}

// pinned is what a snapshot holds.
type pinned struct {
	reader *Reader
	pin    *pin
}

func (p pinned) forgotten() {
	NoteForgotten(p.reader, KindSnapshot, p.pin.opened())
	if p.reader.handles.unpin(p.pin) {
		p.reader.cfg.SnapshotClosed()
	}
}
