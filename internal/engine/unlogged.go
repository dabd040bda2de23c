package engine

import (
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/txn"
)

// This file commits transactions that are too large for memory and log. Their
// writes come as sorted records and go to tables of level 0, beside all that
// happens meanwhile. Only then does the commit stand in line: it is validated,
// what is in memory goes to tables, because a reader asks memory first, and one
// edit of the manifest installs the tables. That edit is the commit: a crash
// before it leaves remnants, after it all is durable.
//
// The sequence numbers in the tables begin at zero. The transaction's place is
// known only at the end, and the manifest has it (FileMeta.SeqBase). Everything
// older is in tables by then, so the log is needed from there on only, and
// recovery skips what it has of before. The log has no group with the numbers of
// such a commit: for a feed of changes it is a gap.

// Unlogged is a transaction that is committed past the log.
type Unlogged struct {
	// Records have sequence numbers from zero on, and are not under Deletes.
	Records txn.Records
	Deletes *rangedel.List
	// SizeBytes is about how much it is.
	SizeBytes int64
	Keyspaces []*KeyspaceInfo
	// Check is called when all records were read; nil from it, and as for
	// CommitChecked.
	Check func() *Check
}

// unloggedFiles is into how many files such a commit goes, unless they became too
// small or too large: level 0 is best with few.
const unloggedFiles = 4

// CommitUnlogged makes the writes of a transaction visible and durable at once.
func (db *DB) CommitUnlogged(u *Unlogged) error {
	if err := db.beginSpilling(); err != nil {
		return err
	}
	defer db.endSpilling()
	start := db.opts.Clock.Now()
	out := compactionOutput{fileBytes: max(db.opts.FileBytes, min(spillFiles*db.opts.FileBytes, u.SizeBytes/unloggedFiles))}
	outputs, err := db.runCompaction(db.stopped, u.Records, out, compact.Config{RangeDeletes: u.Deletes})
	if err != nil || len(outputs) == 0 {
		return db.stoppedBy(err)
	}
	check := u.Check()
	// Most of what is in memory goes while others go on.
	err = db.Flush(db.stopped)
	inDoubt := false
	if err == nil {
		err = db.alone(func() error {
			if err := db.mayCommit(u, check); err != nil {
				return err
			}
			err := db.installUnlogged(outputs)
			inDoubt = err != nil && !errors.Is(err, manifest.ErrRefused)
			return err
		})
	}
	if err != nil && !inDoubt { // else they stay: see DB.edit
		db.removeOutputs(outputs)
	}
	db.counters.transaction(err)
	if err != nil {
		return db.stoppedBy(err)
	}
	db.counters.flushed(outputs, db.opts.Clock.Now().Sub(start))
	db.opts.Logger.Info("committed past the log", "files", len(outputs), "bytes", rawBytes(outputs))
	return nil
}

// mayCommit says why the transaction must not be committed now, and has memory
// emptied. Called by the leader.
func (db *DB) mayCommit(u *Unlogged, check *Check) error {
	if err := db.writable(); err != nil {
		return err
	}
	for _, k := range u.Keyspaces {
		if k.Dropped() {
			return fmt.Errorf("%w: %q", ErrKeyspaceDropped, k.Name)
		}
	}
	if check != nil {
		if err := db.Holds(check); err != nil {
			return err
		}
	}
	if !db.state.Load().mem.empty() {
		if err := db.rotate(); err != nil {
			return err
		}
	}
	return db.awaitFlush(db.stopped, db.pipeline.lastSeq)
}

// installUnlogged gives tables the next sequence numbers and makes them part of
// the tree, above all else. Called by the leader, with nothing in memory.
func (db *DB) installUnlogged(outputs []*manifest.FileMeta) error {
	first := db.pipeline.lastSeq + 1
	last := first
	edit := &manifest.Edit{}
	for _, meta := range outputs {
		last = max(last, first+meta.LargestSeq)
		meta.SeqBase = first
		meta.SmallestSeq += first
		meta.LargestSeq += first
		if meta.Expiring.Count > 0 {
			db.timeline.used.Store(true)
		}
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: 0, Meta: meta})
	}
	if last > base.SeqNumMax {
		return errSeqNumsUsedUp
	}
	edit.LastSeq, edit.UnloggedSeq = last, last
	if db.hot != nil {
		db.hot.BeginAll()
		defer db.hot.EndAll()
	}
	err := db.edit(edit, func(v *manifest.Version) {
		now := db.lockedState()
		db.flushedSeq.Store(uint64(last))
		db.unloggedSeq.Store(uint64(last))
		db.installVersion(v, now.mem, now.imms, nil)
		db.publish(last)
	})
	if err == nil {
		db.pipeline.lastSeq = last
	}
	return err
}
