package compact

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file keeps large values apart from their keys: they are written once, to blob tables,
// and what compactions rewrite from then on is where they are (after WiscKey, Lu and others,
// 2016). A blob table is a table as any other, in internal order, but in no level. Tables say
// how much they have in each; what nobody has any more is garbage. It goes when the table is
// left: whoever rewrites a record whose value is in such a table writes the value anew.

// Blobs says which values are kept apart, and where those are that were.
type Blobs struct {
	// Apart reports whether a stored value of so many bytes is kept apart.
	Apart func(key []byte, storedBytes int) bool
	// PieceBytes returns the length of the pieces in which a value that is kept apart is written;
	// 0: it is one.
	PieceBytes func(key []byte, storedBytes int) int
	// FileBytes is the size at which a blob table ends.
	FileBytes int64
	// Split reports whether a blob table must end between two keys.
	Split func(prev, next []byte) bool
	// NewWriter makes the next blob table.
	NewWriter func(firstKey []byte) (base.FileNum, *sstable.Writer, error)
	// Left are the blob tables whose values are written anew; nil: none.
	Left map[base.FileNum]bool
	// Find returns the description of a blob table that inputs use, and Load the stored value
	// of a record, valid until the next call. Pieces calls fn with the pieces of one after each
	// other, each of which is valid during the call.
	Find   func(num base.FileNum) (*manifest.FileMeta, error)
	Load   func(key []byte, ref base.BlobRef) (stored []byte, err error)
	Pieces func(key []byte, ref base.BlobRef, fn func(piece []byte) error) error
}

// blobRun is what a run has to do with blob tables.
type blobRun struct {
	writer    *sstable.Writer
	meta      *manifest.FileMeta                 // of the table that is written, filled in at its end
	uses      map[base.FileNum]*manifest.BlobUse // of the output file
	usedBytes uint64                             // of its values there
	last      []byte                             // key of the table that is written
	lastSeq   base.SeqNum                        // of its last record
	ref       []byte                             // scratch
}

// stored returns a record as it goes to the output file: with its value, or with where that is.
func (r *runner) stored(key []byte, trailer base.Trailer, value []byte) (base.Trailer, []byte, error) {
	b := r.cfg.Blobs
	if b == nil {
		return trailer, value, nil
	}
	kind, at := trailer.Kind(), base.BlobRef{}
	switch kind {
	case base.KindBlob:
		ref, err := base.DecodeBlobRef(value)
		if err != nil {
			return 0, nil, err
		}
		if !b.Left[ref.File] {
			return trailer, value, r.reuse(ref)
		}
		if ref.PieceBytes > 0 {
			return r.putPieces(key, trailer, ref, func(fn func(piece []byte) error) error { return b.Pieces(key, ref, fn) })
		}
		if value, err = b.Load(key, ref); err != nil {
			return 0, nil, err
		}
		at, kind = ref, ref.Kind()
	case base.KindSet:
	case base.KindSetExpiring:
		decoded, err := base.Decode(trailer, value)
		if err != nil {
			return 0, nil, err
		}
		at.Expiry = decoded.Expiry
	default:
		return trailer, value, nil
	}
	trailer = base.MakeTrailer(trailer.Seq(), kind)
	if !b.Apart(key, len(value)) {
		return trailer, value, nil
	}
	return r.putApart(key, trailer, value, at.Expiry)
}

