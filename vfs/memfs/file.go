package memfs

import (
	"errors"
	"io"
	"io/fs"

	"github.com/lightningdb/lightning/vfs"
)

// file is an open handle. It stays with its node when the name is renamed or
// removed, and with its FS when that one is crashed into a copy.
type file struct {
	fs       *FS
	node     *node
	name     string
	writable bool
	closed   bool // under fs.mu
}

var (
	errReadOnly = errors.New("file is open for reading only")
	errTooLarge = errors.New("file too large")
)

func (h *file) begin(kind vfs.OpKind, off, length int64) error {
	return h.fs.begin(vfs.Op{Kind: kind, Name: h.name, Offset: off, Length: length})
}

// usable says why an operation cannot be done with this handle, if it cannot.
func (h *file) usable(kind vfs.OpKind, off, length int64) error {
	var err error
	switch {
	case h.closed:
		err = fs.ErrClosed
	case off < 0 || length < 0:
		err = fs.ErrInvalid
	case kind == vfs.OpRead:
	case !h.writable && kind&(vfs.OpWrite|vfs.OpTruncate|vfs.OpPreallocate) != 0:
		err = errReadOnly
	case off > maxFileBytes-length:
		err = errTooLarge
	}
	return wrap(kind, h.name, err)
}

func (h *file) ReadAt(p []byte, off int64) (int, error) {
	if err := h.begin(vfs.OpRead, off, int64(len(p))); err != nil {
		return 0, err
	}
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	if err := h.usable(vfs.OpRead, off, int64(len(p))); err != nil {
		return 0, err
	}
	n := h.node.live.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) WriteAt(p []byte, off int64) (int, error) {
	if err := h.begin(vfs.OpWrite, off, int64(len(p))); err != nil {
		return 0, err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.usable(vfs.OpWrite, off, int64(len(p))); err != nil || len(p) == 0 {
		return 0, err
	}
	n := h.fs.takePages(h.node, off, len(p))
	if n > 0 {
		h.node.write(p[:n], off)
	}
	if n < len(p) {
		return n, wrap(vfs.OpWrite, h.name, errNoSpace)
	}
	return n, nil
}

// takePages accounts for the pages that a write of length bytes at off needs
// and returns how many of the bytes fit.
func (f *FS) takePages(n *node, off int64, length int) int {
	end := off + int64(length)
	for pg := max(off/pageBytes, n.reservedPages); pg*pageBytes < end; pg++ {
		if n.live.page(pg) != nil {
			continue
		}
		if f.usedPages >= f.capacityPages {
			return int(max(pg*pageBytes-off, 0))
		}
		f.usedPages++
		n.pages++
	}
	return length
}

func (h *file) Close() error {
	err := h.begin(vfs.OpClose, 0, 0)
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return wrap(vfs.OpClose, h.name, fs.ErrClosed)
	}
	h.closed = true
	h.node.handles--
	h.fs.release(h.node)
	return err
}

func (h *file) Size() (int64, error) {
	if err := h.begin(vfs.OpStat, 0, 0); err != nil {
		return 0, err
	}
	h.fs.mu.RLock()
	defer h.fs.mu.RUnlock()
	if err := h.usable(vfs.OpStat, 0, 0); err != nil {
		return 0, err
	}
	return h.node.live.size, nil
}

func (h *file) Truncate(size int64) error {
	if err := h.begin(vfs.OpTruncate, 0, size); err != nil {
		return err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.usable(vfs.OpTruncate, 0, size); err != nil {
		return err
	}
	shrinks := size < h.node.live.size
	h.node.resize(size)
	if shrinks {
		h.fs.recount(h.node)
	}
	return nil
}

func (h *file) Preallocate(size int64) error {
	if err := h.begin(vfs.OpPreallocate, 0, size); err != nil {
		return err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.usable(vfs.OpPreallocate, 0, size); err != nil {
		return err
	}
	n := h.node
	reserved := max(n.reservedPages, pagesFor(size))
	need := reserved + n.live.countPages(reserved) - n.pages
	if need > h.fs.capacityPages-h.fs.usedPages {
		return wrap(vfs.OpPreallocate, h.name, errNoSpace)
	}
	h.fs.usedPages += need
	n.pages += need
	n.reservedPages = reserved
	n.resize(max(size, n.live.size))
	return nil
}

func (h *file) Sync() error { return h.sync(vfs.OpSync) }

// SyncData is the same here: there is no metadata but the length.
func (h *file) SyncData() error { return h.sync(vfs.OpSyncData) }

func (h *file) sync(kind vfs.OpKind) error {
	if err := h.begin(kind, 0, 0); err != nil {
		h.FailSync()
		return err
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.usable(kind, 0, 0); err != nil {
		return err
	}
	h.node.sync()
	return nil
}

// FailSync does what a failed sync of the file does, see SyncFailure. It is
// not an operation; faultfs calls it in place of a sync that it fails.
func (h *file) FailSync() {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return
	}
	if SyncFailure(h.fs.syncFailure.Load()) == FailRevert {
		h.node.failRevert()
	} else {
		h.node.failKeep()
	}
	h.fs.recount(h.node)
}
