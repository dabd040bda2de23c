package manifest

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
)

// This file keeps the blob tables. Nobody says when one goes: it is there as long as a table
// of a level, or of an ingest commit that the archive keeps or that is pending, has a value in it. So there is
// nothing that could go wrong between the tables and their blobs.

// Blobs returns the blob tables of a version, by number.
func (v *Version) Blobs() []*FileMeta {
	blobs := map[*FileMeta]bool{}
	for f := range tables(v) {
		for _, use := range f.Blobs {
			blobs[use.Table] = true
		}
	}
	return slices.SortedFunc(maps.Keys(blobs), func(a, b *FileMeta) int { return cmp.Compare(a.Num, b.Num) })
}

// tables yields all tables of a version and of ingest commits.
func tables(v *Version, ingests ...IngestCommit) iter.Seq[*FileMeta] {
	return func(yield func(*FileMeta) bool) {
		for _, files := range v.Levels {
			for _, f := range files {
				if !yield(f) {
					return
				}
			}
		}
		for i := range ingests {
			for _, f := range ingests[i].Tables {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// added yields the tables that an edit adds.
func (e *Edit) added() iter.Seq[*FileMeta] {
	return func(yield func(*FileMeta) bool) {
		for _, f := range e.AddFiles {
			if f.Meta != nil && !yield(f.Meta) {
				return
			}
		}
		for _, ingests := range [][]IngestCommit{e.AddIngests, e.AddPending} {
			for i := range ingests {
				for _, f := range ingests[i].Tables {
					if f != nil && !yield(f) {
						return
					}
				}
			}
		}
	}
}

// findBlobs notes the blob tables of an edit that a state does not have.
func (e *Edit) findBlobs(s *State) {
	e.AddBlobs = nil
	seen := map[base.FileNum]bool{}
	for f := range e.added() {
		for _, use := range f.Blobs {
			if num := use.Num; s.Blobs[num] == nil && !seen[num] && use.Table != nil {
				seen[num] = true
				e.AddBlobs = append(e.AddBlobs, use.Table)
			}
		}
	}
}

// joinBlobs returns the blob tables of s and of an edit, and has the tables of the edit know
// them: those of an edit that was read have only their numbers.
func (s *State) joinBlobs(e *Edit) (map[base.FileNum]*FileMeta, error) {
	blobs := s.Blobs
	if len(e.AddBlobs) > 0 {
		if blobs = maps.Clone(s.Blobs); blobs == nil {
			blobs = map[base.FileNum]*FileMeta{}
		}
	}
	for _, m := range e.AddBlobs {
		if blobs[m.Num] != nil {
			return nil, fmt.Errorf("blob table %s is already there", m.Num)
		}
		blobs[m.Num] = m
	}
	for f := range e.added() {
		for i := range f.Blobs {
			use := &f.Blobs[i]
			m := blobs[use.Num]
			if m == nil {
				return nil, fmt.Errorf("table %s has values in blob table %s, which is not there", f.Num, use.Num)
			}
			if use.Table == nil {
				use.Table = m
			}
		}
	}
	return blobs, nil
}

// keepBlobs makes those of some blob tables the ones of s that its tables use.
func (s *State) keepBlobs(blobs map[base.FileNum]*FileMeta) {
	if len(blobs) == 0 {
		s.Blobs = nil
		return
	}
	kept := make(map[base.FileNum]*FileMeta, len(blobs))
	for f := range tables(s.Version, slices.Concat(s.Ingests, s.Pending)...) {
		for _, use := range f.Blobs {
			kept[use.Num] = use.Table
		}
	}
	for num := range kept {
		s.NextFileNum = max(s.NextFileNum, num+1)
	}
	s.Blobs = kept
}