// putApart writes a value to a blob table.
func (r *runner) putApart(key []byte, trailer base.Trailer, value []byte, expiry base.Instant) (base.Trailer, []byte, error) {
	ref := base.BlobRef{Seq: trailer.Seq(), StoredBytes: uint64(len(value)), Expiry: expiry}
	if n := r.cfg.Blobs.PieceBytes(key, len(value)); n > 0 && n < len(value) {
		ref.PieceBytes = uint64(n)
		return r.putPieces(key, trailer, ref, func(fn func(piece []byte) error) error {
			for piece := range slices.Chunk(value, n) {
				if err := fn(piece); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := r.beginBlob(key, ref.Seq); err != nil {
		return 0, nil, err
	}
	if err := r.blobs.add(key, trailer, value); err != nil {
		return 0, nil, err
	}
	return r.refer(trailer.Seq(), ref)
}

// putPieces writes a value, of which a reference says all but where it will be, to a blob table
// piece by piece.
func (r *runner) putPieces(
	key []byte, trailer base.Trailer, ref base.BlobRef, each func(fn func(piece []byte) error) error,
) (base.Trailer, []byte, error) {
	ref.Seq = base.FirstPieceSeq
	if err := r.beginBlob(key, ref.Seq); err != nil {
		return 0, nil, err
	}
	seq := ref.Seq
	err := each(func(piece []byte) error {
		seq--
		return r.blobs.add(key, base.MakeTrailer(seq+1, base.KindSet), piece)
	})
	if err != nil {
		return 0, nil, err
	}
	return r.refer(trailer.Seq(), ref)
}

// beginBlob makes sure that there is a blob table whose next record can be that of key and seq.
func (r *runner) beginBlob(key []byte, seq base.SeqNum) error {
	b := &r.blobs
	if b.writer != nil {
		full := b.writer.EstimatedBytes() >= r.cfg.Blobs.FileBytes || r.cfg.Blobs.Split(b.last, key)
		// Pieces have numbers of their own, which need not go down from one version to the next.
		if full || seq >= b.lastSeq && string(key) == string(b.last) {
			if err := r.closeBlobs(); err != nil {
				return err
			}
		}
	}
	if b.writer == nil {
		num, w, err := r.cfg.Blobs.NewWriter(key)
		if err != nil {
			return err
		}
		b.writer, b.meta = w, &manifest.FileMeta{Num: num}
	}
	b.last = append(b.last[:0], key...)
	return nil
}

// add writes a record to the blob table.
func (b *blobRun) add(key []byte, trailer base.Trailer, stored []byte) error {
	b.lastSeq = trailer.Seq()
	return b.writer.Add(key, trailer, stored)
}

// refer returns the record that has its value, which a reference describes, in the blob table.
func (r *runner) refer(seq base.SeqNum, ref base.BlobRef) (base.Trailer, []byte, error) {
	b := &r.blobs
	ref.File = b.meta.Num
	b.use(b.meta, ref)
	b.ref = base.AppendBlobRef(b.ref[:0], ref)
	return base.MakeTrailer(seq, base.KindBlob), b.ref, nil
}

// reuse notes that the output file has a value where it was.
func (r *runner) reuse(ref base.BlobRef) error {
	if known := r.blobs.uses[ref.File]; known != nil {
		r.blobs.use(known.Table, ref)
		return nil
	}
	table, err := r.cfg.Blobs.Find(ref.File)
	if err == nil {
		r.blobs.use(table, ref)
	}
	return err
}

// use notes that the output file has a value in a blob table.
func (b *blobRun) use(table *manifest.FileMeta, ref base.BlobRef) {
	u := b.uses[ref.File]
	if u == nil {
		if b.uses == nil {
			b.uses = map[base.FileNum]*manifest.BlobUse{}
		}
		u = &manifest.BlobUse{Num: ref.File, Table: table}
		b.uses[ref.File] = u
	}
	u.StoredBytes += ref.StoredBytes
	b.usedBytes += ref.StoredBytes
}

// blobWeight is what a value that is kept apart counts for in the size of its table: a job that
// rewrites the table may have to write a part of these anew.
const blobWeight = 1.0 / 16

// sizeBytes is what counts as the size of the output file.
func (r *runner) sizeBytes() int64 {
	return r.writer.EstimatedBytes() + int64(blobWeight*float64(r.blobs.usedBytes))
}

// take returns what the output file has in blob tables, and begins with the next one.
func (b *blobRun) take() []manifest.BlobUse {
	if len(b.uses) == 0 {
		return nil
	}
	uses := make([]manifest.BlobUse, 0, len(b.uses))
	for _, u := range b.uses {
		uses = append(uses, *u)
	}
	clear(b.uses)
	b.usedBytes = 0
	slices.SortFunc(uses, func(x, y manifest.BlobUse) int { return cmp.Compare(x.Num, y.Num) })
	return uses
}

// closeBlobs ends the blob table that is written, if there is one.
func (r *runner) closeBlobs() error {
	b := &r.blobs
	if b.writer == nil {
		return nil
	}
	props, err := b.writer.Finish(nil, nil)
	if err != nil {
		return fmt.Errorf("finish blob table %s: %w", b.meta.Num, err)
	}
	DescribeBlobs(b.meta, &props)
	r.stats.BytesOut += props.SizeBytes
	meta := b.meta
	b.writer, b.meta = nil, nil
	if r.cfg.Finished == nil {
		return nil
	}
	return r.cfg.Finished(meta)
}

// DescribeBlobs fills in what the properties of a blob table say.
func DescribeBlobs(m *manifest.FileMeta, p *sstable.Properties) {
	describe(m, p)
	m.RawBytes = p.RawValueBytes // as uses count them
}

// inline returns a record with its value, which is valid until the next one is loaded.
func inline(b *Blobs, rec *base.Record) (*base.Record, error) {
	if rec.Trailer.Kind() != base.KindBlob {
		return rec, nil
	}
	ref, err := base.DecodeBlobRef(rec.Value)
	if err != nil {
		return nil, err
	}
	value, err := b.Load(rec.Key, ref)
	if err != nil {
		return nil, err
	}
	return &base.Record{Key: rec.Key, Trailer: base.MakeTrailer(rec.Trailer.Seq(), ref.Kind()), Value: value}, nil
}
