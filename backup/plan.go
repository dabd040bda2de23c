package backup

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/store"
)

// This file finds out what of the archived log follows a backup up to a moment, and reads all of it once, before
// anything is written: what is missing or damaged is told while that costs nothing.

// plan is what of the log is restored behind a backup.
type plan struct {
	parts     []part
	toSeq     uint64    // of the last commit that counts
	until     time.Time // by which all that counts was written
	sizeBytes int64
	chunks    map[sum]string // of large commits, with the names of their parts
	nextNum   base.FileNum   // above all that files of large commits have
}

// plan returns what of the log follows a backup up to the moment that is wanted.
func (r *restorer) plan(c *contents) (plan, error) {
	p := plan{toSeq: c.Seq, until: c.Time, chunks: map[sum]string{}}
	if r.ID != "" && r.Seq == 0 && r.At.IsZero() {
		return p, nil
	}
	dir := logDir(c.Database, c.History)
	byDir, err := listParts(r.ctx, r.target, dir)
	if err != nil {
		return p, err
	}
	last, err := getSeen(r.ctx, r.target, r.with, dir)
	if err != nil {
		return p, err
	}
	l := logBehind{restorer: r, dir: dir, backup: c, parts: byDir[dir], seen: last}
	l.chain, l.end = follow(l.parts, c.Seq+1)
	if err := l.check(); err != nil {
		return p, err
	}
	return p, r.survey(&p, l.chain)
}

// logBehind is what there is of the log behind a backup.
type logBehind struct {
	*restorer
	dir    string
	backup *contents
	parts  []part // all
	chain  []part // that follow the backup without a hole
	end    uint64 // the first number behind them
	seen   seen
}

// check makes sure that the log leads to where it should.
func (l *logBehind) check() error {
	goesOn := l.seen.Seq >= l.end || slices.ContainsFunc(l.parts, func(p part) bool { return p.first > l.end })
	switch {
	case l.Seq != 0:
		if l.end-1 < l.Seq {
			return l.notCovered(fmt.Sprintf("write %d", l.Seq))
		}
	case l.At.IsZero():
		if goesOn {
			return l.notCovered("the newest write that is there")
		}
	case l.isBefore() && !l.hasLog():
		return nil // as where no log is archived at all
	case l.isBefore():
		return l.notCovered(l.At.UTC().Format(time.RFC3339Nano))
	}
	return nil
}

// until is up to when the log without a hole is known to have everything.
func (l *logBehind) until() time.Time {
	until := l.backup.Time
	if n := len(l.chain); n > 0 {
		until = later(until, l.chain[n-1].time.Add(time.Millisecond)) // its name has no smaller units
	}
	if l.seen.Seq == l.end-1 {
		until = later(until, l.seen.Time)
	}
	return until
}

// isBefore reports whether the log is not known to have everything up to the time that is wanted.
func (l *logBehind) isBefore() bool { return l.At.After(l.until()) }

// hasLog reports whether any log was archived behind the backup by the time that is wanted.
func (l *logBehind) hasLog() bool {
	return l.seen.Seq == l.backup.Seq || slices.ContainsFunc(l.parts, func(p part) bool {
		return p.last > l.backup.Seq && !p.time.After(l.At)
	})
}

// notCovered says why the log does not lead to a moment.
func (l *logBehind) notCovered(moment string) error {
	i := slices.IndexFunc(l.parts, func(p part) bool { return p.first > l.end })
	switch {
	case i < 0 && l.seen.Seq >= l.end:
		return damaged(l.dir, fmt.Errorf("the log went to write %d, and what is behind %d is missing", l.seen.Seq, l.end-1))
	case i < 0:
		return fmt.Errorf("%w: %s is wanted, and behind backup %s it goes to write %d, as of %s",
			ErrNotCovered, moment, l.backup.ID, l.end-1, l.until().Format(time.RFC3339Nano))
	}
	next := l.parts[i]
	p, err := loadPart(l.ctx, l.target, l.with, next)
	if err != nil {
		return err
	}
	if p.Continues {
		return damaged(l.dir, fmt.Errorf("writes %d to %d are missing, which %s goes on from", l.end, next.first-1, next.name))
	}
	return fmt.Errorf("%w: %s is wanted, and writes %d to %d are in a hole behind backup %s: they were gone before they were archived",
		ErrNotCovered, moment, l.end, next.first-1, l.backup.ID)
}

// survey reads the parts that are needed, and notes what is in them.
func (r *restorer) survey(p *plan, chain []part) error {
	limit := uint64(math.MaxUint64)
	if r.Seq != 0 {
		limit = r.Seq
	}
	for i := range chain {
		if !r.At.IsZero() && i > 0 && chain[i-1].time.After(r.At) || chain[i].first > limit {
			return nil
		}
		read, err := loadPart(r.ctx, r.target, r.with, chain[i])
		if err != nil {
			return err
		}
		counts := false
		err = r.eachWanted(read, p.toSeq, func(last uint64, at time.Time) {
			counts, p.toSeq, p.until = true, last, later(p.until, at)
		})
		if err != nil || !counts {
			return err
		}
		p.parts = append(p.parts, chain[i])
		p.sizeBytes += int64(len(read.commits))
		for _, f := range read.Files {
			p.sizeBytes += f.SizeBytes
			for _, s := range f.Chunks {
				p.chunks[s] = chain[i].name
			}
			if n, ok := store.ParseTableName(f.Name); ok {
				p.nextNum = max(p.nextNum, n+1)
			}
		}
	}
	return nil
}

// eachWanted calls fn with the commits of a part that are behind a number and not behind the
// moment that is wanted.
func (r *restorer) eachWanted(p *logPart, after uint64, fn func(last uint64, at time.Time)) error {
	note := func(_, last uint64, at time.Time, _ []byte) error {
		if last > after && r.isWanted(last, at) {
			fn(last, at)
		}
		return nil
	}
	if len(p.Files) > 0 {
		return note(p.First, p.Last, p.Time, nil)
	}
	return p.each(note)
}

// isWanted reports whether a commit is not behind the moment that is wanted.
func (r *restorer) isWanted(last uint64, at time.Time) bool {
	return (r.Seq == 0 || last <= r.Seq) && (r.At.IsZero() || !at.After(r.At))
}
