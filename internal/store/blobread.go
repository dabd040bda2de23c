package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file reads values that are apart from their keys: for gets through the cache, for
// iterators by walks beside that over the keys, and for merges by walks past the cache.

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
	var value []byte
	switch {
	case ref.PieceBytes == 0:
		value, err = blobRecord(r, l, ref)
	case l.Part != nil:
		value, err = l.Part.load(r, l, ref)
	default:
		value, err = joinPieces(t.store, r, l, ref)
	}
	if err != nil {
		return 0, nil, false, err
	}
	return base.MakeTrailer(tr.Seq(), ref.Kind()), value, true, nil
}

// blobRecord returns the stored value of the record that a reference is to. The caller is as for
// Table.value.
func blobRecord(r *sstable.Reader, l *Lookup, ref base.BlobRef) ([]byte, error) {
	at, value, found, err := r.Get(l.Key, l.Hash, ref.Seq)
	if err == nil && !(found && isBlob(ref, at, value)) {
		err = noValue(l.Key, ref)
	}
	return value, err
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
	return newBlobIter(t.store, r.NewIter(o), t.openBlob, o), nil
}

// blobIter puts values that are elsewhere into the records of a table.
type blobIter struct {
	inner *sstable.Iter
	late  bool // values may come late
	walks blobWalks
	rec   base.Record
	ref   base.BlobRef
	out   bool // the value of rec was left out
	err   error
}

func newBlobIter(s *Store, inner *sstable.Iter, open func(base.FileNum) (*sstable.Reader, error), o sstable.IterOptions) *blobIter {
	late := o.Late
	o.Late, o.BulkBytes = false, blobBulkBytes // what the blob tables are asked for is needed
	return &blobIter{inner: inner, late: late, walks: blobWalks{store: s, open: open, o: o}}
}

// show returns a record with its value, or without one that may come later.
func (it *blobIter) show(rec *base.Record) *base.Record {
	it.out, it.err = false, nil
	it.walks.whole.free()
	if rec == nil || rec.Trailer.Kind() != base.KindBlob {
		return rec
	}
	if it.ref, it.err = base.DecodeBlobRef(rec.Value); it.err != nil {
		return nil
	}
	it.rec = base.Record{Key: rec.Key, Trailer: base.MakeTrailer(rec.Trailer.Seq(), it.ref.Kind())}
	if it.late && it.ref.Expiry == 0 && it.ref.StoredBytes > 0 {
		it.out = true
		return &it.rec
	}
	if it.load() != nil {
		return nil
	}
	return &it.rec
}

func (it *blobIter) load() error {
	it.rec.Value, it.err = it.walks.load(it.rec.Key, it.ref)
	return it.err
}

// Load implements iterate.Loader.
func (it *blobIter) Load() error {
	if it.out {
		it.out = false
		return it.load()
	}
	return it.inner.Load()
}

// Unloaded implements iterate.Loader.
func (it *blobIter) Unloaded() bool { return it.out || it.inner.Unloaded() }

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

// Meta is what the manifest says of the table.
func (a *Apart) Meta() *manifest.FileMeta { return a.table.Meta }

func (t *Table) openApart() (*sstable.Reader, error) {
	f, err := t.store.cfg.FS.Open(t.store.path(t.Meta))
	return t.store.openReader(t.Meta, f, err, nil)
}

