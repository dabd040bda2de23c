package feed

import (
	"fmt"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
)

// This file is for who copies the log to another place as it grows: commits as they are stored,
// and how far there is something to copy.

// Copier is who copies the log of a database. There is one at a time. Its methods may be called by
// several goroutines.
type Copier struct{ archive *Archive }

// Copier returns the one who copies the log, until Close.
func (a *Archive) Copier() (Copier, error) {
	if !a.copying.CompareAndSwap(false, true) {
		return Copier{}, fmt.Errorf("%w: the log of this database is being archived already", base.ErrLocked)
	}
	return Copier{a}, nil
}

// Close lets another one copy the log.
func (c Copier) Close() {
	c.archive.copiedSeq.Store(0)
	c.archive.copying.Store(false)
}

// Copied notes the newest number that is at the other place, for the metrics.
func (c Copier) Copied(newest base.SeqNum) { c.archive.copiedSeq.Store(uint64(newest)) }

// Identity returns which database it is, and which of its histories.
func (c Copier) Identity() (database, history base.DBID) {
	return c.archive.cfg.WAL.DBID, c.archive.cfg.History
}

// Feed returns a feed that begins with the commit that has number from.
func (c Copier) Feed(from base.SeqNum) (*Feed, error) { return c.archive.Feed(from) }

// Newest returns the newest number that readers see, and up to which position the log is durable.
func (c Copier) Newest() (base.SeqNum, wal.Position) {
	_, end := c.archive.cfg.Durable()
	return c.archive.cfg.VisibleSeq(), max(end, c.archive.end)
}

// Stopped is closed when the database closes.
func (c Copier) Stopped() <-chan struct{} { return c.archive.cfg.Stopped }

// OpenTable opens the file of a table of the current commit of a feed.
func (c Copier) OpenTable(n base.FileNum) (vfs.File, error) {
	return c.archive.cfg.WAL.FS.Open(filepath.Join(c.archive.cfg.WAL.Dir, store.TableName(n)))
}

// Position returns where the group ends that the current commit belongs to. One past the log has
// none, and leaves it as it was.
func (f *Feed) Position() wal.Position { return f.end }

// Batch returns the batch of the commit, as the log has it; nil of one past the log. It is valid as
// long as the commit.
func (c *Commit) Batch() []byte { return c.batch }

// Ingest returns what the manifest says of a commit past the log. ok is false where it is none.
func (c *Commit) Ingest() (ingest manifest.IngestCommit, ok bool) {
	if c.tables == nil {
		return ingest, false
	}
	ingest = manifest.IngestCommit{First: c.First, Last: c.Last, At: base.Instant(c.tables.at.UnixNano())}
	for _, r := range c.tables.readers {
		ingest.Tables = append(ingest.Tables, r.Meta())
	}
	return ingest, true
}
