package engine

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/txn"
)

// Spill keeps the writes of a transaction that take too much memory, in sorted
// runs: tables that no manifest names and that are not synced, so a crash leaves
// remnants, which the next open removes. It is txn.Spilled.
//
// The records of a run are newer than those of the runs behind it, and each run
// counts references: its spill and every iterator over it hold one. When the
// database is closed it gives up the runs of all spills, so that their files go;
// reads answer base.ErrClosed then.
//
// A Spill is used by one goroutine at a time. What it does to files is counted in
// guarded.spilling, and Close waits for that.
type Spill struct {
	db   *DB
	runs []*spillRun // newest first; tiers never descend
}

// spillRun is one run of a spill: tables in key order. Runs of tier 0 come from
// memory; so many neighbours of one tier become one of the next.
type spillRun struct {
	tables                  []*table
	smallestSeq, largestSeq base.SeqNum
	tier                    int
	refs                    atomic.Int32
}

const (
	// spillFanIn is how many runs of one tier are merged: a lookup asks about
	// that many for each power of it, and everything is written once for each.
	spillFanIn = 8
	// spillFiles is how much larger than others the files of a large transaction
	// are: large, so that they are few; but what is kept in memory while a file
	// is written grows with it.
	spillFiles = 8
)

// NewSpill returns an empty spill. It must be dropped.
func (db *DB) NewSpill() *Spill {
	s := &Spill{db: db}
	db.mu.Lock()
	defer db.mu.Unlock()
	if !db.closed.Load() {
		db.fields.spills[s] = true
	}
	return s
}

// beginSpilling says why no file may be written for a transaction, or makes
// Close wait until endSpilling.
func (db *DB) beginSpilling() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.writable(); err != nil {
		return err
	}
	db.fields.spilling++
	return nil
}

func (db *DB) endSpilling() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.fields.spilling--
	db.broadcast()
}

// dropSpills gives up the spills of all transactions that are still open. Close
// calls it once nothing new can begin.
func (db *DB) dropSpills() {
	// Without an end of the context there is no error.
	_ = db.waitFor(context.Background(), func() bool { return db.fields.spilling == 0 })
	spills := db.fields.spills
	db.fields.spills = nil
	db.mu.Unlock()
	if len(spills) == 0 {
		return
	}
	db.epochs.Synchronize() // reads look at runs inside a guard
	for s := range spills {
		s.release()
	}
}

// Drop gives up all runs.
func (s *Spill) Drop() {
	db := s.db
	db.mu.Lock()
	mine := db.fields.spills[s] // else Close has given them up, or does so now
	delete(db.fields.spills, s)
	if mine {
		db.fields.spilling++
	}
	db.mu.Unlock()
	if mine {
		s.release()
		s.runs = nil
		db.endSpilling()
	}
}

func (s *Spill) release() {
	for _, r := range s.runs {
		s.db.unrefRun(r)
	}
}

// unrefRun gives back a reference. The last one deletes the file; if that fails
// the next open will.
func (db *DB) unrefRun(r *spillRun) {
	if r.refs.Add(-1) > 0 {
		return
	}
	for _, t := range r.tables {
		t.obsolete.Store(true)
	}
	db.disposeTables(r.tables)
}

// SizeBytes returns the size of all runs.
func (s *Spill) SizeBytes() (n int64) {
	for _, r := range s.runs {
		for _, t := range r.tables {
			n += int64(t.meta.SizeBytes)
		}
	}
	return n
}

// Add is txn.Spilled.Add.
func (s *Spill) Add(records txn.Records, pins []base.SeqNum, live func(base.SeqNum) bool) error {
	if err := s.db.beginSpilling(); err != nil {
		return err
	}
	defer s.db.endSpilling()
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
	for len(s.runs) >= spillFanIn && s.runs[0].tier == s.runs[spillFanIn-1].tier {
		old := s.runs[:spillFanIn]
		it := s.walk(old, true)
		merged, err := s.write(&liveRecords{it, live}, pins, old[0].tier+1)
		if closeErr := it.Close(); err == nil && closeErr != nil {
			err = closeErr
			if merged != nil {
				s.db.unrefRun(merged)
			}
		}
		if err != nil {
			return err
		}
		old = slices.Clone(old)
		s.runs = slices.Delete(s.runs, 0, spillFanIn)
		if merged != nil {
			s.runs = slices.Insert(s.runs, 0, merged)
		}
		for _, r := range old {
			s.db.unrefRun(r)
		}
	}
	return nil
}