// NewIter is Table.NewIter.
func (a *Apart) NewIter(o sstable.IterOptions) base.Iterator {
	if len(a.blobs) == 0 {
		return a.Reader.NewIter(o)
	}
	return newBlobIter(a.table.store, a.Reader.NewIter(o), func(num base.FileNum) (*sstable.Reader, error) {
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

// blobLoader reads values for a merge, past the cache. It belongs to one goroutine.
type blobLoader struct {
	ctx   context.Context // of the merge
	store *Store
	walks blobWalks
}

func newBlobLoader(ctx context.Context, s *Store) *blobLoader {
	open := func(num base.FileNum) (*sstable.Reader, error) {
		b, err := s.heldBlob(num)
		if err != nil {
			return nil, err
		}
		return b.Reader()
	}
	return &blobLoader{ctx: ctx, store: s, walks: blobWalks{store: s, open: open, o: sstable.IterOptions{NoFill: true, BulkBytes: blobBulkBytes}}}
}

func (l *blobLoader) load(key []byte, ref base.BlobRef) ([]byte, error) {
	value, err := l.walks.load(key, ref)
	return value, blameKey(err, key)
}

func (l *blobLoader) pieces(key []byte, ref base.BlobRef, fn func(piece []byte) error) error {
	err := l.walks.pieces(key, ref, func(piece []byte) error {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		return fn(piece)
	})
	return blameKey(err, key)
}

// blameKey has damage say that it is of a key alone.
func blameKey(err error, key []byte) error {
	var damage *base.CorruptionError
	if errors.As(err, &damage) { // what cannot be read is of this key, wherever the file is damaged
		at := *damage
		at.Lo, at.Hi = bytes.Clone(key), append(bytes.Clone(key), 0)
		return &at
	}
	return err
}

func (l *blobLoader) close() { l.walks.close() }

// blobWalks has iterators over the blob tables that were asked for last. Who asks in the order
// of keys often finds the next value where the last one was. Each holds a block, so they are few,
// and one that holds a large one stays no longer than it is the last.
type blobWalks struct {
	store *Store
	open  func(base.FileNum) (*sstable.Reader, error)
	o     sstable.IterOptions
	iters map[base.FileNum]*sstable.Iter
	large base.FileNum // whose iterator holds a large value; 0: none does
	whole large        // a value that is in pieces
}

const (
	// blobBulkBytes is what a walk past the cache reads at once: the next value may be
	// elsewhere.
	blobBulkBytes      = 64 << 10
	blobWalksMax       = 8
	blobWalkLargeBytes = 64 << 10
)

// over returns an iterator over a blob table for a value of some size.
func (w *blobWalks) over(ref base.BlobRef) (*sstable.Iter, error) {
	if w.large != 0 && w.large != ref.File {
		w.leave()
	}
	if ref.StoredBytes >= blobWalkLargeBytes {
		w.large = ref.File
	}
	if it := w.iters[ref.File]; it != nil {
		return it, nil
	}
	if len(w.iters) >= blobWalksMax {
		for num, it := range w.iters { // any
			_ = it.Close() // as in leave
			delete(w.iters, num)
			break
		}
	}
	r, err := w.open(ref.File)
	if err != nil {
		return nil, err
	}
	if w.iters == nil {
		w.iters = map[base.FileNum]*sstable.Iter{}
	}
	it := r.NewIter(w.o)
	w.iters[ref.File] = it
	return it, nil
}

// load returns the stored value that a reference is to, valid until the next call.
func (w *blobWalks) load(key []byte, ref base.BlobRef) ([]byte, error) {
	if ref.PieceBytes == 0 {
		_, rec, err := w.first(key, ref)
		if err != nil {
			return nil, err
		}
		return rec.Value, nil
	}
	w.whole.free()
	var err error
	w.whole, err = w.join(key, ref)
	return w.whole.bytes, err
}

// join returns a value that is in pieces as a whole, which belongs to the caller, with an error too.
func (w *blobWalks) join(key []byte, ref base.BlobRef) (large, error) {
	whole := newLarge(w.store, int(ref.StoredBytes))
	at := whole.bytes
	err := w.pieces(key, ref, func(piece []byte) error {
		at = at[copy(at, piece):]
		return nil
	})
	return whole, err
}

// first returns an iterator that stands at the record which a reference is to, or at its first.
func (w *blobWalks) first(key []byte, ref base.BlobRef) (*sstable.Iter, *base.Record, error) {
	it, err := w.over(ref)
	if err != nil {
		return nil, nil, err
	}
	rec := it.SeekGE(key)
	for rec != nil && rec.Trailer.Seq() > ref.Seq && bytes.Equal(rec.Key, key) {
		rec = it.Next()
	}
	if ref.PieceBytes == 0 {
		return it, rec, checkBlob(it, rec, key, ref)
	}
	return it, rec, checkBlob(it, rec, key, ref.Piece(0))
}

// pieces calls fn with the pieces of a value, each of which is valid during the call.
func (w *blobWalks) pieces(key []byte, ref base.BlobRef, fn func(piece []byte) error) error {
	it, rec, err := w.first(key, ref)
	for i := 0; ; i++ {
		if err == nil {
			err = fn(rec.Value)
		}
		if err != nil || i+1 == ref.Pieces() {
			return err
		}
		rec = it.Next()
		err = checkBlob(it, rec, key, ref.Piece(i+1))
	}
}

// checkBlob says what is wrong with the record at which an iterator stands, if it is not the one
// that a reference is to.
func checkBlob(it *sstable.Iter, rec *base.Record, key []byte, ref base.BlobRef) error {
	if rec == nil {
		if err := it.Err(); err != nil {
			return err
		}
		return noValue(key, ref)
	}
	if !bytes.Equal(rec.Key, key) || !isBlob(ref, rec.Trailer, rec.Value) {
		return noValue(key, ref)
	}
	return nil
}

// isBlob reports whether a record of the key is the one that a reference is to.
func isBlob(ref base.BlobRef, trailer base.Trailer, value []byte) bool {
	return trailer == base.MakeTrailer(ref.Seq, ref.Kind()) && uint64(len(value)) == ref.StoredBytes
}

func (w *blobWalks) close() {
	w.leave()
	w.whole.free()
}

// leave closes the iterators.
func (w *blobWalks) leave() {
	for _, it := range w.iters {
		_ = it.Close() // reads alone: nothing is lost
	}
	clear(w.iters)
	w.large = 0
}

func noValue(key []byte, ref base.BlobRef) error {
	return &base.CorruptionError{
		File: TableName(ref.File), Offset: -1, Kind: "blob table",
		Lo: bytes.Clone(key), Hi: append(bytes.Clone(key), 0), Err: errNoValue,
	}
}
