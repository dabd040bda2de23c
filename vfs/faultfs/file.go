package faultfs

import (
	"cmp"
	"io"

	"github.com/lightningdb/lightning/vfs"
)

// file is a file of an FS; it has no state but the file below.
type file struct {
	fs    *FS
	under vfs.File
	name  string
}

func (h *file) ReadAt(p []byte, off int64) (int, error) {
	return h.transfer(vfs.OpRead, p, off, h.under.ReadAt, io.ErrUnexpectedEOF)
}

func (h *file) WriteAt(p []byte, off int64) (int, error) {
	return h.transfer(vfs.OpWrite, p, off, h.under.WriteAt, io.ErrShortWrite)
}

// transfer reads or writes, as the rules say.
func (h *file) transfer(kind vfs.OpKind, p []byte, off int64,
	do func([]byte, int64) (int, error), short error) (int, error) {
	op := vfs.Op{Kind: kind, Name: h.name, Offset: off, Length: int64(len(p))}
	r := h.fs.begin(op)
	if r == nil || r.Err == nil && !r.Short {
		return do(p, off)
	}
	n := 0
	if r.Short || r.Done {
		part := p
		if r.Short {
			part = p[:min(max(r.ShortBytes, 0), len(p))]
		}
		var err error
		if n, err = do(part, off); err != nil {
			return n, err
		}
	}
	failed := Rule{Err: cmp.Or(r.Err, short)}
	return n, failed.failure(op)
}

func (h *file) Size() (int64, error) { return get(h.fs, h.op(vfs.OpStat, 0), h.under.Size, nil) }

func (h *file) Truncate(size int64) error {
	return h.fs.run(h.op(vfs.OpTruncate, size),
		func() error { return h.under.Truncate(size) }, nil)
}

func (h *file) Preallocate(size int64) error {
	return h.fs.run(h.op(vfs.OpPreallocate, size),
		func() error { return h.under.Preallocate(size) }, nil)
}

func (h *file) Sync() error { return h.fs.run(h.op(vfs.OpSync, 0), h.under.Sync, h.failSync) }

func (h *file) SyncData() error {
	return h.fs.run(h.op(vfs.OpSyncData, 0), h.under.SyncData, h.failSync)
}

// StartWriteback is vfs.WritebackFile.StartWriteback. It comes to nothing where the file below
// has none.
func (h *file) StartWriteback(offset, length int64) error {
	op := vfs.Op{Kind: vfs.OpWriteback, Name: h.name, Offset: offset, Length: length}
	return h.fs.run(op, func() error {
		if under, ok := h.under.(vfs.WritebackFile); ok {
			return under.StartWriteback(offset, length)
		}
		return nil
	}, nil)
}

// failSync tells the file below, if it wants to know, that a sync failed.
func (h *file) failSync() {
	if failer, ok := h.under.(interface{ FailSync() }); ok {
		failer.FailSync()
	}
}

// Close closes the file below in any case, so that no fault leaks it.
func (h *file) Close() error {
	var err error
	closed := false
	failed := h.fs.run(h.op(vfs.OpClose, 0), func() error {
		closed = true
		return h.under.Close()
	}, nil)
	if !closed {
		err = h.under.Close()
	}
	return cmp.Or(failed, err)
}

func (h *file) op(kind vfs.OpKind, length int64) vfs.Op {
	return vfs.Op{Kind: kind, Name: h.name, Length: length}
}