// liveRecords leaves out what was taken back.
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
func (s *Spill) write(records txn.Records, pins []base.SeqNum, tier int) (*spillRun, error) {
	db := s.db
	var created []base.FileNum
	outputs, _, err := compact.Run(db.stopped, records, compact.Config{
		Snapshots: pins,
		Operators: db,
		FileBytes: spillFiles * db.opts.FileBytes,
		Border:    func(_, _ []byte, _ int64) bool { return false },
		NewWriter: func(firstKey []byte) (base.FileNum, *sstable.Writer, error) {
			num := db.newFileNum()
			created = append(created, num)
			w, err := db.newWriter(num, firstKey, compactionOutput{temporary: true})
			return num, w, err
		},
	})
	if err != nil {
		for _, num := range created {
			db.removeOutput(num)
		}
		return nil, db.stoppedBy(err)
	}
	if len(outputs) == 0 {
		return nil, nil
	}
	r := &spillRun{tier: tier, smallestSeq: base.SeqNumMax}
	r.refs.Store(1)
	for _, meta := range outputs {
		r.tables = append(r.tables, &table{meta: meta})
		r.smallestSeq = min(r.smallestSeq, meta.SmallestSeq)
		r.largestSeq = max(r.largestSeq, meta.LargestSeq)
	}
	return r, nil
}

// stoppedBy turns the error of work that Close has stopped into base.ErrClosed.
func (db *DB) stoppedBy(err error) error {
	if errors.Is(err, context.Canceled) && db.stopped.Err() != nil {
		return base.ErrClosed
	}
	return err
}

// Get is txn.Spilled.Get.
func (s *Spill) Get(key []byte, seq base.SeqNum) (tr base.Trailer, value []byte, found bool, err error) {
	g := s.db.epochs.Enter()
	defer g.Exit()
	if s.db.closed.Load() {
		return 0, nil, false, base.ErrClosed
	}
	hash := base.Hash(key)
	for _, r := range s.runs {
		i := firstEndingAfter(r.tables, key)
		if r.smallestSeq > seq || i == len(r.tables) || bytes.Compare(key, r.tables[i].meta.Lo) < 0 {
			continue
		}
		tr, value, found, err = s.db.getFromTable(r.tables[i], key, hash, seq)
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
	g := s.db.epochs.Enter()
	defer g.Exit()
	if s.db.closed.Load() {
		return nil, base.ErrClosed
	}
	return s.walk(s.runs, noFill), nil
}

// walk returns an iterator that holds the runs.
func (s *Spill) walk(runs []*spillRun, noFill bool) base.Iterator {
	it := &spillIter{db: s.db, runs: slices.Clone(runs)}
	sources := make([]iterate.Source, len(runs))
	for i, r := range runs {
		r.refs.Add(1)
		files := &levelFiles{db: s.db, tables: r.tables, noFill: noFill}
		sources[i] = iterate.Source{Iter: iterate.NewLevel(files), MaxSeq: r.largestSeq}
	}
	it.Iterator = iterate.NewMerging(sources)
	return it
}

type spillIter struct {
	base.Iterator
	db   *DB
	runs []*spillRun
}

func (it *spillIter) Close() error {
	err := it.Iterator.Close()
	for _, r := range it.runs {
		it.db.unrefRun(r)
	}
	it.runs = nil
	return err
}

// TakeBack is txn.Spilled.TakeBack.
func (s *Spill) TakeBack(seq base.SeqNum) {
	if s.db.beginSpilling() != nil {
		return // the runs go with the transaction
	}
	defer s.db.endSpilling()
	for len(s.runs) > 0 && s.runs[0].smallestSeq > seq {
		s.db.unrefRun(s.runs[0])
		s.runs = slices.Delete(s.runs, 0, 1)
	}
}
