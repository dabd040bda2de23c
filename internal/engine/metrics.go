package engine

import (
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/framecache"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/wal"
)

// counters are the totals since the database was opened.
type counters struct {
	flushes, flushBytes, flushNS      atomic.Int64
	compactions, moves                atomic.Int64
	compactionRead, compactionWritten atomic.Int64
	compactionNS                      atomic.Int64
	recordsMerged, recordsDropped     atomic.Int64
	recordsExpired                    atomic.Int64
	stallNS                           atomic.Int64
	txCommits, txConflicts            atomic.Int64
	logStart                          wal.Position // where the current segment began; of the leader
	logFirst                          wal.Position // where the log began at open
	tornBytes                         int64        // dropped by recovery
}

func (c *counters) flushed(outputs []*manifest.FileMeta, took time.Duration) {
	c.flushes.Add(1)
	c.flushNS.Add(int64(took))
	for _, f := range outputs {
		c.flushBytes.Add(int64(f.SizeBytes))
	}
}

func (c *counters) compacted(job *compact.Job, outputs []*manifest.FileMeta, took time.Duration) {
	if job.Move {
		c.moves.Add(1)
		return
	}
	c.compactions.Add(1)
	c.compactionNS.Add(int64(took))
	c.compactionRead.Add(int64(job.Bytes()))
	for _, f := range outputs {
		c.compactionWritten.Add(int64(f.SizeBytes))
	}
}

func (c *counters) merged(s compact.Stats) {
	c.recordsMerged.Add(int64(s.RecordsIn))
	c.recordsDropped.Add(int64(s.RecordsIn - s.RecordsOut))
	c.recordsExpired.Add(int64(s.RecordsExpired))
}

// Metrics is a picture of the engine at one moment.
type Metrics struct {
	Levels [manifest.NumLevels]LevelMetrics

	VisibleSeq, DurableSeq base.SeqNum

	MemtableBytes, MemtablesWaiting int64
	OffHeapBytes                    int64
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
	OpenIterators, OpenSnapshots      int
	OldestHandleAge                   time.Duration
	QuarantinedFiles                  int
	BackgroundErr, WriteErr           error
	MemoryByOwner                     map[string]int64
	History                           HistoryMetrics
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

// Metrics returns the engine's figures. It takes no lock that a commit holds
// for long.
func (db *DB) Metrics() Metrics {
	g := db.epochs.Enter()
	defer g.Exit()
	if db.closed.Load() {
		return Metrics{}
	}
	rs, seq := db.view()
	c := &db.counters
	m := Metrics{
		VisibleSeq:        seq,
		DurableSeq:        db.DurableSeq(),
		MemtablesWaiting:  int64(len(rs.imms)),
		OffHeapBytes:      db.memory.Total(),
		MemtableBytes:     db.memory.Bytes(offheap.OwnerMemtable),
		Cache:             db.cache.Metrics(),
		TornBytes:         c.tornBytes,
		Flushes:           c.flushes.Load(),
		FlushBytes:        c.flushBytes.Load(),
		FlushTime:         time.Duration(c.flushNS.Load()),
		Compactions:       c.compactions.Load(),
		Moves:             c.moves.Load(),
		CompactionRead:    c.compactionRead.Load(),
		CompactionWritten: c.compactionWritten.Load(),
		CompactionTime:    time.Duration(c.compactionNS.Load()),
		CompactionDebt:    compact.DebtBytes(rs.tree.version, db.limits()),
		RecordsMerged:     c.recordsMerged.Load(),
		RecordsDropped:    c.recordsDropped.Load(),
		RecordsExpired:    c.recordsExpired.Load(),
		StallTime:         time.Duration(c.stallNS.Load()),
		TxCommits:         c.txCommits.Load(),
		TxConflicts:       c.txConflicts.Load(),
		MemoryByOwner:     map[string]int64{},
		History:           db.history.metrics(),
	}
	for _, owner := range offheap.Owners() {
		m.MemoryByOwner[owner.String()] = db.memory.Bytes(owner)
	}
	for _, mem := range append([]*memory{rs.mem}, rs.imms...) {
		if mem.large != nil {
			m.MemtableBytes += mem.reservedBytes()
		}
	}
	for level, files := range rs.tree.version.Levels {
		for _, f := range files {
			m.Levels[level].Files++
			m.Levels[level].Bytes += f.SizeBytes
			m.Levels[level].Records += f.Count
			m.Levels[level].Deletes += f.Deletes
			m.Levels[level].Expiring += f.Expiring.Count
		}
	}
	if db.log != nil {
		m.LogBytes = int64(db.log.Appended() - c.logFirst)
	}
	if f := db.failure.Load(); f != nil {
		m.WriteErr = f.err
	}
	db.addGuardedMetrics(&m)
	return m
}

func (db *DB) addGuardedMetrics(m *Metrics) {
	m.OpenIterators, m.OpenSnapshots, m.OldestHandleAge = db.handles.count(db.opts.Clock.Now())
	db.mu.Lock()
	defer db.mu.Unlock()
	m.LogFiles = int64(len(db.fields.logs))
	m.QuarantinedFiles = len(db.fields.quarantined)
	for _, err := range []error{db.fields.flushErr, db.fields.logErr, db.fields.compactErr} {
		if err != nil {
			m.BackgroundErr = err
		}
	}
}

// DurableSeq returns the newest sequence number up to which everything is on
// stable storage.
func (db *DB) DurableSeq() base.SeqNum {
	if db.log == nil {
		return base.SeqNum(db.visible.Load())
	}
	return max(db.log.DurableSeq(), base.SeqNum(db.flushedSeq.Load()))
}
