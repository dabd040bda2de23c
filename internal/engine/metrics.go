package engine

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/heal"
	"github.com/lightningdb/lightning/internal/kernel"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/verify"
	"github.com/lightningdb/lightning/internal/view"
)

// counters are the totals since the database was opened.
type counters struct {
	flushes, flushBytes, flushNS      atomic.Int64
	flushedAt                         atomic.Int64 // nanoseconds since 1970, of the last flush
	compactions, moves                atomic.Int64
	compactionRead, compactionWritten atomic.Int64
	compactionNS                      atomic.Int64
	recordsMerged, recordsDropped     atomic.Int64
	recordsExpired                    atomic.Int64
	txCommits, txConflicts            atomic.Int64
}

func (c *counters) flushed(outputs []*manifest.FileMeta, at time.Time, took time.Duration) {
	c.flushes.Add(1)
	c.flushedAt.Store(at.UnixNano())
	c.flushNS.Add(int64(took))
	c.flushBytes.Add(writtenBytes(outputs))
}

func (c *counters) compacted(job *compact.Job, outputs []*manifest.FileMeta, took time.Duration) {
	if job.Move {
		c.moves.Add(1)
		return
	}
	c.compactions.Add(1)
	c.compactionNS.Add(int64(took))
	c.compactionRead.Add(int64(job.Bytes()))
	c.compactionWritten.Add(writtenBytes(outputs, job.Inputs[:]...))
}

// writtenBytes is the size of the files that some inputs have become: tables, and the blob
// tables that are new.
func writtenBytes(outputs []*manifest.FileMeta, inputs ...[]*manifest.FileMeta) (n int64) {
	known := map[base.FileNum]bool{}
	for _, files := range inputs {
		for _, f := range files {
			for _, use := range f.Blobs {
				known[use.Num] = true
			}
		}
	}
	for _, f := range outputs {
		n += int64(f.SizeBytes)
		for _, use := range f.Blobs {
			if !known[use.Num] {
				known[use.Num] = true
				n += int64(use.Table.SizeBytes)
			}
		}
	}
	return n
}

func (c *counters) merged(s compact.Stats) {
	c.recordsMerged.Add(int64(s.RecordsIn))
	c.recordsDropped.Add(int64(s.RecordsIn - s.RecordsOut))
	c.recordsExpired.Add(int64(s.RecordsExpired))
}

// transaction counts a transaction that came to its commit.
func (c *counters) transaction(err error) {
	switch {
	case err == nil:
		c.txCommits.Add(1)
	case errors.Is(err, txn.ErrConflict):
		c.txConflicts.Add(1)
	}
}

// Metrics is a picture of the engine at one moment.
type Metrics struct {
	Levels [manifest.NumLevels]LevelMetrics
	Blobs  compact.BlobTables

	VisibleSeq, DurableSeq base.SeqNum

	MemtableBytes, MemtablesWaiting int64
	Vectors                         string // see kernel.Vectors
	OffHeapBytes                    int64
	HugePageBytes                   int64 // of the process; -1: unknown
	Cache                           framecache.Metrics

	LogBytes, LogFiles int64
	TornBytes          int64

	Flushes, FlushBytes               int64
	FlushTime                         time.Duration
	Compactions, Moves                int64
	CompactionRead, CompactionWritten int64
	CompactionTime                    time.Duration
	CompactionDebt                    uint64
	RecordsMerged, RecordsDropped     int64
	RecordsExpired                    int64
	StallTime                         time.Duration
	TxCommits, TxConflicts            int64
	Handles                           view.Handles
	OpenFiles, OpenFilesMax           int
	Reads                             aio.Stats
	QuarantinedFiles                  int
	UnreadableFiles                   int
	ReadErr                           error
	BackgroundErr, WriteErr           error
	ReserveBytes                      int64
	ReserveErr                        error
	MemoryByOwner                     map[string]int64
	Archive                           feed.Metrics
	EventsDropped, EventPanics        uint64
	Gets                              view.Measured
	Commits                           commit.Measured
	Scrub                             verify.ScrubState
	Heal                              heal.Metrics
}

