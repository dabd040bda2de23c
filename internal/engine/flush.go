package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/wal"
)

// flushWorker writes immutable memtables to level 0, all that wait in one go:
// few, large files.
func (db *DB) flushWorker(ctx context.Context) {
	defer db.workers.Done()
	for {
		err := db.waitFor(ctx, func() bool { return len(db.lockedState().imms) > 0 })
		db.mu.Unlock()
		if err != nil {
			return
		}
		err = db.flushImmutables(ctx)
		db.noteBackground("flush", &db.fields.flushErr, err)
		if err != nil && (db.failure.Load() != nil || !db.sleep(ctx, retryDelay)) {
			return
		}
	}
}

// flushImmutables writes the immutable memtables that exist now to level 0 and
// installs the result.
func (db *DB) flushImmutables(ctx context.Context) error {
	start := db.opts.Clock.Now()
	db.mu.Lock()
	rs := db.lockedState()
	rs.refs.Add(1)
	db.mu.Unlock()
	defer db.release(rs)
	imms := rs.imms

	outputs, err := db.writeMemories(ctx, imms)
	if err != nil {
		return err
	}
	edit := &manifest.Edit{LastSeq: imms[0].lastSeq}
	for _, meta := range outputs {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: 0, Meta: meta})
	}
	db.mu.Lock()
	firstLog, position := db.logNeeded(len(imms))
	edit.RemoveLogs, edit.LogStart = db.logsBefore(firstLog), uint64(position)
	edit.RemoveFiles = db.claimCovered(memoryRangeDeletes(imms))
	edit.ForgetFormer = db.formerToForget()
	db.mu.Unlock()
	if err := db.syncHistory(edit.LastSeq); err != nil {
		return err
	}
	err = db.edit(edit, func(v *manifest.Version) {
		now := db.lockedState()
		db.flushedSeq.Store(uint64(edit.LastSeq))
		db.dropLogs(edit.RemoveLogs)
		db.fields.keyspaces.forget(edit.ForgetFormer)
		db.unclaim(edit.RemoveFiles)
		db.installVersion(v, now.mem, now.imms[:len(now.imms)-len(imms)], edit.RemoveFiles)
	})
	if errors.Is(err, manifest.ErrRefused) {
		db.removeOutputs(outputs)
		db.mu.Lock()
		db.unclaim(edit.RemoveFiles)
		db.mu.Unlock()
	}
	if err != nil {
		return err // else the outputs stay: see DB.edit
	}
	took := db.opts.Clock.Now().Sub(start)
	db.counters.flushed(outputs, took)
	db.pace.flushed(int64(rawBytes(outputs)), took)
	db.opts.Logger.Info("flushed", "memtables", len(imms), "files", len(outputs))
	return nil
}

// syncHistory makes the log durable up to a sequence number that is about to be
// in a table. In a crash the table answers for it, and the log would end before
// it: a hole in the history.
func (db *DB) syncHistory(last base.SeqNum) error {
	if !db.opts.History.enabled() || db.log == nil || db.log.DurableSeq() >= last {
		return nil
	}
	if err := db.log.Sync(); err != nil {
		return db.poison("log", err)
	}
	return nil
}

func rawBytes(files []*manifest.FileMeta) (n uint64) {
	for _, f := range files {
		n += f.RawBytes
	}
	return n
}

// writeMemories writes memories, newest first, to new tables and verifies them.
func (db *DB) writeMemories(ctx context.Context, mems []*memory) ([]*manifest.FileMeta, error) {
	sources := make([]iterate.Source, len(mems))
	for i, m := range mems {
		sources[i] = iterate.Source{Iter: m.newIter(), MaxSeq: base.SeqNumMax}
	}
	merged := iterate.NewMerging(sources)
	defer merged.Close()
	db.mu.Lock()
	snapshots, moments := db.fields.snapshots.all(), db.moments()
	db.mu.Unlock()
	return db.runCompaction(ctx, merged, compactionOutput{level: 0}, compact.Config{
		Snapshots:    snapshots,
		Moments:      moments,
		RangeDeletes: memoryRangeDeletes(mems),
	})
}

func memoryRangeDeletes(mems []*memory) *rangedel.List {
	var lists []*rangedel.List
	for _, m := range mems {
		lists = append(lists, m.rangeDeletes())
	}
	return rangedel.Merge(lists...)
}

// logNeeded returns the oldest log segment, and the position in the log, that
// are needed once the oldest n immutables are in tables. The caller holds
// db.mu.
func (db *DB) logNeeded(n int) (base.FileNum, wal.Position) {
	rs := db.lockedState()
	oldest := append([]*memory{rs.mem}, rs.imms[:len(rs.imms)-n]...)
	m := oldest[len(oldest)-1]
	return m.firstLog, m.firstPosition
}

