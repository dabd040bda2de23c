package engine

import (
	"bytes"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
)

// Iterator walks the visible rows of a range at one moment. Flushes and
// compactions do not disturb it: it holds a reference on its read state. It is
// used by one goroutine at a time. When the database is closed, its next move
// fails and Err returns base.ErrClosed.
type Iterator struct {
	db     *DB
	core   *iteratorCore // nil once closed
	prefix int           // bytes of the keyspace prefix in each key
	handle *handle
	err    error
}

// iteratorCore is the machinery of an iterator. It is pooled: everything in it
// is rebuilt for the next iterator, without allocating.
type iteratorCore struct {
	rs      *readState
	merging iterate.Merging
	visible iterate.Visible
	sources []iterate.Source
	lists   []*rangedel.List
	levels  [manifest.NumLevels]levelSource
}

type levelSource struct {
	level iterate.Level
	files levelFiles
}

var iteratorCores = sync.Pool{New: func() any { return &iteratorCore{} }}

// IterOptions are the internal bounds of an iterator, [Lower, Upper), and the
// length of the keyspace prefix that Key leaves out. The bounds are not copied.
type IterOptions struct {
	Lower, Upper []byte
	PrefixBytes  int
}

// NewIterator returns an iterator over what is visible now.
func (db *DB) NewIterator(o IterOptions) (*Iterator, error) {
	rs, at, h, err := db.acquire(iteratorKind)
	if err != nil {
		return nil, err
	}
	return db.newIterator(rs, at, h, o)
}

// NewIterator returns an iterator over what the snapshot sees.
func (s *Snapshot) NewIterator(o IterOptions) (*Iterator, error) {
	rs, _, h, err := s.db.acquire(iteratorKind)
	if err != nil {
		return nil, err
	}
	if err := s.usable(); err != nil { // after the state was loaded, as in view
		s.db.release(rs)
		s.db.handles.close(h)
		return nil, err
	}
	return s.db.newIterator(rs, snapshotAt{s.seq, s.moment}, h, o)
}

// newIterator takes over the reference on rs and the handle.
func (db *DB) newIterator(rs *readState, at snapshotAt, h *handle, o IterOptions) (*Iterator, error) {
	core := iteratorCores.Get().(*iteratorCore)
	core.rs = rs
	if err := core.gather(db, o); err != nil {
		core.free(db)
		db.handles.close(h)
		return nil, err
	}
	core.merging.Reset(core.sources)
	core.visible.Init(&core.merging, iterate.Options{
		Seq:          at.seq,
		Lower:        o.Lower,
		Upper:        o.Upper,
		RangeDeletes: core.lists,
		At:           at.moment,
		Expired:      &db.timeline,
		Operators:    db,
	})
	return &Iterator{
		db:     db,
		core:   core,
		prefix: o.PrefixBytes,
		handle: h,
	}, nil
}

// gather collects the sources that can hold keys of the range, newest first.
func (c *iteratorCore) gather(db *DB, o IterOptions) error {
	c.addMemory(c.rs.mem)
	for _, m := range c.rs.imms {
		c.addMemory(m)
	}
	deletes, err := db.rangeDeletesOf(c.rs.tree)
	if err != nil {
		return err
	}
	if !deletes.Empty() {
		c.lists = append(c.lists, deletes)
	}
	v := c.rs.tree.version
	for i := 0; i < len(v.Levels[0]); {
		end := i + 1
		for end < len(v.Levels[0]) && sameRun(v.Levels[0][i], v.Levels[0][end]) {
			end++
		}
		if tables := c.rs.tree.levels[0][i:end]; len(tables) > 1 {
			c.addRun(db, tables, o)
		} else if err := c.addTable(db, tables[0], o); err != nil {
			return err
		}
		i = end
	}
	for level := 1; level < manifest.NumLevels; level++ {
		if len(v.Overlapping(level, o.Lower, o.Upper)) == 0 {
			continue
		}
		l := &c.levels[level]
		l.files = levelFiles{db: db, tables: c.rs.tree.levels[level]}
		l.level.Reset(&l.files)
		c.sources = append(c.sources,
			iterate.Source{Iter: &l.level, MaxSeq: c.rs.tree.maxSeq[level]})
	}
	return nil
}

// addTable adds a file of level 0.
func (c *iteratorCore) addTable(db *DB, tab *table, o IterOptions) error {
	if !overlaps(tab.meta, o.Lower, o.Upper) {
		return nil
	}
	r, err := db.openTable(tab)
	if err != nil {
		return err
	}
	it := r.NewIter(sstable.IterOptions{})
	c.sources = append(c.sources, iterate.Source{Iter: it, MaxSeq: tab.meta.LargestSeq})
	return nil
}

