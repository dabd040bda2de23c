package store

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file is about values so large that they lie in their blob table in pieces: they can be
// written, moved and read without being in memory as a whole. Who wants a whole one, as a get does,
// has the pieces joined in memory outside of Go's heap.

// Part is what somebody wants of a value: what lies from an offset on, as far as a piece goes.
type Part struct {
	// Offset is of a byte of the value, as the user has it. It may be behind the end.
	Offset int64
	// InPieces says that what was found is a part; else it is the whole stored value.
	InPieces  bool
	SizeBytes int64 // of the whole value
	Expiry    base.Instant
}

// load returns what lies from p.Offset on in the piece where that is, nothing behind the end. The
// caller is as for Table.value.
func (p *Part) load(r *sstable.Reader, l *Lookup, ref base.BlobRef) ([]byte, error) {
	p.InPieces, p.SizeBytes, p.Expiry = true, int64(ref.StoredBytes)-ref.HeadBytes(), ref.Expiry
	if p.Offset >= p.SizeBytes {
		return nil, nil
	}
	at := uint64(p.Offset + ref.HeadBytes())
	piece, err := blobRecord(r, l, ref.Piece(int(at/ref.PieceBytes)))
	if err != nil {
		return nil, err
	}
	return piece[at%ref.PieceBytes:], nil
}

// joinPieces returns the stored value of a reference to pieces, which is valid until the end of
// the epoch guard that the caller is in.
func joinPieces(s *Store, r *sstable.Reader, l *Lookup, ref base.BlobRef) ([]byte, error) {
	// A walk past the cache uses one buffer for all of them; the cache has better use for its room.
	walks := blobWalks{
		store: s, o: sstable.IterOptions{NoFill: true, BulkBytes: blobBulkBytes},
		open: func(base.FileNum) (*sstable.Reader, error) { return r, nil },
	}
	defer walks.close()
	whole, err := walks.join(l.Key, ref)
	defer whole.retire()
	return whole.bytes, err
}

// large is memory for one large value: outside of Go's heap, where there is some.
type large struct {
	bytes []byte
	block offheap.Block
	store *Store
}

func newLarge(s *Store, sizeBytes int) large {
	if s.cfg.Memory != nil && s.cfg.Cache != nil {
		if b, err := offheap.NewBlock(s.cfg.Memory, offheap.OwnerLarge, sizeBytes); err == nil {
			s.cfg.Cache.MakeWay() // before the block is used, and takes any memory
			return large{bytes: b.Bytes()[:sizeBytes], block: b, store: s}
		}
	}
	return large{bytes: make([]byte, sizeBytes)}
}

// free gives the memory back; the zero large has none.
func (l *large) free() {
	l.block.Free()
	*l = large{}
}

// retire is free for a caller inside an epoch guard, until whose end the memory stays.
func (l *large) retire() {
	if l.block.Bytes() != nil {
		l.store.cfg.Cache.Retire(l.block, l.store.cfg.Later)
	}
}

// Value is a value that comes in pieces.
type Value struct {
	Key        []byte
	Head       []byte // what is stored before it
	Expiry     base.Instant
	Begin      []byte // of the value
	Rest       io.Reader
	PieceBytes int
	// Spare is Output.Spare.
	Spare func() error
}

// Write writes the value to a blob table of its own, makes that durable, and reads it back. The
// table is held until its Release; no table refers to it yet. On an error there is none.
func (v *Value) Write(ctx context.Context, s *Store) (*Table, base.BlobRef, error) {
	if v.Spare != nil {
		if err := v.Spare(); err != nil {
			return nil, base.BlobRef{}, err
		}
	}
	meta := &manifest.FileMeta{Num: s.NewFileNum()}
	done := false
	defer func() {
		if !done { // also when the reader has panicked
			s.removeOutput(meta.Num)
		}
	}()
	ref, err := v.writeTable(ctx, s, meta)
	if err != nil {
		return nil, ref, err
	}
	done = true
	return newBlob(s, meta), ref, nil
}

// writeTable writes the blob table, makes it durable, and tells of it.
func (v *Value) writeTable(ctx context.Context, s *Store, meta *manifest.FileMeta) (ref base.BlobRef, err error) {
	finishing := finishing{store: s, ctx: ctx}
	defer func() {
		if endErr := finishing.end(); err == nil {
			err = endErr
		}
		if err == nil {
			err = finishing.syncDir()
		}
		if err == nil {
			finishing.announce()
		}
	}()
	if ref, err = v.writeFile(meta, &finishing); err != nil {
		return ref, err
	}
	return ref, finishing.begin(meta)
}

// writeFile writes the file of a blob table with the value.
func (v *Value) writeFile(meta *manifest.FileMeta, finishing *finishing) (base.BlobRef, error) {
	s := finishing.store
	w, err := s.begin(sstable.WriterOptions{FileNum: meta.Num, Compression: blobCodec(s.cfg.Keyspaces, v.Key)}, Output{}, finishing)
	if err != nil {
		return base.BlobRef{}, err
	}
	defer func() { _ = w.Abort() }() // which does nothing behind Finish
	stored, err := v.writePieces(finishing.ctx, w)
	if err != nil {
		return base.BlobRef{}, err
	}
	props, err := w.Finish(nil, nil)
	if err != nil {
		return base.BlobRef{}, fmt.Errorf("finish blob table %s: %w", meta.Num, err)
	}
	compact.DescribeBlobs(meta, &props)
	return base.BlobRef{
		File: meta.Num, Seq: base.FirstPieceSeq, StoredBytes: stored, Expiry: v.Expiry, PieceBytes: uint64(v.PieceBytes),
	}, nil
}

// writePieces writes the value to a table, and returns the length of what is stored.
func (v *Value) writePieces(ctx context.Context, w *sstable.Writer) (stored uint64, err error) {
	input := io.MultiReader(bytes.NewReader(v.Head), bytes.NewReader(v.Begin), v.Rest)
	piece := make([]byte, v.PieceBytes)
	for seq := base.FirstPieceSeq; ; seq-- {
		n, end, err := fill(ctx, piece, input)
		switch stored += uint64(n); {
		case err != nil:
			return 0, fmt.Errorf("read the value: %w", err)
		case stored > uint64(base.MaxValueBytes+len(v.Head)):
			return 0, fmt.Errorf("%w: the limit is %d bytes", base.ErrValueTooLarge, base.MaxValueBytes)
		case n == 0:
			return stored, nil
		}
		if err := w.Add(v.Key, base.MakeTrailer(seq, base.KindSet), piece[:n]); err != nil || end {
			return stored, err
		}
	}
}

// fill reads until p is full, or to the end. io.ReadFull would take a reader that says
// io.ErrUnexpectedEOF, as that of a connection which was cut, for one that has ended.
func fill(ctx context.Context, p []byte, r io.Reader) (n int, end bool, err error) {
	for n < len(p) {
		if ctx.Err() != nil {
			return n, false, context.Cause(ctx)
		}
		read, err := r.Read(p[n:])
		n += read
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// newBlob returns a new blob table, which the caller holds until Release.
func newBlob(s *Store, meta *manifest.FileMeta) *Table {
	b := &Table{Meta: meta, store: s}
	b.refs.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[meta.Num] = b
	return b
}

// Release gives a blob table back that Value.Write has returned.
func (b *Table) Release() {
	b.store.mu.Lock()
	unused := b.store.blobs.giveBack(b, nil)
	b.store.mu.Unlock()
	b.store.Dispose(unused)
}
