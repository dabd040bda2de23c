package damage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/lightningdb/lightning"
)

// Which answers depend on which bytes of a table is learned by experiment. The
// reads that the engine makes cut a table into regions. Each region is made
// unreadable in turn, and what fails then, of Gets and scans, is its scope. A
// flip in a region can change only answers for which the region is read; what
// the bytes of one table say cannot make others be read that were not, for that
// is up to the manifest. So it is enough to ask for what is in scope, and a flip
// costs half a millisecond and not five. That everything else is answered as
// ever is checked by samples.

// A scope says which probes of each keyspace depend on something: [from, to).
type scope []span

type span struct{ from, to int }

func (s *span) add(i int) {
	if s.from == s.to {
		*s = span{i, i}
	}
	s.from, s.to = min(s.from, i), max(s.to, i+1)
}

// region is a part of a table, and the answers that depend on it.
type region struct {
	lo, hi int64
	scope  scope
}

var errBlackout = errors.New("this cannot be read")

// everything is the scope of what all depends on.
func (a answers) everything() scope {
	s := make(scope, len(a))
	for i := range a {
		s[i].to = len(a[i].probes)
	}
	return s
}

// scope returns the answers that depend on some bytes of a file: all, but for
// tables.
func (s *specimen) scope(file string, lo, hi int64) (scope, error) {
	if kind(file) != kindTable {
		return s.truth().everything(), nil
	}
	regions, err := s.regions[file]()
	if err != nil {
		return nil, err
	}
	all := make(scope, len(s.truth()))
	for _, r := range regions {
		if r.hi <= lo || r.lo >= hi {
			continue
		}
		for i, at := range r.scope {
			if at.from < at.to {
				all[i].add(at.from)
				all[i].add(at.to - 1)
			}
		}
	}
	return all, nil
}

// learnRegions prepares to find the regions of each table when they are needed.
func (s *specimen) learnRegions() {
	s.regions = map[string]func() ([]region, error){}
	for _, name := range s.image.names() {
		if kind(name) == kindTable {
			s.regions[name] = sync.OnceValues(func() ([]region, error) { return s.findRegions(name) })
		}
	}
}

func (s *specimen) findRegions(file string) ([]region, error) {
	fsys := flip(s.image, file)
	borders := map[int64]bool{0: true, int64(len(fsys.content)): true}
	fsys.onRead = func(name string, offset int64, length int) {
		if name == file {
			borders[offset] = true
			borders[min(offset+int64(length), int64(len(fsys.content)))] = true
		}
	}
	if _, err := s.dependents(fsys, s.truth().everything()); err != nil {
		return nil, fmt.Errorf("specimen %q: read %s: %w", s.name, file, err)
	}
	fsys.onRead, fsys.failing = nil, errBlackout
	fsys.failingTo = int64(len(fsys.content))
	whole, err := s.dependents(fsys, s.truth().everything())
	if err != nil {
		return nil, fmt.Errorf("specimen %q: without %s: %w", s.name, file, err)
	}
	var regions []region
	cuts := slices.Sorted(maps.Keys(borders))
	for i, hi := range cuts[1:] {
		fsys.failingFrom, fsys.failingTo = cuts[i], hi
		at, err := s.dependents(fsys, whole)
		if err != nil {
			return nil, fmt.Errorf("specimen %q: without [%d, %d) of %s: %w", s.name, cuts[i], hi, file, err)
		}
		regions = append(regions, region{cuts[i], hi, at})
	}
	return regions, nil
}

// dependents returns the smallest scope, within another one, with all that
// cannot be read.
func (s *specimen) dependents(fsys *flippedFS, within scope) (scope, error) {
	options := s.options
	options.FS, options.ReadOnly = fsys, true
	db, err := lightning.Open(dir, &options)
	if err != nil {
		return nil, err
	}
	found := make(scope, len(within))
	for i := range s.truth() {
		a := &s.truth()[i]
		r, err := spaceOf(db, a.space)
		if err == nil {
			found[i], err = blackouts(r, a, within[i])
		}
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return found, db.Close()
}

// blackouts returns the probes that a Get cannot read, and where scans stop.
func blackouts(r space, a *spaceAnswers, within span) (found span, err error) {
	for n := within.from; n < within.to; n++ {
		err := r.GetFunc(a.probes[n].key, func([]byte) error { return nil })
		switch {
		case errors.Is(err, errBlackout):
			found.add(n)
		case err != nil && !errors.Is(err, lightning.ErrNotFound):
			return found, err
		}
	}
	if within.from == within.to {
		return found, nil
	}
	for _, reverse := range []bool{false, true} {
		it, err := r.Iterator(a.bounds(within))
		if errors.Is(err, errBlackout) {
			return within, nil
		} else if err != nil {
			return found, err
		}
		before, err := lastRow(it, a, within, reverse)
		if errors.Is(err, errBlackout) {
			// What could not be read lies between this row and the next one.
			found.add(before)
			next := a.neighbour(before, within, reverse)
			found.add(next)
		} else if err != nil {
			return found, err
		}
	}
	return found, nil
}

// lastRow walks to the end or to an error, and returns the index of the probe
// that it saw last, or where it began.
func lastRow(it *lightning.Iterator, a *spaceAnswers, within span, reverse bool) (int, error) {
	at, start, step := within.from, it.First, it.Next
	if reverse {
		at, start, step = within.to-1, it.Last, it.Prev
	}
	for ok := start(); ok; ok = step() {
		at = a.index(it.Key(), within)
	}
	return at, it.Close()
}

// index returns which probe asks for a key that is there.
func (a *spaceAnswers) index(key []byte, within span) int {
	n, _ := slices.BinarySearchFunc(a.probes[within.from:within.to], key, func(p probe, key []byte) int {
		return bytes.Compare(p.key, key)
	})
	return min(within.from+n, within.to-1)
}

// neighbour returns the next probe that is found, in one direction, or the last
// one.
func (a *spaceAnswers) neighbour(n int, within span, reverse bool) int {
	step, end := 1, within.to-1
	if reverse {
		step, end = -1, within.from
	}
	for n != end {
		if n += step; a.probes[n].found {
			break
		}
	}
	return n
}

// bounds are those of an iterator over the probes of a span.
func (a *spaceAnswers) bounds(at span) (o lightning.IterOptions) {
	if at.from > 0 {
		o.Lower = a.probes[at.from].key
	}
	if at.to < len(a.probes) {
		o.Upper = a.probes[at.to].key
	}
	return o
}

// spaceOf returns what to read the answers of a keyspace from.
func spaceOf(db *lightning.DB, name string) (space, error) {
	if name == "" {
		return db, nil
	}
	k, err := db.Keyspace(context.Background(), name, nil)
	if err != nil {
		return nil, fmt.Errorf("keyspace %s: %w", name, err)
	}
	return k, nil
}
