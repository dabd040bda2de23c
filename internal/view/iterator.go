package view

import (
	"bytes"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/deadrange"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/inuse"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/memtable"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
)

// Iterator walks the visible rows of a range at one moment. Flushes and
// compactions do not disturb it: it holds a reference on its read state, and moves on to
// the current one when memory of its own was flushed: see park.go. It is
// used by one goroutine at a time. When the database is closed, its next move
// fails and Err returns base.ErrClosed.
type Iterator struct {
	reader *Reader
	core   *iteratorCore // nil once closed
	handle handle        // with what it sees
	err    error

	stale   atomic.Bool // the state is old; set under mu, or where it has expired
	expired atomic.Bool // it was open for too long
	// mu is held by whoever changes what the iterator holds, but for its moves: one who
	// opens it anew or closes it, and the janitor, who does not wait for it.
	mu ranked.Mutex[ranked.Iterator]
}

// iteratorCore is the machinery of an iterator. It is pooled: everything in it
// is rebuilt for the next iterator, without allocating.
type iteratorCore struct {
	state   *State  // nil while it is parked
	rest    residue // of a parked one
	options IterOptions
	buf     []byte // for the key of a row that is sought again
	merging iterate.Merging
	visible iterate.UserIter
	sources []iterate.Source
	// memories are what the first of the sources are of; those of memtables are walked
	// with iters.
	memories []*Flushable
	iters    [reusedIters]memtable.Iter
	levels   [manifest.NumLevels]levelSource

	deletes      []rangedel.Source
	tableDeletes []store.RunDeletes

	epochs *epoch.Domain
	ahead  sstable.Prefetch
}

// reusedIters is for how many memtables a core has iterators: mostly there is one.
const reusedIters = 1

type levelSource struct {
	level iterate.Level
	files store.Run
}

var iteratorCores = sync.Pool{New: func() any { return &iteratorCore{} }}

// IterOptions are the internal bounds of an iterator, [Lower, Upper), and the
// length of the keyspace prefix that Key leaves out. The bounds are not copied.
type IterOptions struct {
	Lower, Upper []byte
	PrefixBytes  int
	// Word is entered by who moves or closes the iterator; nil: nobody says.
	Word *inuse.Word
	// KeysOnly leaves values out: those that are elsewhere are not read, and operands are not
	// applied. Value is nil.
	KeysOnly bool
	// Own says that the iterator serves the database itself, and does not count among
	// the handles of users.
	Own bool
}

// NewIterator returns an iterator over what is visible now.
func (r *Reader) NewIterator(o IterOptions) (*Iterator, error) {
	return r.newIterator(o, nil)
}

// NewIterator returns an iterator over what the snapshot sees.
func (s *Snapshot) NewIterator(o IterOptions) (*Iterator, error) {
	return s.reader.newIterator(o, s)
}

// newIterator returns an iterator over what snap sees or, without one, what is visible
// now.
func (r *Reader) newIterator(o IterOptions, snap *Snapshot) (*Iterator, error) {
	it := &Iterator{reader: r, core: iteratorCores.Get().(*iteratorCore)}
	it.core.options = o
	it.mu.Lock()
	walk := r.Dead.NewWalk(r.VisibleSeq())
	s, err := it.register(snap)
	if err == nil {
		err = it.open(s, walk)
	}
	it.mu.Unlock()
	if s == nil {
		return nil, err
	}
	if err == nil && snap != nil {
		err = snap.Usable() // after the state was loaded, as in Snapshot.state
	}
	if err != nil {
		_ = it.Close() // nothing was read
		return nil, err
	}
	return it, nil
}

// register opens the handle of an iterator, which shows what snap sees or, without one,
// what is visible now. A flush or compaction that has listed the read points before it
// is in the registry has seen older records alone. Close waits for the guard, so it sees
// the handle. The current read state is returned, with a reference.
func (it *Iterator) register(snap *Snapshot) (*State, error) {
	r := it.reader
	g := r.Epochs.Enter()
	defer g.Exit()
	if r.closed.Load() {
		return nil, base.ErrClosed
	}
	it.handle = handle{iterator: it, own: it.core.options.Own, since: r.cfg.Clock.Now()}
	if r.cfg.TrackHandles {
		it.handle.stack = debug.Stack()
	}
	for !r.handles.openAt(&it.handle, func() ReadPoint {
		if snap != nil {
			return snap.at
		}
		_, at := r.nowTimed()
		return at
	}) {
		r.joins.Lock() // until the operands that are being applied are visible
		r.joins.Unlock()
	}
	s := r.current.Load()
	s.refs.Add(1)
	return s, nil
}

