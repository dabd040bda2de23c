package feed

import (
	"slices"
	"sort"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
)

// This file is what an Archive knows of transactions that were committed past the
// log. The edit of the manifest that is such a commit names its tables twice: for
// the tree, and for the archive, where they stay when compactions have replaced
// them. So commit and history cannot come apart in a crash, and the log needs no
// record of it. The archive holds a reference on each table, and deletes what the
// tree does not have when retention says so; the next edit, whatever it is for, has
// the manifest forget it. What the manifest names and the directory does not have was
// on its way out in a crash, or taken away.

// ingestCommit is a transaction that was committed past the log.
type ingestCommit struct {
	first, last base.SeqNum
	tables      []*store.Table // in the order of their keys
	sizeBytes   int64
	since       time.Time    // when it was committed
	during      base.FileNum // the segment that was written then; 0: long ago
}

// ingestList is commits past the log, the oldest first. They do not overlap.
type ingestList []ingestCommit

// endingAt is where the first commit is that ends at or behind a number.
func (l ingestList) endingAt(seq base.SeqNum) int {
	return sort.Search(len(l), func(i int) bool { return l[i].last >= seq })
}

// keepTables returns a commit whose tables stay until deleteAll or Close.
func (a *Archive) keepTables(c *manifest.IngestCommit) ingestCommit {
	kept := ingestCommit{
		first: c.First, last: c.Last, since: time.Unix(0, int64(c.At)), tables: a.cfg.Store.Keep(c.Tables),
	}
	blobs := map[base.FileNum]bool{}
	for _, meta := range c.Tables {
		kept.sizeBytes += int64(meta.SizeBytes)
		for _, use := range meta.Blobs {
			if !blobs[use.Num] {
				blobs[use.Num] = true
				kept.sizeBytes += int64(use.Table.SizeBytes)
			}
		}
	}
	return kept
}

// NoteIngest takes up a commit past the log, before it is visible. Where the log is
// kept the manifest names it for the archive. Where it is not, and a feed is open, it
// is kept in passing, as the log is: until that goes on behind it.
func (a *Archive) NoteIngest(c *manifest.IngestCommit) {
	a.ingestedSeq.Store(uint64(c.Last))
	if !a.Enabled() && a.Metrics().Feeds == 0 {
		return
	}
	a.addIngest(a.keepTables(c), a.Enabled())
	if a.Enabled() {
		a.Keep()
	} else {
		a.dropPassing()
	}
}

// inPassing reports whether nothing is kept but for the feeds of now.
func (a *Archive) inPassing() bool { return !a.Enabled() && !a.cfg.ReadOnly }

// dropPassing has the janitor delete what was kept in passing and has passed.
func (a *Archive) dropPassing() {
	if a.inPassing() && a.Metrics().Ingests > 0 {
		a.cfg.Janitor.AddFile(func() { a.deleteAll(a.takePassed()) })
	}
}

// takePassed takes off the commits past the log that were kept in passing, but the
// newest while the log has not gone on and there is a feed to read it.
func (a *catalogue) takePassed() (gone removal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.ingests)
	if n > 0 && a.feeds > 0 && a.ingests[n-1].during == a.current() {
		n--
	}
	gone.ingests = slices.Clone(a.ingests[:n])
	a.ingests = slices.Delete(a.ingests, 0, n)
	return gone
}

// addIngest takes up the newest commit of all; named says whether the manifest names it.
func (a *catalogue) addIngest(c ingestCommit, named bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.during = a.current(); c.during != 0 {
		if s := &a.segments[len(a.segments)-1]; s.extent.First == c.first {
			s.extent.First = c.last + 1 // there is nothing in it
		}
	}
	a.ingests = append(a.ingests, c)
	if named {
		a.named = append(a.named, c.first)
	}
}

// ingestAt returns the commit past the log that a sequence number belongs to.
func (a *catalogue) ingestAt(seq base.SeqNum) (c ingestCommit, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.ingests.endingAt(seq); i < len(a.ingests) && a.ingests[i].first <= seq {
		return a.ingests[i], true
	}
	return c, false
}

// nextIngest returns the first number of the next commit past the log that begins
// behind a number; the last number of all where there is none.
func (a *catalogue) nextIngest(seq base.SeqNum) base.SeqNum {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := a.ingests.endingAt(seq); i < len(a.ingests); i++ {
		if a.ingests[i].first > seq {
			return a.ingests[i].first
		}
	}
	return base.SeqNumMax
}

// Forgotten returns the first numbers of the commits that the manifest names and the
// archive does not have any more.
func (a *catalogue) Forgotten() (gone []base.SeqNum) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.ingests // in the order of named
	for _, first := range a.named {
		if len(left) > 0 && left[0].first == first {
			left = left[1:]
		} else {
			gone = append(gone, first)
		}
	}
	return gone
}

// NoteForgotten notes that the manifest names commits no more.
func (a *catalogue) NoteForgotten(gone []base.SeqNum) {
	if len(gone) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.named = slices.DeleteFunc(a.named, func(first base.SeqNum) bool { return slices.Contains(gone, first) })
}

// loadIngests takes up the commits that the manifest names for the archive and whose
// tables, and those with values of theirs, are all among the files of the directory.
func (a *Archive) loadIngests(named []manifest.IngestCommit, names []string) {
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	isGone := func(m *manifest.FileMeta) bool {
		return !there[store.TableName(m.Num)] ||
			slices.ContainsFunc(m.Blobs, func(use manifest.BlobUse) bool { return !there[store.TableName(use.Num)] })
	}
	found := slices.DeleteFunc(slices.Clone(named), func(c manifest.IngestCommit) bool {
		return slices.ContainsFunc(c.Tables, isGone)
	})
	for _, c := range found {
		kept := a.keepTables(&c)
		a.mu.Lock()
		a.ingests = append(a.ingests, kept)
		a.mu.Unlock()
	}
}

// Close ends the enforcement by time, for good, and gives the tables back. Their
// files stay, but those that were kept in passing.
func (a *Archive) Close() {
	ingests := a.shut()
	a.cfg.Janitor.AddFile(func() {
		for _, c := range ingests {
			if a.inPassing() {
				a.cfg.Store.ForgetKept(c.tables)
			}
			a.cfg.Store.Unref(c.tables)
		}
	})
}

// shut takes off all commits past the log, and stops the timer.
func (a *catalogue) shut() (ingests []ingestCommit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closing = true
	if a.timer != nil {
		a.timer.Stop()
	}
	ingests, a.ingests, a.named = a.ingests, nil, nil
	return ingests
}