// addRun adds the files of one commit past the log, which overlap nowhere.
func (c *iteratorCore) addRun(db *DB, tables []*table, o IterOptions) {
	var run []*table
	newest := base.SeqNum(0)
	for _, tab := range tables {
		if overlaps(tab.meta, o.Lower, o.Upper) {
			run = append(run, tab)
			newest = max(newest, tab.meta.LargestSeq)
		}
	}
	if len(run) == 0 {
		return
	}
	slices.SortFunc(run, func(a, b *table) int { return bytes.Compare(a.meta.Lo, b.meta.Lo) })
	level := iterate.NewLevel(&levelFiles{db: db, tables: run})
	c.sources = append(c.sources, iterate.Source{Iter: level, MaxSeq: newest})
}

func (c *iteratorCore) addMemory(m *memory) {
	if list := m.rangeDeletes(); !list.Empty() {
		c.lists = append(c.lists, list)
	}
	if m.empty() {
		// A record added later is newer than what this iterator sees.
		return
	}
	c.sources = append(c.sources, iterate.Source{Iter: m.newIter(), MaxSeq: base.SeqNumMax})
}

// free closes the sources, gives the read state back and pools the core.
func (c *iteratorCore) free(db *DB) error {
	var first error
	for _, s := range c.sources {
		if err := s.Iter.Close(); err != nil && first == nil {
			first = err
		}
	}
	clear(c.sources)
	clear(c.lists)
	c.sources, c.lists = c.sources[:0], c.lists[:0]
	for i := range c.levels {
		c.levels[i].files = levelFiles{}
	}
	c.visible.Forget()
	db.release(c.rs)
	c.rs = nil
	iteratorCores.Put(c)
	return first
}

func overlaps(meta *manifest.FileMeta, lo, hi []byte) bool {
	return (lo == nil || string(meta.Hi) > string(lo)) && (hi == nil || string(meta.Lo) < string(hi))
}

// levelFiles shows the tables of a sorted level to iterate.Level.
type levelFiles struct {
	db     *DB
	tables []*table
	noFill bool // for compactions, which must not disturb the cache
}

func (f *levelFiles) Len() int        { return len(f.tables) }
func (f *levelFiles) Lo(i int) []byte { return f.tables[i].meta.Lo }
func (f *levelFiles) Hi(i int) []byte { return f.tables[i].meta.Hi }

func (f *levelFiles) Open(i int) (base.Iterator, error) {
	r, err := f.db.openTable(f.tables[i])
	if err != nil {
		return nil, err
	}
	return r.NewIter(sstable.IterOptions{NoFill: f.noFill}), nil
}

// usable reports whether the iterator can be positioned, and notes why not.
func (it *Iterator) usable() bool {
	if it.core == nil {
		it.err = base.ErrInvalidHandle
		return false
	}
	if it.db.closed.Load() {
		it.err = base.ErrClosed
		return false
	}
	return true
}

// First moves to the first row; it returns false when there is none or on an
// error.
func (it *Iterator) First() bool { return it.usable() && it.core.visible.First() }

// Last moves to the last row.
func (it *Iterator) Last() bool { return it.usable() && it.core.visible.Last() }

// SeekGE moves to the first row whose internal key is at least key.
func (it *Iterator) SeekGE(key []byte) bool { return it.usable() && it.core.visible.SeekGE(key) }

// SeekLT moves to the last row whose internal key is less than key.
func (it *Iterator) SeekLT(key []byte) bool { return it.usable() && it.core.visible.SeekLT(key) }

// Next moves to the next row.
func (it *Iterator) Next() bool { return it.usable() && it.core.visible.Next() }

// Prev moves to the previous row.
func (it *Iterator) Prev() bool { return it.usable() && it.core.visible.Prev() }

// Valid reports whether the iterator stands on a row. A row that it stands on
// stays there when the database is closed, since the iterator holds it: a
// caller whose move landed on it gets its key and value, both or neither. It is
// the next move that fails.
func (it *Iterator) Valid() bool {
	if it.core == nil {
		it.err = base.ErrInvalidHandle
		return false
	}
	return it.err == nil && it.core.visible.Valid()
}

// Key returns the row's key without the keyspace prefix. It is valid until the
// next move; nil when the iterator stands on no row.
func (it *Iterator) Key() []byte {
	if !it.Valid() {
		return nil
	}
	return it.core.visible.Key()[it.prefix:]
}

// Value returns the row's value, valid until the next move.
func (it *Iterator) Value() []byte {
	if !it.Valid() {
		return nil
	}
	return it.core.visible.Value()
}

// Expiry returns when the row expires, 0 if never.
func (it *Iterator) Expiry() base.Instant {
	if !it.Valid() {
		return 0
	}
	return it.core.visible.Expiry()
}

// Err returns what stopped the iterator, nil if it merely reached an end.
func (it *Iterator) Err() error {
	if it.err != nil || it.core == nil {
		return it.err
	}
	return it.core.visible.Err()
}

// Close releases what the iterator holds. It returns the iterator's error; a
// second call returns base.ErrInvalidHandle.
func (it *Iterator) Close() error {
	if it.core == nil {
		return base.ErrInvalidHandle
	}
	err := it.Err()
	core := it.core
	it.core = nil
	if closeErr := core.free(it.db); err == nil {
		err = closeErr
	}
	it.db.handles.close(it.handle)
	it.db.saveMarkLater()
	return err
}