// open has the iterator show a state, which was loaded after the walk was begun, holds
// all that the iterator sees, and whose reference it takes over. The caller has it.mu.
func (it *Iterator) open(s *State, walk deadrange.Walk) error {
	core, r := it.core, it.reader
	core.state, core.epochs = s, &r.Epochs
	if err := core.gather(core.options, it.handle.at.Seq); err != nil {
		return err
	}
	core.merging.Reset(core.sources)
	core.merging.Fetcher = core
	core.visible.Init(&core.merging, iterate.Options{
		Seq:          it.handle.at.Seq,
		Lower:        core.options.Lower,
		Upper:        core.options.Upper,
		RangeDeletes: core.deletes,
		At:           it.handle.at.Time,
		Expired:      r.cfg.Timeline,
		Operators:    core.state.operators,
		Late:         core.isLate(),
		KeysOnly:     core.options.KeysOnly,
		Dead:         r.Dead,
		Walk:         walk,
		Closed:       &r.closed,
	})
	return nil
}

// gather collects the sources that can hold keys of the range, newest first.
func (c *iteratorCore) gather(o IterOptions, seq base.SeqNum) error {
	c.state.flushables(func(m *Flushable) bool { c.addFlushable(m, o, seq); return true })
	tree := c.state.Tree
	c.tableDeletes = tree.AppendDeletes(c.tableDeletes[:0], o.Lower, o.Upper)
	for i := range c.tableDeletes {
		c.deletes = append(c.deletes, &c.tableDeletes[i])
	}
	err := tree.LevelZeroRuns(func(run []*store.Table) error {
		if len(run) == 1 {
			return c.addTable(run[0], o)
		}
		c.addRun(run, o)
		return nil
	})
	if err != nil {
		return err
	}
	for level := 1; level < manifest.NumLevels; level++ {
		if len(tree.Version.Overlapping(level, o.Lower, o.Upper)) == 0 {
			continue
		}
		l := &c.levels[level]
		l.files = store.Run{Tables: tree.Levels[level], Apart: o.KeysOnly, Read: sstable.IterOptions{Late: o.KeysOnly}}
		l.level.Reset(&l.files)
		c.sources = append(c.sources,
			iterate.Source{Iter: &l.level, MaxSeq: tree.MaxSeq[level]})
	}
	return nil
}

// Misses is iterate.Fetcher.Misses.
func (c *iteratorCore) Misses() uint64 { return c.state.Tree.CacheMisses() }

// Fetch is iterate.Fetcher.Fetch: the blocks of all tables are read side by side. What
// fails shows when they are needed.
func (c *iteratorCore) Fetch(key []byte) {
	for range 2 { // as for a MultiGet
		guard := c.epochs.Enter()
		err := c.state.Tree.PrefetchSeek(&c.ahead, key, c.options.Lower, c.options.Upper)
		guard.Exit() // not while the disk is at work
		if partitions := c.ahead.Run(); err != nil || !partitions {
			return
		}
	}
}

// lateFromRuns is the number of runs in level 0 above which each does not have its next
// value in memory, if that is large, but only the one whose row is shown.
const lateFromRuns = 4

func (c *iteratorCore) isLate() bool { return c.state.Tree.Runs > lateFromRuns }

// addTable adds a file of level 0.
func (c *iteratorCore) addTable(tab *store.Table, o IterOptions) error {
	if !tab.Overlaps(o.Lower, o.Upper) {
		return nil
	}
	run := store.Run{Tables: []*store.Table{tab}, Apart: o.KeysOnly, Read: sstable.IterOptions{Late: c.isLate() || o.KeysOnly}}
	it, err := run.Open(0)
	if err != nil {
		return err
	}
	c.sources = append(c.sources, iterate.Source{Iter: it, MaxSeq: tab.Meta.LargestSeq})
	return nil
}

// addRun adds the files of one commit past the log, which overlap nowhere.
func (c *iteratorCore) addRun(tables []*store.Table, o IterOptions) {
	var run []*store.Table
	newest := base.SeqNum(0)
	for _, tab := range tables {
		if tab.Overlaps(o.Lower, o.Upper) {
			run = append(run, tab)
			newest = max(newest, tab.Meta.LargestSeq)
		}
	}
	if len(run) == 0 {
		return
	}
	slices.SortFunc(run, func(a, b *store.Table) int { return bytes.Compare(a.Meta.Lo, b.Meta.Lo) })
	level := iterate.NewLevel(&store.Run{Tables: run, Apart: o.KeysOnly, Read: sstable.IterOptions{Late: o.KeysOnly}})
	c.sources = append(c.sources, iterate.Source{Iter: level, MaxSeq: newest})
}

func (c *iteratorCore) addFlushable(m *Flushable, o IterOptions, seq base.SeqNum) {
	if m.deletesWithin(o.Lower, o.Upper, seq) {
		c.deletes = append(c.deletes, m)
	}
	if !m.hasRecords() {
		// A record added later is newer than what this iterator sees.
		return
	}
	var it base.Iterator
	if n := len(c.memories); m.Table != nil && n < len(c.iters) {
		c.iters[n].Reset(m.Table)
		it = &c.iters[n]
	} else {
		it = m.NewIter()
	}
	c.sources = append(c.sources, iterate.Source{Iter: it, MaxSeq: base.SeqNumMax})
	c.memories = append(c.memories, m)
}

