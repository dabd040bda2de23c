package store

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file is about the tables that hold values apart from their keys, the blob tables. A
// blob table is held by the tables that have values in it, and its file is deleted when the last
// of them goes, if the manifest names none of them any more.

// errNoValue says that a blob table lacks what a table has there.
var errNoValue = errors.New("value of a record of another table is not there")

// blobTables are the blob tables of all tables that anybody holds. Store.mu guards them.
type blobTables map[base.FileNum]*Table

// hold has a new table hold its blob tables. named says that the manifest names it.
func (b blobTables) hold(t *Table, named bool) {
	for _, use := range t.Meta.Blobs {
		blob := b[use.Num]
		if blob == nil {
			blob = &Table{Meta: use.Table, store: t.store}
			b[use.Num] = blob
		}
		blob.refs.Add(1)
		if named {
			blob.named++
		}
		t.blobs = append(t.blobs, blob)
	}
}

// unname notes that the manifest has given a table up.
func (b blobTables) unname(t *Table) {
	for _, blob := range t.blobs {
		blob.named--
	}
}

// release gives back what a table holds, and returns the blob tables that nobody holds any
// more.
func (b blobTables) release(t *Table) (unused []*Table) {
	for _, blob := range t.blobs {
		if blob.refs.Add(-1) == 0 {
			blob.obsolete.Store(blob.named == 0)
			delete(b, blob.Meta.Num)
			unused = append(unused, blob)
		}
	}
	return unused
}

// fresh returns the numbers of the blob tables of files that no table holds.
func (b blobTables) fresh(files []*manifest.FileMeta) (nums []base.FileNum) {
	for _, meta := range files {
		for _, use := range meta.Blobs {
			if b[use.Num] == nil && !slices.Contains(nums, use.Num) {
				nums = append(nums, use.Num)
			}
		}
	}
	return nums
}

// heldBlob returns a blob table that somebody holds.
func (s *Store) heldBlob(num base.FileNum) (*Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.blobs[num]; b != nil {
		return b, nil
	}
	return nil, &base.CorruptionError{File: TableName(num), Offset: -1, Kind: "blob table", Err: errUnlisted}
}

// blobConfig says what a write keeps apart.
func (s *Store) blobConfig(
	out Output, loader *blobLoader, newTable func(o sstable.WriterOptions) (base.FileNum, *sstable.Writer, error),
) *compact.Blobs {
	// They are written once, when a flush waits for it, and settle where they are written.
	codec := func(key []byte) compress.Codec { return s.cfg.Keyspaces.Codec(key)(blobLevel, true).Codec }
	return &compact.Blobs{
		Apart:     apartRule(s.cfg.Keyspaces, out.Inline),
		FileBytes: max(s.cfg.BlobFileBytes, out.GrowToBytes), // a feed opens all of a commit
		Split:     func(prev, next []byte) bool { return differs(prev, next) && codec(prev) != codec(next) },
		NewWriter: func(firstKey []byte) (base.FileNum, *sstable.Writer, error) {
			return newTable(sstable.WriterOptions{Compression: codec(firstKey)}) // without a filter: who looks there knows that it is
		},
		Left: out.LeftBlobs,
		Find: func(num base.FileNum) (*manifest.FileMeta, error) {
			b, err := s.heldBlob(num)
			if err != nil {
				return nil, err
			}
			return b.Meta, nil
		},
		Load: loader.load,
	}
}

// apartRule returns the rule for which values are kept apart, none if they are to be inline: those
// of some length, which is that of their keys at least. It asks once for the neighbours of one
// keyspace.
func apartRule(keyspaces *keyspace.Registry, inline bool) func(key []byte, storedBytes int) bool {
	if inline {
		return func([]byte, int) bool { return false }
	}
	asked, last, from := false, uint64(0), 0
	return func(key []byte, storedBytes int) bool {
		if id, _ := keyspace.SplitPrefix(key); !asked || id != last {
			asked, last, from = true, id, keyspaces.BlobBytes(key)
		}
		return from > 0 && storedBytes >= max(from, len(key))
	}
}

// blobLevel is the level whose codec blob tables have: they are written once.
const blobLevel = 1

// differs reports whether two keys are of different keyspaces.
func differs(a, b []byte) bool {
	idA, _ := keyspace.SplitPrefix(a)
	idB, _ := keyspace.SplitPrefix(b)
	return idA != idB
}

// blobLoader reads values for a merge, past the cache. It belongs to one goroutine.
type blobLoader struct {
	store *Store
	walks blobWalks
}

func (l *blobLoader) load(key []byte, ref base.BlobRef) ([]byte, error) {
	value, err := l.walks.load(key, ref, func(num base.FileNum) (*sstable.Reader, error) {
		b, err := l.store.heldBlob(num)
		if err != nil {
			return nil, err
		}
		return b.Reader()
	}, sstable.IterOptions{NoFill: true, BulkBytes: blobBulkBytes})
	var damage *base.CorruptionError
	if errors.As(err, &damage) { // what cannot be read is of this key, wherever the file is damaged
		at := *damage
		at.Lo, at.Hi = bytes.Clone(key), append(bytes.Clone(key), 0)
		err = &at
	}
	return value, err
}

