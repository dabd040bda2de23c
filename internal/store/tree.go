package store

import (
	"bytes"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// Tree is one version of the sorted files, with the tables that belong to it.
// It is immutable and safe for concurrent use; whoever holds it counts a
// reference, and it holds one on each table.
type Tree struct {
	Version *manifest.Version
	Levels  [manifest.NumLevels][]*Table
	// Runs is how many sorted runs level 0 has: the files of one commit past the
	// log are one, and stand side by side.
	Runs int
	// MaxSeq is the newest sequence number in each level.
	MaxSeq [manifest.NumLevels]base.SeqNum

	store *Store
	refs  atomic.Int32
	// deletes are the tables with range tombstones.
	deletes [manifest.NumLevels][]*Table
}

// NewTree resolves the files of v to tables, making new ones where needed. The
// tree comes with one reference.
func (s *Store) NewTree(v *manifest.Version) *Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &Tree{Version: v, store: s}
	t.refs.Store(1)
	for level, files := range v.Levels {
		if len(files) == 0 {
			continue
		}
		t.Levels[level] = make([]*Table, len(files))
		for i, meta := range files {
			tab := s.table(meta)
			tab.refs.Add(1)
			s.live[meta.Num] = tab
			t.MaxSeq[level] = max(t.MaxSeq[level], meta.LargestSeq)
			t.Levels[level][i] = tab
			if level == 0 && (i == 0 || !sameRun(files[i-1], meta)) {
				t.Runs++
			}
			if meta.RangeDeletes > 0 {
				t.deletes[level] = append(t.deletes[level], tab)
			}
		}
	}
	return t
}

// sameRun reports whether two files of level 0 come from one commit past the log,
// and so overlap nowhere.
func sameRun(a, b *manifest.FileMeta) bool { return a.SeqBase == b.SeqBase && a.SeqBase != 0 }

// Ref takes a reference for a further holder.
func (t *Tree) Ref() { t.refs.Add(1) }

// Unref gives back a reference. The last one returns the tables that nobody
// holds any more to the caller, who disposes of them.
func (t *Tree) Unref() (unused []*Table) {
	if t.refs.Add(-1) > 0 {
		return nil
	}
	for _, tables := range t.Levels {
		for _, tab := range tables {
			if tab.refs.Add(-1) == 0 {
				unused = append(unused, tab)
			}
		}
	}
	return unused
}

// Lookup is a key, and what a reader of it sees.
type Lookup struct {
	Key  []byte
	Hash uint64 // base.Hash(Key)
	Seq  base.SeqNum
	// Covering is the newest range tombstone over the key, of those that Seq sees and
	// that are no older than what was found.
	Covering base.SeqNum
	// Part, which may be nil, says that of a value in pieces only one is wanted.
	Part *Part
	// Way, which may be nil, is from an Approach of the same tree for the same key, as of
	// Seq and in the same guard. The first Get goes on from there.
	Way *Way
}

// Get looks for the newest version of a key that is not newer than seq, from the newest
// files to the oldest. The sources above hold newer versions of a key, and range
// tombstones over it, than those below, so the first hit is the answer. The caller is in
// an epoch guard as long as it uses the value.
func (t *Tree) Get(l *Lookup, seq base.SeqNum) (tr base.Trailer, value []byte, found bool, err error) {
	if w := l.Way; w != nil {
		l.Way = nil
		if tr, value, found, known := w.take(l, seq); known {
			return tr, value, found, nil
		}
	}
	for _, tab := range t.Levels[0] {
		if bytes.Compare(l.Key, tab.Meta.Lo) < 0 || bytes.Compare(l.Key, tab.Meta.Hi) >= 0 {
			continue
		}
		if tr, value, found, err = tab.Get(l, seq); found || err != nil {
			return tr, value, found, err
		}
	}
	for _, tables := range t.Levels[1:] {
		i := FirstEndingAfter(tables, l.Key)
		if i == len(tables) || bytes.Compare(l.Key, tables[i].Meta.Lo) < 0 {
			continue
		}
		if tr, value, found, err = tables[i].Get(l, seq); found || err != nil {
			return tr, value, found, err
		}
	}
	return 0, nil, false, nil
}

// Prefetch puts the blocks on a list that Get is likely to read from files for the
// same key.
func (t *Tree) Prefetch(list *sstable.Prefetch, key []byte, hash uint64, seq base.SeqNum) error {
	for level, tables := range t.Levels {
		first, end := 0, len(tables)
		if level > 0 {
			first = FirstEndingAfter(tables, key)
			end = min(first+1, end)
		}
		for _, tab := range tables[first:end] {
			if bytes.Compare(key, tab.Meta.Lo) < 0 || bytes.Compare(key, tab.Meta.Hi) >= 0 {
				continue
			}
			r, err := tab.Reader()
			if err != nil {
				return err
			}
			if may, err := list.Want(r, key, hash, seq); may || err != nil {
				return err // it is there, but for one key in a hundred
			}
		}
	}
	return nil
}

// PrefetchSeek puts the blocks on a list in which iterators over [lo, hi) land when they
// seek key.
func (t *Tree) PrefetchSeek(list *sstable.Prefetch, key, lo, hi []byte) error {
	for level, tables := range t.Levels {
		if level > 0 {
			first := FirstEndingAfter(tables, key)
			tables = tables[first:min(first+1, len(tables))]
		}
		for _, tab := range tables {
			if !tab.Overlaps(lo, hi) || bytes.Compare(key, tab.Meta.Hi) >= 0 {
				continue
			}
			r, err := tab.Reader()
			if err == nil {
				err = list.WantSeek(r, key)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// CacheMisses counts the blocks that reads of tables did not find in the cache.
func (t *Tree) CacheMisses() uint64 { return t.store.cfg.Cache.Misses() }

// Find returns the tables of a level that belong to files.
func (t *Tree) Find(level int, files []*manifest.FileMeta) []*Table {
	wanted := make(map[base.FileNum]bool, len(files))
	for _, f := range files {
		wanted[f.Num] = true
	}
	var out []*Table
	for _, tab := range t.Levels[level] {
		if wanted[tab.Meta.Num] {
			out = append(out, tab)
		}
	}
	return out
}

// LevelZeroRuns calls fn with the sorted runs of level 0, the newest first.
func (t *Tree) LevelZeroRuns(fn func(run []*Table) error) error {
	tables := t.Levels[0]
	for i := 0; i < len(tables); {
		end := i + 1
		for end < len(tables) && sameRun(tables[i].Meta, tables[end].Meta) {
			end++
		}
		if err := fn(tables[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}
