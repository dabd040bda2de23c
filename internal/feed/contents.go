package feed

import (
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/wal"
)

// Spent is a segment that no manifest names and that the archive keeps.
type Spent struct {
	Num      base.FileNum
	Archived bool // under its name as an archived segment, and not changed any more
	Extent   wal.Extent
	Since    time.Time
	// SizeBytes is that of the file, if it is archived.
	SizeBytes int64
}

// Keeps reports whether there is anything in the archive that outlives the feeds of now.
func (a *Archive) Keeps() bool { return a.Enabled() || a.cfg.ReadOnly }

// Contents returns what of the history is neither in the tree nor in the log of a state of the
// manifest: the segments that are kept and that it does not name, the oldest first, and those
// of the commits past the log that it names and that are kept. Both stay for as long as the
// janitor touches no files, which the caller sees to from before the state was the newest.
func (a *Archive) Contents(state *manifest.State) (spent []Spent, ingests []manifest.IngestCommit, err error) {
	if !a.Keeps() {
		return nil, nil, nil
	}
	if err := a.findReadOnly(); err != nil {
		return nil, nil, err
	}
	isNamed := func(n base.FileNum) bool {
		return slices.ContainsFunc(state.Logs, func(l manifest.LogSegment) bool { return l.Num == n })
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.segments {
		if s.obsolete && !isNamed(s.num) {
			spent = append(spent, Spent{s.num, s.archived, s.extent, s.since, s.sizeBytes})
		}
	}
	for _, c := range state.Ingests {
		if slices.ContainsFunc(a.ingests, func(kept ingestCommit) bool { return kept.first == c.First }) {
			ingests = append(ingests, c)
		}
	}
	return spent, ingests, nil
}