func (l *blobLoader) close() { l.walks.close() }

// blobWalks has iterators over the blob tables that were asked for last. Who asks in the order
// of keys often finds the next value where the last one was. Each holds a block, so they are few,
// and one that holds a large one stays no longer than it is the last.
type blobWalks struct {
	open  map[base.FileNum]*sstable.Iter
	large base.FileNum // whose iterator holds a large value; 0: none does
}

const (
	// blobBulkBytes is what a walk past the cache reads at once: the next value may be
	// elsewhere.
	blobBulkBytes      = 64 << 10
	blobWalksMax       = 8
	blobWalkLargeBytes = 64 << 10
)

// over returns an iterator over a blob table for a value of some size.
func (w *blobWalks) over(ref base.BlobRef, open func(base.FileNum) (*sstable.Reader, error), o sstable.IterOptions) (*sstable.Iter, error) {
	if w.large != 0 && w.large != ref.File {
		w.close()
	}
	if ref.StoredBytes >= blobWalkLargeBytes {
		w.large = ref.File
	}
	if it := w.open[ref.File]; it != nil {
		return it, nil
	}
	if len(w.open) >= blobWalksMax {
		for num, it := range w.open { // any
			_ = it.Close() // as in close
			delete(w.open, num)
			break
		}
	}
	r, err := open(ref.File)
	if err != nil {
		return nil, err
	}
	if w.open == nil {
		w.open = map[base.FileNum]*sstable.Iter{}
	}
	it := r.NewIter(o)
	w.open[ref.File] = it
	return it, nil
}

// load returns the stored value that a reference is to, valid until the next call.
func (w *blobWalks) load(
	key []byte, ref base.BlobRef, open func(base.FileNum) (*sstable.Reader, error), o sstable.IterOptions,
) ([]byte, error) {
	it, err := w.over(ref, open, o)
	if err != nil {
		return nil, err
	}
	rec := it.SeekGE(key)
	for rec != nil && rec.Trailer.Seq() > ref.Seq && bytes.Equal(rec.Key, key) {
		rec = it.Next()
	}
	if rec == nil {
		if err := it.Err(); err != nil {
			return nil, err
		}
		return nil, noValue(key, ref)
	}
	if !bytes.Equal(rec.Key, key) || rec.Trailer != base.MakeTrailer(ref.Seq, ref.Kind()) {
		return nil, noValue(key, ref)
	}
	return rec.Value, nil
}

func (w *blobWalks) close() {
	for _, it := range w.open {
		_ = it.Close() // reads alone: nothing is lost
	}
	clear(w.open)
	w.large = 0
}

func noValue(key []byte, ref base.BlobRef) error {
	return &base.CorruptionError{
		File: TableName(ref.File), Offset: -1, Kind: "blob table",
		Lo: bytes.Clone(key), Hi: append(bytes.Clone(key), 0), Err: errNoValue,
	}
}

// value returns the record whose place a blob reference takes, with the sequence number of
// that one. The caller is in an epoch guard as long as it uses the value.
func (t *Table) value(l *Lookup, tr base.Trailer, stored []byte) (base.Trailer, []byte, bool, error) {
	ref, err := base.DecodeBlobRef(stored)
	if err != nil {
		return 0, nil, false, t.blame(err)
	}
	r, err := t.openBlob(ref.File)
	if err != nil {
		return 0, nil, false, err
	}
	at, value, found, err := r.Get(l.Key, l.Hash, ref.Seq)
	if err != nil {
		return 0, nil, false, err
	}
	if !found || at != base.MakeTrailer(ref.Seq, ref.Kind()) {
		return 0, nil, false, noValue(l.Key, ref)
	}
	return base.MakeTrailer(tr.Seq(), at.Kind()), value, true, nil
}

// openBlob returns the reader of a blob table of t.
func (t *Table) openBlob(num base.FileNum) (*sstable.Reader, error) {
	i, found := slices.BinarySearchFunc(t.blobs, num, func(b *Table, num base.FileNum) int {
		return cmp.Compare(b.Meta.Num, num)
	})
	if !found {
		return nil, t.blame(errUnlisted)
	}
	return t.blobs[i].Reader()
}

var errUnlisted = errors.New("record has its value in a blob table that the manifest does not say")

// blame says that what was found in the table makes no sense.
func (t *Table) blame(err error) error {
	return &base.CorruptionError{
		File: TableName(t.Meta.Num), Offset: -1, Kind: "table",
		Lo: bytes.Clone(t.Meta.Lo), Hi: bytes.Clone(t.Meta.Hi), Err: err,
	}
}

