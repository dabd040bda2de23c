// Package spill keeps what transactions write and cannot keep in memory.
package spill

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/txn"
)

// Config is what Spills work with.
type Config struct {
	Store  *store.Store
	Epochs *epoch.Domain
	// FileBytes is the size of the database's tables. Those of spills are several
	// times larger.
	FileBytes int64
	// Writable says why no file may be written, or returns nil; Admit why none may
	// be made.
	Writable, Admit func() error
	Stopped         context.Context // ends when the database closes
	// Sorters have buffers of MemtableBytes together, out of Memory.
	Memory        *offheap.Accountant
	MemtableBytes int
}

// Spills are those of all open transactions of a database. When the database is
// closed it gives up the runs of all, so that their files go; reads answer
// base.ErrClosed then.
//
// All methods are safe for concurrent use. The lock is never held during I/O, and
// no other is taken under it.
type Spills struct {
	cfg Config

	mu     ranked.Mutex[ranked.Spills]
	open   map[*Spill]bool // nil once the database is closed
	closed atomic.Bool
	busy   sync.WaitGroup // calls that write or remove files
}

// New returns the spills of a database, of which there are none yet.
func New(cfg Config) *Spills { return &Spills{cfg: cfg, open: map[*Spill]bool{}} }

// Stopped ends when the database closes.
func (a *Spills) Stopped() context.Context { return a.cfg.Stopped }

// Begin says why no file may be written for a transaction, or makes Close wait
// until End.
func (a *Spills) Begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		return base.ErrClosed
	}
	if err := a.cfg.Writable(); err != nil {
		return err
	}
	a.busy.Add(1)
	return nil
}

// End ends what Begin began.
func (a *Spills) End() { a.busy.Done() }

// FileBytes returns at what size a table ends of a transaction that writes so
// many bytes: large, so that they are few; but what is kept in memory while a
// file is written grows with it.
func (a *Spills) FileBytes(sizeBytes int64, files int64) int64 {
	return max(a.cfg.FileBytes, min(growth*a.cfg.FileBytes, sizeBytes/files))
}

// Close gives up the spills of all transactions that are still open.
func (a *Spills) Close() {
	a.mu.Lock()
	spills := a.open
	a.open = nil
	a.closed.Store(true)
	a.mu.Unlock()
	a.busy.Wait()
	if len(spills) == 0 {
		return
	}
	a.cfg.Epochs.Synchronize() // reads look at runs inside a guard
	for s := range spills {
		s.release()
	}
}

// Spill keeps the writes of a transaction that take too much memory, in sorted
// runs: tables that no manifest names and that are not synced, so a crash leaves
// orphans, which the next open removes. It is txn.Spilled.
//
// The records of a run are newer than those of the runs behind it, and each run
// counts references: its spill and every iterator over it hold one.
//
// A Spill is used by one goroutine at a time.
type Spill struct {
	all   *Spills
	runs  []*run // newest first; tiers never descend
	fanIn int    // how many runs of one tier are merged
}

// run is one run of a spill: tables in key order. Runs of tier 0 come from
// memory; so many neighbours of one tier become one of the next.
type run struct {
	store                   *store.Store
	tables                  []*store.Table
	smallestSeq, largestSeq base.SeqNum
	tier                    int
	refs                    atomic.Int32
}

const (
	// lookupFanIn is how many runs of one tier are merged where keys are looked up: a
	// lookup asks about that many for each power of it, and everything is written once for
	// each.
	lookupFanIn = 8
	// growth is how much larger than others the files of a large transaction are.
	growth = 8
)

// NewSpill returns an empty spill. It must be dropped.
func (a *Spills) NewSpill() *Spill {
	s := &Spill{all: a, fanIn: lookupFanIn}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open != nil {
		a.open[s] = true
	}
	return s
}

// Drop gives up all runs.
func (s *Spill) Drop() {
	a := s.all
	a.mu.Lock()
	mine := a.open[s] // else Close has given them up, or does so now
	delete(a.open, s)
	if mine {
		a.busy.Add(1)
	}
	a.mu.Unlock()
	if mine {
		s.release()
		s.runs = nil
		a.End()
	}
}

func (s *Spill) release() {
	for _, r := range s.runs {
		r.unref()
	}
}

// unref gives back a reference. The last one deletes the files; if that fails
// the next open will.
func (r *run) unref() {
	if r.refs.Add(-1) == 0 {
		r.store.Dispose(r.tables)
	}
}

// SizeBytes returns the size of all runs.
func (s *Spill) SizeBytes() (n int64) {
	for _, r := range s.runs {
		for _, t := range r.tables {
			n += int64(t.Meta.SizeBytes)
		}
	}
	return n
}

// Add is txn.Spilled.Add.
func (s *Spill) Add(records txn.Records, pins []base.SeqNum, live func(base.SeqNum) bool) error {
	if err := s.all.cfg.Admit(); err != nil {
		return err
	}
	if err := s.all.Begin(); err != nil {
		return err
	}
	defer s.all.End()
	// Before the records are taken, so that an error leaves nothing half done.
	if err := s.merge(pins, live); err != nil {
		return err
	}
	r, err := s.write(records, pins, 0)
	if err == nil && r != nil {
		s.runs = slices.Insert(s.runs, 0, r)
	}
	return err
}