// logsBefore returns the segments older than first. The caller holds db.mu.
func (db *DB) logsBefore(first base.FileNum) []base.FileNum {
	var old []base.FileNum
	for _, n := range db.fields.logs {
		if n < first {
			old = append(old, n)
		}
	}
	return old
}

// dropLogs takes segments that the manifest no longer names off the list and
// offers them for reuse. The caller holds db.mu.
func (db *DB) dropLogs(gone []base.FileNum) {
	db.fields.logs = db.fields.logs[len(gone):]
	if db.opts.History.enabled() {
		db.spendLogs(gone)
		return
	}
	for _, n := range gone {
		db.fields.freeLogs = append(db.fields.freeLogs, n)
		if len(db.fields.freeLogs) <= maxFreeLogs {
			continue
		}
		// The newest stay: a feed may just be reading there.
		oldest := db.fields.freeLogs[0]
		db.fields.freeLogs = db.fields.freeLogs[1:]
		db.history.forget(oldest)
		db.janitor.add(func() { db.removeLog(oldest) })
	}
}

func (db *DB) removeLog(n base.FileNum) {
	if err := db.removeFile(wal.FileName(n)); err != nil {
		db.opts.Logger.Warn("remove log segment", "err", err)
	}
}

// maxFreeLogs is how many spent log segments are kept for reuse.
const maxFreeLogs = 1

// compactionOutput says where the output of a run goes.
type compactionOutput struct {
	level     int
	bottom    bool
	fileBytes int64
	temporary bool // nobody needs it after a crash
}

// runCompaction merges it into new tables, makes their names durable, and
// reads them back to see that they hold what went in. On an error no output is
// left.
func (db *DB) runCompaction(ctx context.Context, it compact.Source, out compactionOutput,
	cfg compact.Config) (outputs []*manifest.FileMeta, err error) {
	var created []base.FileNum
	cfg.FileBytes = out.fileBytes
	cfg.Operators = db
	cfg.Border = db.borderFunc(out)
	cfg.NewWriter = func(firstKey []byte) (base.FileNum, *sstable.Writer, error) {
		num := db.newFileNum()
		created = append(created, num)
		w, err := db.newWriter(num, firstKey, out)
		return num, w, err
	}
	defer func() {
		if err != nil {
			for _, num := range created {
				db.removeOutput(num)
			}
		}
	}()
	outputs, stats, err := compact.Run(ctx, it, cfg)
	if err != nil {
		return nil, err
	}
	if len(outputs) > 0 {
		if err = db.opts.FS.SyncDir(db.dir); err != nil {
			return nil, fmt.Errorf("sync directory: %w", err)
		}
	}
	for _, meta := range outputs {
		if err = db.verifyOutput(ctx, meta); err != nil {
			return nil, err
		}
	}
	db.counters.merged(stats)
	return outputs, nil
}

func (db *DB) newWriter(num base.FileNum, firstKey []byte, out compactionOutput) (*sstable.Writer, error) {
	name := tableName(num)
	f, err := db.opts.FS.Create(filepath.Join(db.dir, name))
	if err != nil {
		return nil, fmt.Errorf("create table %s: %w", name, err)
	}
	return sstable.NewWriter(f, sstable.WriterOptions{
		DBID:             db.id,
		FileNum:          num,
		BlockSizeBytes:   db.opts.BlockBytes,
		Compression:      db.codecOf(firstKey)(out.level, out.bottom),
		FilterBitsPerKey: db.opts.FilterBits,
		Temporary:        out.temporary,
	}), nil
}

// errOutputDiffers says that a table read back is not what was written.
var errOutputDiffers = errors.New("table differs from what was written")

// verifyOutput re-reads a new table in full before anything depends on it.
func (db *DB) verifyOutput(ctx context.Context, meta *manifest.FileMeta) error {
	r, err := db.openReader(meta)
	if err != nil {
		return err
	}
	defer r.Close()
	sum, err := r.Verify(ctx)
	if err != nil {
		return err
	}
	if uint64(sum.Count) != meta.Count || sum.EntryChecksum != meta.EntryChecksum {
		return fmt.Errorf("%w: %s", errOutputDiffers, tableName(meta.Num))
	}
	return nil
}

func (db *DB) removeOutputs(files []*manifest.FileMeta) {
	for _, meta := range files {
		db.removeOutput(meta.Num)
	}
}

// removeOutput deletes a table that never became part of the database. A
// failure leaves an orphan, which the next open removes.
func (db *DB) removeOutput(num base.FileNum) {
	if err := db.removeFile(tableName(num)); err != nil {
		db.opts.Logger.Warn("remove unfinished table", "err", err)
	}
}