// LevelMetrics describes one level of the tree.
type LevelMetrics struct {
	Files   int
	Bytes   uint64
	Records uint64
	Deletes uint64
	// Expiring records, whether they have expired or not.
	Expiring uint64
}

// Metrics returns the engine's figures. It takes no lock that is held during I/O.
func (db *DB) Metrics() Metrics {
	var m Metrics
	db.reads.Metered(func(s *view.State, visible base.SeqNum) {
		m = db.counters.metrics()
		m.VisibleSeq = visible
		m.addState(s)
		m.CompactionDebt = db.compactor.debtBytes(s.Tree.Version)
		db.addOwnMetrics(&m)
	})
	return m
}

func (c *counters) metrics() Metrics {
	return Metrics{
		Flushes:           c.flushes.Load(),
		FlushBytes:        c.flushBytes.Load(),
		FlushTime:         time.Duration(c.flushNS.Load()),
		Compactions:       c.compactions.Load(),
		Moves:             c.moves.Load(),
		CompactionRead:    c.compactionRead.Load(),
		CompactionWritten: c.compactionWritten.Load(),
		CompactionTime:    time.Duration(c.compactionNS.Load()),
		RecordsMerged:     c.recordsMerged.Load(),
		RecordsDropped:    c.recordsDropped.Load(),
		RecordsExpired:    c.recordsExpired.Load(),
		TxCommits:         c.txCommits.Load(),
		TxConflicts:       c.txConflicts.Load(),
		MemoryByOwner:     map[string]int64{},
	}
}

// addState adds what a read state says.
func (m *Metrics) addState(s *view.State) {
	m.MemtablesWaiting = int64(len(s.Immutables))
	for _, part := range s.Immutables {
		m.MemtableBytes += part.HeapBytes()
	}
	m.Blobs = compact.SumBlobs(s.Tree.Version)
	for level, files := range s.Tree.Version.Levels {
		for _, f := range files {
			m.Levels[level].Files++
			m.Levels[level].Bytes += f.SizeBytes
			m.Levels[level].Records += f.Count
			m.Levels[level].Deletes += f.Deletes
			m.Levels[level].Expiring += f.Expiring.Count
		}
	}
}

// addOwnMetrics adds what the parts of the engine say.
func (db *DB) addOwnMetrics(m *Metrics) {
	m.DurableSeq, m.Vectors = db.DurableSeq(), kernel.Vectors()
	m.OffHeapBytes, m.HugePageBytes = db.memory.Total(), -1
	if n, known := offheap.HugePageBytes(); known {
		m.HugePageBytes = n
	}
	m.MemtableBytes += db.memory.Bytes(offheap.OwnerMemtable)
	m.Cache = db.cache.Metrics()
	m.TornBytes = db.recovered.tornBytes
	m.Archive = db.archive.Metrics()
	for _, owner := range offheap.Owners() {
		m.MemoryByOwner[owner.String()] = db.memory.Bytes(owner)
	}
	m.LogFiles = int64(db.segments.Count())
	m.LogBytes = db.segments.WrittenBytes()
	m.StallTime = db.writer.StallTime()
	m.Handles = db.reads.Handles()
	m.OpenFiles, m.OpenFilesMax = db.files.Count(), db.files.Limit()
	m.Reads = db.io.Stats()
	m.QuarantinedFiles = db.claims.damagedFiles()
	m.UnreadableFiles, m.ReadErr = db.store.Unreadable()
	m.WriteErr = db.health.Err()
	m.EventsDropped, m.EventPanics = db.events.Told()
	m.Scrub, m.Heal = db.scrubber.State(), db.healer.Metrics()
	m.Gets, m.Commits = view.Measure(&db.reads), db.commits.Measures.Now()
	m.ReserveBytes, m.ReserveErr = db.reserve.HeldBytes(), db.reserve.Err()
	m.BackgroundErr = cmp.Or(db.compactor.outcome.Err(), db.segments.Err(), db.flusher.outcome.Err())
}
