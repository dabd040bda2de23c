package engine

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/segments"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/txn"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/writer"
)

// This file commits transactions that are too large for memory and log, and bulk loads. Their
// writes come as sorted records and go to tables of level 0, beside all that
// happens meanwhile. Only then does the commit stand in line: it is validated,
// what is in memory goes to tables, because a reader asks memory first, and one
// edit of the manifest installs the tables. That edit is the commit: a crash
// before it leaves orphans, after it all is durable.
//
// The sequence numbers in the tables begin at zero. The place of the commit is
// known only at the end, and the manifest has it (FileMeta.SeqBase). Everything
// older is in tables by then, so the log is needed from there on only, and
// recovery skips what it has of before. The log has no group with the numbers of
// such a commit: for those who read changes the same edit names the tables once more,
// if the log is kept for them; see feed/ingests.go.

// Ingest is a transaction, a bulk load, or one large value, that is committed past the log.
type Ingest struct {
	// Ctx, which may be nil, ends the reading, the writing of tables, and all waiting, up to
	// the edit of the manifest.
	Ctx context.Context
	// Value, if not nil, is all that is committed.
	Value *Value
	// Records have sequence numbers from zero on, and are not under Deletes, which may be nil.
	Records txn.Records
	Deletes *rangedel.List
	// Instead, which may be nil, is told of the tables that Records have become, to which
	// nothing refers. It returns nil if these are to be committed. Otherwise it returns what
	// is to be committed in their place, or an error, and the tables are its own.
	Instead func(tables []*manifest.FileMeta) (txn.Records, error)
	// SizeBytes is about how much it is; 0: unknown.
	SizeBytes int64
	Keyspaces []*keyspace.Info
	// Reads, which may be nil, is called when all records were read; what it returns is as
	// for CommitTx.
	Reads func() *view.ReadSet
}

// ingestFiles is into how many files such a commit goes, unless they became too
// small or too large: level 0 is best with few.
const ingestFiles = 4

// CommitIngest makes the writes of a transaction visible and durable at once.
func (db *DB) CommitIngest(in *Ingest) error {
	if err := db.reserve.Admit(); err != nil {
		return err
	}
	if err := db.spills.Begin(); err != nil {
		return err
	}
	defer db.spills.End()
	ctx, stop := in.begin(db.stopped)
	defer stop()
	start := db.opts.Clock.Now()
	if in.Value != nil {
		if err := in.Value.write(ctx, db); err != nil {
			return in.stoppedBy(db, err)
		}
		in.Records = in.Value
	}
	inDoubt := false
	defer func() {
		if in.Value != nil && !inDoubt {
			in.Value.table.Release()
		}
	}()
	outputs, err := in.write(ctx, db)
	if err != nil || len(outputs) == 0 {
		return in.stoppedBy(db, err)
	}
	var reads *view.ReadSet
	if in.Reads != nil {
		reads = in.Reads()
	}
	// Most of what is in memory goes while others go on.
	err = db.Flush(ctx)
	if err == nil {
		err = db.commits.Alone(ctx, func() error {
			if err := db.admitIngest(ctx, in, reads); err != nil {
				return err
			}
			err := db.installIngest(outputs)
			inDoubt = err != nil && !errors.Is(err, manifest.ErrRefused)
			return err
		})
	}
	if err != nil && !inDoubt { // else they stay: see versions.edit
		db.store.RemoveOutputs(outputs)
	}
	if in.Reads != nil { // it is a transaction
		db.counters.transaction(err)
	}
	if err != nil {
		return in.stoppedBy(db, err)
	}
	now := db.opts.Clock.Now()
	db.counters.flushed(outputs, now, now.Sub(start))
	db.events.Ingested(len(outputs), rawBytes(outputs))
	return nil
}

// begin returns what ends the waiting: that the database closes, or Ctx ends.
func (in *Ingest) begin(stopped context.Context) (ctx context.Context, stop func()) {
	if in.Ctx == nil || in.Ctx.Done() == nil {
		return stopped, func() {}
	}
	ctx, cancel := context.WithCancelCause(stopped)
	ended := context.AfterFunc(in.Ctx, func() { cancel(context.Cause(in.Ctx)) })
	return ctx, func() { ended(); cancel(nil) }
}

// stoppedBy turns the error of work that Ctx, or Close, has stopped into what was the cause.
func (in *Ingest) stoppedBy(db *DB, err error) error {
	if errors.Is(err, context.Canceled) && db.stopped.Err() == nil && in.Ctx != nil && in.Ctx.Err() != nil {
		return context.Cause(in.Ctx)
	}
	return db.spills.StoppedBy(err)
}

// write writes the tables that are to be committed, to which nothing refers yet. On an error
// there are none.
func (in *Ingest) write(ctx context.Context, db *DB) ([]*manifest.FileMeta, error) {
	var deletes rangedel.Iterator
	if in.Deletes != nil {
		deletes = in.Deletes.Iter()
	}
	outputs, err := in.writeRecords(ctx, db, in.Records, deletes)
	if err != nil || in.Instead == nil {
		return outputs, err
	}
	records, err := in.Instead(outputs)
	if err != nil || records == nil {
		return outputs, err
	}
	return in.writeRecords(ctx, db, records, nil)
}

