package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file proves tables from their files: all that sstable.Reader.Verify looks at, what the
// manifest says of them, and that the values are there which they have in blob tables.

// refFindingsMax is how many references of a table are reported; there may be millions to a
// blob table that is gone.
const refFindingsMax = 16

// Verify reads the files of a table, not those of its blob tables, past the cache and the open
// files, and returns all that is wrong.
func (t *Table) Verify(ctx context.Context) error {
	r, err := t.openApart()
	if err != nil {
		return err
	}
	sum, err := r.Verify(ctx)
	if err == nil {
		if finding := deviation(t.Meta, &sum); finding != nil {
			err = t.blame(finding)
		}
	}
	return errors.Join(err, r.LostParity(), r.Close())
}

// deviation says in what a table is not what the manifest says.
func deviation(meta *manifest.FileMeta, sum *sstable.Summary) error {
	switch {
	case sum.Count != meta.Count || sum.EntryChecksum != meta.EntryChecksum:
		return fmt.Errorf("%d records of sum %#x, the manifest says %d of %#x", sum.Count, sum.EntryChecksum, meta.Count, meta.EntryChecksum)
	case sum.Deletes != meta.Deletes || sum.RangeDeletes != meta.RangeDeletes:
		return fmt.Errorf("%d deletes and %d range deletes, the manifest says %d and %d", sum.Deletes, sum.RangeDeletes, meta.Deletes, meta.RangeDeletes)
	case !bytes.Equal(sum.DeletesLo, meta.DeletesLo) || !bytes.Equal(sum.DeletesHi, meta.DeletesHi):
		return errors.New("range deletes are elsewhere than the manifest says")
	case bytes.Compare(sum.Lo, meta.Lo) < 0 || bytes.Compare(sum.Hi, meta.Hi) > 0:
		return errors.New("records lie outside of the span that the manifest says")
	}
	return nil
}

// VerifyRefs reads the values that a table has in blob tables, and returns which of them are
// not there. The table itself is sound. What is wrong with a blob table that cannot be opened
// at all is for its own verification to say.
func (t *Table) VerifyRefs(ctx context.Context) (err error) {
	if len(t.blobs) == 0 {
		return nil
	}
	r, err := t.openApart()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	open := map[base.FileNum]*sstable.Reader{}
	for _, b := range t.blobs {
		r, err := b.openApart()
		if err == nil {
			defer r.Close()
		}
		open[b.Meta.Num] = r
	}
	walks := walksOver(t.store, open)
	defer walks.close()
	it := r.NewIter(sstable.IterOptions{NoFill: true})
	defer func() { err = errors.Join(err, it.Close()) }()
	var findings []error
	for rec := it.First(); rec != nil && len(findings) < refFindingsMax; rec = it.Next() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if rec.Trailer.Kind() != base.KindBlob {
			continue
		}
		if err := t.verifyRef(&walks, rec, open); err != nil {
			findings = append(findings, err)
		}
	}
	return errors.Join(append(findings, it.Err())...)
}

// walksOver returns walks over tables that are open.
func walksOver(s *Store, readers map[base.FileNum]*sstable.Reader) blobWalks {
	return blobWalks{
		store: s, o: sstable.IterOptions{NoFill: true, BulkBytes: blobBulkBytes},
		open: func(num base.FileNum) (*sstable.Reader, error) { return readers[num], nil },
	}
}

// verifyRef looks whether the value of a record is what its reference says.
func (t *Table) verifyRef(w *blobWalks, rec *base.Record, readers map[base.FileNum]*sstable.Reader) error {
	ref, err := base.DecodeBlobRef(rec.Value)
	if err != nil {
		return t.blame(err)
	}
	r, listed := readers[ref.File]
	switch {
	case !listed:
		return t.blame(errUnlisted)
	case r == nil:
		return nil
	}
	if err = w.pieces(rec.Key, ref, func([]byte) error { return nil }); err == nil {
		return nil
	}
	if it := w.iters[ref.File]; it != nil { // it does not go on after an error
		_ = it.Close()
		delete(w.iters, ref.File)
	}
	if !errors.Is(err, base.ErrCorrupted) {
		err = &base.CorruptionError{
			File: TableName(ref.File), Offset: -1, Kind: "blob table",
			Lo: bytes.Clone(rec.Key), Hi: append(bytes.Clone(rec.Key), 0), Err: err,
		}
	}
	return err
}
