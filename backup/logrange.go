package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file says to which moments a target can bring a database back. A backup and the parts of the log
// that follow it without a hole are a range; holes are where the database's own log was gone before
// it was archived, or where objects were lost, which the part behind a hole tells apart.

// ErrNotCovered says that the archived log does not lead to a moment: it ends before, or has a hole. One
// that should not be there is damage.
var ErrNotCovered = errors.New("the archived log does not lead there")

// Range is what of the log of a database is at a target without a hole.
type Range struct {
	// Database and History are as in Info.
	Database, History string
	// First and Last are sequence numbers.
	First, Last uint64
	// Until is when Last was the newest write for the last time, as far as is known: a restore
	// to any time between a backup in the range and Until is exact.
	Until time.Time
	// Parts are the objects, with SizeBytes as they are stored, without chunks.
	Parts     int
	SizeBytes int64
}

// Logs returns what of the logs of databases is at a target, by database, history and number. With a backup
// whose Seq is at least First-1, and at most Last, one can restore to each write up to Last.
func Logs(ctx context.Context, t Target) ([]Range, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	if err := checkFormat(ctx, t, false); err != nil {
		return nil, err
	}
	with, err := newCodec(1)
	if err != nil {
		return nil, err
	}
	defer with.close()
	byDir, err := listParts(ctx, t, logPrefix)
	if err != nil {
		return nil, err
	}
	var all []Range
	for dir, parts := range byDir {
		last, err := getSeen(ctx, t, with, dir)
		if err != nil && !isDamage(err) {
			return nil, err
		}
		all = append(all, rangesOf(dir, parts, last)...)
	}
	slices.SortFunc(all, func(a, b Range) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.History, b.History), cmp.Compare(a.First, b.First))
	})
	return all, nil
}

// listParts returns the parts whose names begin with prefix, by the beginnings of their names up to the last
// slash, each list by number.
func listParts(ctx context.Context, t Target, prefix string) (map[string][]part, error) {
	byDir := map[string][]part{}
	for o, err := range t.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the log: %w", err)
		}
		if p, dir, ok := parsePart(o); ok && validLogDir(dir) {
			byDir[dir] = append(byDir[dir], p)
		}
	}
	for _, parts := range byDir {
		slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last)) })
	}
	return byDir, nil
}

// idLen is how many digits the identity of a database has, and that of a history.
const idLen = 32

func validLogDir(dir string) bool {
	return len(dir) == len(logPrefix)+2*idLen+2 && dir[len(logPrefix)+idLen] == '/'
}

// ofLogDir returns the database and the history of the parts whose names begin with dir.
func ofLogDir(dir string) (database, history string) {
	database, history = dir[len(logPrefix):len(logPrefix)+idLen], dir[len(logPrefix)+idLen+1:len(dir)-1]
	if logDir(database, "") == dir {
		history = ""
	}
	return database, history
}

// follow returns the parts that lead on from a number without a hole, and the first number behind
// them. Parts may overlap, where one was stored although its writer was told that it was not.
func follow(parts []part, next uint64) (chain []part, end uint64) {
	for _, p := range parts {
		switch {
		case p.last < next:
			continue
		case p.first > next:
			return chain, next
		}
		chain = append(chain, p)
		next = p.last + 1
	}
	return chain, next
}

// rangesOf returns the ranges of the parts of one history.
func rangesOf(dir string, parts []part, last seen) (all []Range) {
	for len(parts) > 0 {
		chain, end := follow(parts, parts[0].first)
		r := Range{First: parts[0].first, Last: end - 1, Parts: len(chain)}
		r.Database, r.History = ofLogDir(dir)
		for _, p := range chain {
			r.Until = later(r.Until, p.time)
			r.SizeBytes += p.sizeBytes
		}
		if last.Seq == r.Last {
			r.Until = later(r.Until, last.Time)
		}
		all = append(all, r)
		parts = slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return p.first < end })
	}
	return all
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