// free gives back what the core holds and pools it.
func (c *iteratorCore) free(r *Reader) error {
	err := c.unpark(r)
	c.visible.Forget()
	c.options = IterOptions{}
	iteratorCores.Put(c)
	return err
}

// Sources returns how many sorted sources the iterator merges.
func (it *Iterator) Sources() int { return len(it.core.sources) }

// At is what the iterator sees.
func (it *Iterator) At() ReadPoint { return it.handle.at }

// usable reports whether the iterator can be positioned, and notes why not.
func (it *Iterator) usable() bool {
	if it.core == nil {
		it.err = base.ErrInvalidHandle
		return false
	}
	if it.reader.closed.Load() {
		it.err = base.ErrClosed
		return false
	}
	return true
}

// fresh has the iterator show the current state, if its own is old: from the row on
// which it stands, if it is to stay there.
func (it *Iterator) fresh(stay bool) bool { return !it.stale.Load() || it.moveOn(stay) }

// First moves to the first row; it returns false when there is none or on an
// error.
func (it *Iterator) First() bool { return it.usable() && it.fresh(false) && it.core.visible.First() }

// Last moves to the last row.
func (it *Iterator) Last() bool { return it.usable() && it.fresh(false) && it.core.visible.Last() }

// SeekGE moves to the first row whose internal key is at least key.
func (it *Iterator) SeekGE(key []byte) bool {
	return it.usable() && it.fresh(false) && it.core.visible.SeekGE(key)
}

// SeekLT moves to the last row whose internal key is less than key.
func (it *Iterator) SeekLT(key []byte) bool {
	return it.usable() && it.fresh(false) && it.core.visible.SeekLT(key)
}

// Next moves to the next row.
func (it *Iterator) Next() bool { return it.usable() && it.fresh(true) && it.core.visible.Next() }

// Prev moves to the previous row.
func (it *Iterator) Prev() bool { return it.usable() && it.fresh(true) && it.core.visible.Prev() }

// Pass passes all rows to yield, or those that come before it returns false: upwards, or
// downwards if backward is true. What is said of Key and Value holds for what it passes. The
// iterator moves on to the current state, and sees that the database was closed, some rows
// later than one that is moved would. The iterator has no word.
func (it *Iterator) Pass(backward bool, yield func(key, value []byte) bool) {
	first, next := it.First, it.Next
	if backward {
		first, next = it.Last, it.Prev
	}
	plain := yield
	if it.core != nil && it.core.options.KeysOnly {
		plain = func(key, _ []byte) bool { return yield(key, nil) }
	}
	for ok := first(); ok; ok = next() {
		core := it.core
		if !yield(it.Key(), it.Value()) || !core.visible.PassPlain(core.options.PrefixBytes, plain) {
			return
		}
	}
}

// Valid reports whether the iterator stands on a row. A row that it stands on
// stays there when the database is closed, since the iterator holds it: a
// caller whose move landed on it gets its key and value, both or neither. It is
// the next move that fails.
//
// Valid, Key, Value and Expiry may be called while another goroutine moves or closes
// the iterator, if what they return is thrown away then: they look at each thing
// once.
func (it *Iterator) Valid() bool {
	core := it.core
	return core != nil && it.err == nil && core.visible.Valid()
}

// Key returns the row's key without the keyspace prefix. It is valid until the
// next move; nil when the iterator stands on no row.
func (it *Iterator) Key() []byte {
	core := it.core
	if core == nil || it.err != nil {
		return nil
	}
	return base.CutPrefix(core.visible.Key(), core.options.PrefixBytes)
}

// Value returns the row's value, valid until the next move.
func (it *Iterator) Value() []byte {
	core := it.core
	if core == nil || it.err != nil {
		return nil
	}
	return core.visible.Value()
}

// Expiry returns when the row expires, 0 if never.
func (it *Iterator) Expiry() base.Instant {
	core := it.core
	if core == nil || it.err != nil {
		return 0
	}
	return core.visible.Expiry()
}

// Err returns what stopped the iterator, nil if it merely reached an end.
func (it *Iterator) Err() error {
	switch {
	case it.err != nil:
		return it.err
	case it.core == nil:
		return base.ErrInvalidHandle
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
	it.mu.Lock()
	core := it.core
	it.core = nil
	if closeErr := core.free(it.reader); err == nil {
		err = closeErr
	}
	it.mu.Unlock()
	if it.reader.handles.close(&it.handle) {
		it.reader.cfg.SnapshotClosed()
	}
	it.reader.cfg.Timeline.SaveLater()
	return err
}