// merge makes one run of neighbours where there are too many of them.
func (s *Spill) merge(pins []base.SeqNum, live func(base.SeqNum) bool) error {
	for len(s.runs) >= s.fanIn && s.runs[0].tier == s.runs[s.fanIn-1].tier {
		old := s.runs[:s.fanIn]
		it := s.walk(old, true)
		merged, err := s.write(&liveRecords{it, live}, pins, old[0].tier+1)
		if closeErr := it.Close(); err == nil && closeErr != nil {
			err = closeErr
			if merged != nil {
				merged.unref()
			}
		}
		if err != nil {
			return err
		}
		old = slices.Clone(old)
		s.runs = slices.Delete(s.runs, 0, s.fanIn)
		if merged != nil {
			s.runs = slices.Insert(s.runs, 0, merged)
		}
		for _, r := range old {
			r.unref()
		}
	}
	return nil
}

// liveRecords leaves out what was rolled back.
type liveRecords struct {
	txn.Records
	live func(base.SeqNum) bool
}

func (l *liveRecords) First() *base.Record { return l.skip(l.Records.First()) }
func (l *liveRecords) Next() *base.Record  { return l.skip(l.Records.Next()) }

func (l *liveRecords) skip(rec *base.Record) *base.Record {
	for rec != nil && !l.live(rec.Trailer.Seq()) {
		rec = l.Records.Next()
	}
	return rec
}

// write writes a run; nil if nothing is left of the records.
func (s *Spill) write(records txn.Records, pins []base.SeqNum, tier int) (*run, error) {
	a := s.all
	out := store.Output{FileBytes: growth * a.cfg.FileBytes, Temporary: true}
	outputs, _, err := a.cfg.Store.Write(a.cfg.Stopped, records, out, compact.Config{Snapshots: pins})
	if err != nil {
		return nil, a.StoppedBy(err)
	}
	if len(outputs) == 0 {
		return nil, nil
	}
	return newRun(a.cfg.Store, outputs, tier), nil
}

// newRun returns a run of tables, which nobody else has.
func newRun(tables *store.Store, files []*manifest.FileMeta, tier int) *run {
	r := &run{store: tables, tier: tier, smallestSeq: base.SeqNumMax}
	r.refs.Store(1)
	for _, meta := range files {
		r.tables = append(r.tables, tables.Unlisted(meta))
		r.smallestSeq = min(r.smallestSeq, meta.SmallestSeq)
		r.largestSeq = max(r.largestSeq, meta.LargestSeq)
	}
	return r
}

// StoppedBy turns the error of work that Close has stopped into base.ErrClosed.
func (a *Spills) StoppedBy(err error) error {
	if errors.Is(err, context.Canceled) && a.cfg.Stopped.Err() != nil {
		return base.ErrClosed
	}
	return err
}

// Get is txn.Spilled.Get.
func (s *Spill) Get(key []byte, seq base.SeqNum) (tr base.Trailer, value []byte, found bool, err error) {
	g := s.all.cfg.Epochs.Enter()
	defer g.Exit()
	if s.all.closed.Load() {
		return 0, nil, false, base.ErrClosed
	}
	l := store.Lookup{Key: key, Hash: base.Hash(key), Seq: seq}
	for _, r := range s.runs {
		i := store.FirstEndingAfter(r.tables, key)
		if r.smallestSeq > seq || i == len(r.tables) || bytes.Compare(key, r.tables[i].Meta.Lo) < 0 {
			continue
		}
		tr, value, found, err = r.tables[i].Get(&l, seq)
		if found || err != nil {
			return tr, bytes.Clone(value), found, err
		}
	}
	return 0, nil, false, nil
}

// NewIter is txn.Spilled.NewIter.
func (s *Spill) NewIter() (base.Iterator, error) { return s.newIter(false) }

// NewWalk is NewIter for one pass over everything, which leaves the cache alone.
func (s *Spill) NewWalk() (base.Iterator, error) {
	return s.newIter(true)
}

func (s *Spill) newIter(noFill bool) (base.Iterator, error) {
	g := s.all.cfg.Epochs.Enter()
	defer g.Exit()
	if s.all.closed.Load() {
		return nil, base.ErrClosed
	}
	return s.walk(s.runs, noFill), nil
}

// walk returns an iterator that holds the runs.
func (s *Spill) walk(runs []*run, noFill bool) base.Iterator {
	it := &spillIter{runs: slices.Clone(runs)}
	sources := make([]iterate.Source, len(runs))
	for i, r := range runs {
		r.refs.Add(1)
		files := &store.Run{Tables: r.tables, Read: sstable.IterOptions{NoFill: noFill}}
		sources[i] = iterate.Source{Iter: iterate.NewLevel(files), MaxSeq: r.largestSeq}
	}
	it.Iterator = iterate.NewMerging(sources)
	return it
}

type spillIter struct {
	base.Iterator
	runs []*run
}

func (it *spillIter) Close() error {
	err := it.Iterator.Close()
	for _, r := range it.runs {
		r.unref()
	}
	it.runs = nil
	return err
}

// RollBack is txn.Spilled.RollBack.
func (s *Spill) RollBack(seq base.SeqNum) {
	if s.all.Begin() != nil {
		return // the runs go with the transaction
	}
	defer s.all.End()
	for len(s.runs) > 0 && s.runs[0].smallestSeq > seq {
		s.runs[0].unref()
		s.runs = slices.Delete(s.runs, 0, 1)
	}
}