// NewIter returns an iterator over the table, with the values of its records wherever they
// are. Where values may come late, those that are elsewhere do.
func (t *Table) NewIter(o sstable.IterOptions) (base.Iterator, error) {
	r, err := t.Reader()
	if err != nil {
		return nil, err
	}
	if len(t.blobs) == 0 {
		return r.NewIter(o), nil
	}
	return newBlobIter(r.NewIter(o), t.openBlob, o), nil
}

// blobIter puts values that are elsewhere into the records of a table.
type blobIter struct {
	inner *sstable.Iter
	open  func(base.FileNum) (*sstable.Reader, error)
	o     sstable.IterOptions
	walks blobWalks
	rec   base.Record
	ref   base.BlobRef
	late  bool // the value of rec was left out
	err   error
}

func newBlobIter(inner *sstable.Iter, open func(base.FileNum) (*sstable.Reader, error), o sstable.IterOptions) *blobIter {
	return &blobIter{inner: inner, open: open, o: o}
}

// show returns a record with its value, or without one that may come later.
func (it *blobIter) show(rec *base.Record) *base.Record {
	it.late, it.err = false, nil
	if rec == nil || rec.Trailer.Kind() != base.KindBlob {
		return rec
	}
	if it.ref, it.err = base.DecodeBlobRef(rec.Value); it.err != nil {
		return nil
	}
	it.rec = base.Record{Key: rec.Key, Trailer: base.MakeTrailer(rec.Trailer.Seq(), it.ref.Kind())}
	if it.o.Late && it.ref.Expiry == 0 && it.ref.StoredBytes > 0 {
		it.late = true
		return &it.rec
	}
	if it.load() != nil {
		return nil
	}
	return &it.rec
}

func (it *blobIter) load() error {
	it.rec.Value, it.err = it.walks.load(it.rec.Key, it.ref, it.open, it.whole())
	return it.err
}

// whole are the options of the iterators over blob tables: what they are asked for is needed.
func (it *blobIter) whole() sstable.IterOptions {
	o := it.o
	o.Late, o.BulkBytes = false, blobBulkBytes
	return o
}

// Load implements iterate.Loader.
func (it *blobIter) Load() error {
	if it.late {
		it.late = false
		return it.load()
	}
	return it.inner.Load()
}

// Unloaded implements iterate.Loader.
func (it *blobIter) Unloaded() bool { return it.late || it.inner.Unloaded() }

func (it *blobIter) First() *base.Record            { return it.show(it.inner.First()) }
func (it *blobIter) Last() *base.Record             { return it.show(it.inner.Last()) }
func (it *blobIter) SeekGE(key []byte) *base.Record { return it.show(it.inner.SeekGE(key)) }
func (it *blobIter) SeekLT(key []byte) *base.Record { return it.show(it.inner.SeekLT(key)) }

// Next implements base.Iterator. After an error there is no next record.
func (it *blobIter) Next() *base.Record {
	if it.err != nil {
		return nil
	}
	return it.show(it.inner.Next())
}

// Prev implements base.Iterator, as Next does.
func (it *blobIter) Prev() *base.Record {
	if it.err != nil {
		return nil
	}
	return it.show(it.inner.Prev())
}

// Err implements base.Iterator.
func (it *blobIter) Err() error {
	if it.err != nil {
		return it.err
	}
	return it.inner.Err()
}

// Close implements base.Iterator.
func (it *blobIter) Close() error {
	it.walks.close()
	return it.inner.Close()
}

// Apart is a table that is open for one pass over it, and for its holder alone.
type Apart struct {
	*sstable.Reader
	table *Table
	blobs map[base.FileNum]*sstable.Reader
}

// OpenApart opens the file once more, for one pass over it, and those of its blob tables. The
// readers are the caller's, leave the cache alone, and read on when the files are deleted, where the
// system allows that, or the database is closed: they are none of the files that are
// closed for others.
func (t *Table) OpenApart() (*Apart, error) {
	a := &Apart{table: t, blobs: map[base.FileNum]*sstable.Reader{}}
	var err error
	if a.Reader, err = t.openApart(); err != nil {
		return nil, err
	}
	for _, b := range t.blobs {
		r, err := b.openApart()
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		a.blobs[b.Meta.Num] = r
	}
	return a, nil
}

func (t *Table) openApart() (*sstable.Reader, error) {
	f, err := t.store.cfg.FS.Open(t.store.path(t.Meta))
	return t.store.openReader(t.Meta, f, err, nil)
}

// NewIter is Table.NewIter.
func (a *Apart) NewIter(o sstable.IterOptions) base.Iterator {
	if len(a.blobs) == 0 {
		return a.Reader.NewIter(o)
	}
	return newBlobIter(a.Reader.NewIter(o), func(num base.FileNum) (*sstable.Reader, error) {
		if r := a.blobs[num]; r != nil {
			return r, nil
		}
		return nil, a.table.blame(errUnlisted)
	}, o)
}

// Close closes all files.
func (a *Apart) Close() error {
	errs := []error{a.Reader.Close()}
	for _, r := range a.blobs {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
