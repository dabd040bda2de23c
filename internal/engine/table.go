package engine

import (
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/sstable"
)

// table is a live SST file: its description and, once it was needed, its open
// reader. Trees that hold the file count as references; when the last one goes
// and the file is obsolete, the janitor deletes it.
//
// reader is opened at most once, under mu; after that it is read without a
// lock by anyone who holds a reference or is in an epoch guard entered while
// one was held.
type table struct {
	meta   *manifest.FileMeta
	refs   atomic.Int32
	reader atomic.Pointer[sstable.Reader]
	mu     ranked.Mutex[ranked.TableOpen]

	// obsolete is set, before the last reference goes, when the manifest no
	// longer names the file.
	obsolete atomic.Bool
}

const tableSuffix = ".sst"

func tableName(n base.FileNum) string { return base.FileName(n, tableSuffix) }

func parseTableName(name string) (base.FileNum, bool) {
	return base.ParseFileName(name, tableSuffix)
}

// openTable returns the table's reader, opening the file when it is the first to
// ask.
func (db *DB) openTable(t *table) (*sstable.Reader, error) {
	if r := t.reader.Load(); r != nil {
		return r, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.reader.Load(); r != nil {
		return r, nil
	}
	r, err := db.openReader(t.meta)
	if err != nil {
		return nil, err
	}
	t.reader.Store(r)
	return r, nil
}

func (db *DB) openReader(meta *manifest.FileMeta) (*sstable.Reader, error) {
	name := tableName(meta.Num)
	f, err := db.opts.FS.Open(filepath.Join(db.dir, name))
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", name, err)
	}
	return sstable.OpenReader(f, sstable.ReaderOptions{
		Name:      name,
		DBID:      db.id,
		FileNum:   meta.Num,
		SizeBytes: int64(meta.SizeBytes),
		SeqBase:   meta.SeqBase,
		Cache:     db.cache,
		Epochs:    &db.epochs,
	})
}

// tree is one version of the sorted files, with the open-table handles that
// belong to it. Read states share it; it holds a reference on each table.
type tree struct {
	version *manifest.Version
	levels  [manifest.NumLevels][]*table
	refs    atomic.Int32
	// runs is how many sorted runs level 0 has: the files of one commit past the
	// log are one, and stand side by side.
	runs int
	// maxSeq is the newest sequence number in each level.
	maxSeq [manifest.NumLevels]base.SeqNum

	// rangeDeletes is the union of the tombstones of all tables, gathered by
	// the first reader that needs it.
	rangeDeletes lazyRangeDeletes
}

// newTree resolves the files of v to tables, making handles for new ones. The
// caller holds db.mu; the tree comes with one reference.
func (db *DB) newTree(v *manifest.Version) *tree {
	t := &tree{version: v}
	t.refs.Store(1)
	for level, files := range v.Levels {
		if len(files) == 0 {
			continue
		}
		t.levels[level] = make([]*table, len(files))
		for i, meta := range files {
			tab := db.tables[meta.Num]
			if tab == nil {
				tab = &table{meta: meta}
				db.tables[meta.Num] = tab
			}
			tab.refs.Add(1)
			t.maxSeq[level] = max(t.maxSeq[level], meta.LargestSeq)
			t.levels[level][i] = tab
			if level == 0 && (i == 0 || !sameRun(files[i-1], meta)) {
				t.runs++
			}
			t.rangeDeletes.present = t.rangeDeletes.present || meta.RangeDeletes > 0
		}
	}
	return t
}

// sameRun reports whether two files of level 0 come from one commit past the log,
// and so overlap nowhere.
func sameRun(a, b *manifest.FileMeta) bool { return a.SeqBase == b.SeqBase && a.SeqBase != 0 }

// unref gives back a reference. The last one returns the tables that nobody
// holds any more to the caller, who disposes of them.
func (t *tree) unref() (unused []*table) {
	if t.refs.Add(-1) > 0 {
		return nil
	}
	for _, tables := range t.levels {
		for _, tab := range tables {
			if tab.refs.Add(-1) == 0 {
				unused = append(unused, tab)
			}
		}
	}
	return unused
}