func (in *Ingest) writeRecords(ctx context.Context, db *DB, records txn.Records, deletes rangedel.Iterator) ([]*manifest.FileMeta, error) {
	out := store.Output{FileBytes: db.spills.FileBytes(in.SizeBytes, ingestFiles), Spare: db.writer.HasSpace}
	if in.SizeBytes == 0 {
		out.GrowToBytes = db.spills.FileBytes(math.MaxInt64, ingestFiles)
	}
	outputs, stats, err := db.store.Write(ctx, records, out, compact.Config{RangeDeletes: deletes})
	if err == nil && len(outputs) > 0 {
		db.counters.merged(stats)
	}
	return outputs, err
}

// admitIngest validates the transaction and has memory emptied for it. Called by
// the leader.
func (db *DB) admitIngest(ctx context.Context, in *Ingest, reads *view.ReadSet) error {
	if err := cmp.Or(db.health.Writable(), db.reserve.Admit()); err != nil {
		return err
	}
	if err := keyspace.CheckLive(in.Keyspaces); err != nil {
		return err
	}
	if reads != nil {
		if err := db.reads.Validate(reads); err != nil {
			return err
		}
	}
	// Where the log is kept, a segment ends where such a commit stands, or large
	// batches would hold one, and all commits in it, for ever.
	inLog := db.archive.Enabled() && db.segments.CurrentBytes() > 0
	if inLog || !db.reads.State().Mem.Empty() {
		if err := writer.RotateWithin(ctx, db.writer, db.commits.LastSeq()); err != nil {
			return err
		}
	}
	if err := db.flusher.await(ctx, db.stopped, db.commits.LastSeq()); err != nil {
		return err
	}
	// Feeds come to the commit only when they can read the log before it.
	return db.segments.Sync()
}

// installIngest gives tables the next sequence numbers and makes them part of
// the tree, above all else. Called by the leader, with nothing in memory.
func (db *DB) installIngest(outputs []*manifest.FileMeta) error {
	ingest := place(outputs, db.commits.LastSeq()+1)
	if ingest.Last > base.SeqNumMax {
		return commit.ErrSeqNumsUsedUp
	}
	ingest.At = base.Instant(db.opts.Clock.Now().UnixNano())
	if expire(outputs) {
		db.timeline.Use()
	}
	edit := db.editForIngest(&ingest)
	db.reads.Dead.Upset()
	defer db.reads.Dead.Calm()
	if db.hot != nil {
		db.hot.BeginAll()
		defer db.hot.EndAll()
	}
	last := ingest.Last
	err := db.versions.edit(edit, func(v *manifest.Version) {
		// First, so that the tables are of a tree before the archive may give them up.
		tree := db.store.NewTree(v)
		db.segments.Drop(edit.RemoveLogs)
		db.archive.NoteIngest(&ingest)
		db.reads.NoteFlushed(last)
		db.reads.Update(func(c *view.Change) { c.Tree, c.Visible = tree, last })
		db.archive.Wake()
	})
	if err == nil {
		db.commits.Advance(last)
	}
	return err
}

// place gives tables sequence numbers from first on.
func place(outputs []*manifest.FileMeta, first base.SeqNum) manifest.IngestCommit {
	ingest := manifest.IngestCommit{First: first, Last: first, Tables: outputs}
	for _, meta := range outputs {
		meta.SeqBase = first
		meta.SmallestSeq += first
		meta.LargestSeq += first
		ingest.Last = max(ingest.Last, meta.LargestSeq)
	}
	return ingest
}

// editForIngest returns the edit that is the commit. Nothing is in memory, so the log
// is needed no more but for what comes.
func (db *DB) editForIngest(ingest *manifest.IngestCommit) *manifest.Edit {
	firstLog, position := segments.Needed(db.reads.State(), 0)
	edit := &manifest.Edit{
		RemoveLogs: db.segments.Before(firstLog), LogStart: uint64(position), AddFiles: level0(ingest.Tables),
	}
	edit.LastSeq, edit.IngestedSeq = ingest.Last, ingest.Last
	if db.archive.Enabled() {
		edit.AddIngests = []manifest.IngestCommit{*ingest}
	}
	return edit
}

// level0 says that tables are in level 0.
func level0(tables []*manifest.FileMeta) (files []manifest.LevelFile) {
	for _, meta := range tables {
		files = append(files, manifest.LevelFile{Level: 0, Meta: meta})
	}
	return files
}

// expire reports whether there is anything in tables that expires.
func expire(tables []*manifest.FileMeta) bool {
	return slices.ContainsFunc(tables, func(m *manifest.FileMeta) bool { return m.Expiring.Count > 0 })
}
