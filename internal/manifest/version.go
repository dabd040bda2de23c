package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/lightningdb/lightning/internal/base"
)

// Version is the set of live tables. It is immutable: Apply makes a new one
// that shares the levels that did not change. The zero Version is empty;
// every other one comes from Apply. Safe for concurrent use.
//
// Invariants: level 0 is ordered newest first, by LargestSeq and then by Num;
// every other level is ordered by Lo and its spans are disjoint; no table is
// listed twice.
type Version struct {
	Levels [NumLevels][]*FileMeta

	bytes [NumLevels]uint64
}

// Apply returns the version that e makes of v; v does not change. It costs
// time in proportion to the levels that e names. An edit that removes a table
// that is not there, adds one that is, or makes tables of one level overlap is
// refused.
func (v *Version) Apply(e *Edit) (*Version, error) {
	if err := e.validate(); err != nil {
		return nil, err
	}
	if len(e.AddFiles) == 0 && len(e.RemoveFiles) == 0 {
		return v, nil
	}
	next := &Version{Levels: v.Levels, bytes: v.bytes}
	var added [NumLevels][]*FileMeta
	var removed [NumLevels]map[base.FileNum]bool
	for _, r := range e.RemoveFiles {
		if removed[r.Level] == nil {
			removed[r.Level] = make(map[base.FileNum]bool)
		}
		if removed[r.Level][r.Num] {
			return nil, fmt.Errorf("level %d: table %s is removed twice", r.Level, r.Num)
		}
		removed[r.Level][r.Num] = true
	}
	for _, a := range e.AddFiles {
		added[a.Level] = append(added[a.Level], a.Meta)
	}
	for level := range NumLevels {
		if added[level] == nil && removed[level] == nil {
			continue
		}
		if err := next.rebuild(level, added[level], removed[level]); err != nil {
			return nil, err
		}
	}
	if err := next.checkUnique(e.AddFiles); err != nil {
		return nil, err
	}
	return next, nil
}

// rebuild gives v its own copy of a level, changed and checked.
func (v *Version) rebuild(level int, added []*FileMeta, removed map[base.FileNum]bool) error {
	before := v.Levels[level]
	kept := make([]*FileMeta, 0, len(before))
	for _, f := range before {
		if !removed[f.Num] {
			kept = append(kept, f)
		}
	}
	if len(before)-len(kept) != len(removed) {
		for num := range removed {
			if !slices.ContainsFunc(before, func(f *FileMeta) bool { return f.Num == num }) {
				return fmt.Errorf("level %d: removed table %s is not there", level, num)
			}
		}
		return fmt.Errorf("level %d lists a table twice", level)
	}
	order := byLo
	if level == 0 {
		order = newestFirst
	}
	slices.SortFunc(added, order)
	files := mergeSorted(kept, added, order)
	var sum uint64
	for i, f := range files {
		sum += f.SizeBytes
		if level > 0 && i > 0 && bytes.Compare(files[i-1].Hi, f.Lo) > 0 {
			return fmt.Errorf("level %d: tables %s and %s overlap", level, files[i-1].Num, f.Num)
		}
	}
	v.Levels[level] = files
	v.bytes[level] = sum
	return nil
}

func byLo(a, b *FileMeta) int { return bytes.Compare(a.Lo, b.Lo) }

func newestFirst(a, b *FileMeta) int {
	if c := cmp.Compare(b.LargestSeq, a.LargestSeq); c != 0 {
		return c
	}
	return cmp.Compare(b.Num, a.Num)
}

// mergeSorted returns the tables of two ordered lists in one, in linear time.
func mergeSorted(a, b []*FileMeta, order func(a, b *FileMeta) int) []*FileMeta {
	out := make([]*FileMeta, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if order(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	out = append(out, a...)
	return append(out, b...)
}

// checkUnique refuses a number that is listed twice. The levels that the edit
// adds to are searched whole; of the others only level 0 and the tables that
// begin at the same key, which is where a table that was left behind by a move
// is found without walking the tree.
func (v *Version) checkUnique(addFiles []LevelFile) error {
	if len(addFiles) == 0 {
		return nil
	}
	var touched [NumLevels]bool
	touched[0] = true
	seen := make(map[base.FileNum]bool, len(addFiles)) // false: in the edit only, so far
	for _, a := range addFiles {
		touched[a.Level] = true
		if _, twice := seen[a.Meta.Num]; twice {
			return fmt.Errorf("table %s is added twice", a.Meta.Num)
		}
		seen[a.Meta.Num] = false
	}
	for level := range NumLevels {
		if !touched[level] {
			continue
		}
		for _, f := range v.Levels[level] {
			again, added := seen[f.Num]
			if again {
				return fmt.Errorf("table %s is already listed", f.Num)
			}
			if added {
				seen[f.Num] = true
			}
		}
	}
	for _, a := range addFiles {
		for level := 1; level < NumLevels; level++ {
			if touched[level] {
				continue
			}
			i := v.searchLo(level, a.Meta.Lo)
			if i < len(v.Levels[level]) && v.Levels[level][i].Num == a.Meta.Num {
				return fmt.Errorf("table %s is already listed in level %d", a.Meta.Num, level)
			}
		}
	}
	return nil
}

// searchLo returns the first table of an ordered level with Lo >= key.
func (v *Version) searchLo(level int, key []byte) int {
	files := v.Levels[level]
	return sort.Search(len(files), func(i int) bool { return bytes.Compare(files[i].Lo, key) >= 0 })
}

// Overlapping returns the tables of a level whose span meets [lo, hi), in the
// order of the level; hi nil means no upper bound. The slice belongs to the
// version and must not be changed.
func (v *Version) Overlapping(level int, lo, hi []byte) []*FileMeta {
	files := v.Levels[level]
	if level > 0 {
		from := sort.Search(len(files), func(i int) bool { return bytes.Compare(files[i].Hi, lo) > 0 })
		to := len(files)
		if hi != nil {
			to = max(from, v.searchLo(level, hi))
		}
		return files[from:to:to]
	}
	var out []*FileMeta
	for _, f := range files {
		if bytes.Compare(f.Hi, lo) > 0 && (hi == nil || bytes.Compare(f.Lo, hi) < 0) {
			out = append(out, f)
		}
	}
	return out
}

// LevelBytes returns the bytes of all tables of a level.
func (v *Version) LevelBytes(level int) uint64 { return v.bytes[level] }
