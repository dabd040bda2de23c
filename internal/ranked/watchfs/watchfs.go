// Package watchfs looks, before each operation on a file, at the locks of the
// goroutine that does it: see package ranked. A release build has nothing of it.
package watchfs

import (
	"io"
	"io/fs"

	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/vfs"
)

// Wrap returns a file system that asserts before each operation that no lock is
// held under which files may not be touched; where locks are not checked, the one
// that it was given.
func Wrap(under vfs.FS) vfs.FS {
	if !ranked.Checked {
		return under
	}
	return New(under, func(kind vfs.OpKind, name string) { ranked.AssertIO(kind.String(), name) })
}

// New returns a file system that calls before, in the goroutine of the caller,
// with each operation that is about to be done.
func New(under vfs.FS, before func(kind vfs.OpKind, name string)) vfs.FS {
	return &watched{under, before}
}

type watched struct {
	under  vfs.FS
	before func(kind vfs.OpKind, name string)
}

func (w *watched) Create(name string) (vfs.File, error) {
	w.before(vfs.OpCreate, name)
	f, err := w.under.Create(name)
	return w.file(f, name, err)
}

func (w *watched) Open(name string) (vfs.File, error) {
	w.before(vfs.OpOpen, name)
	f, err := w.under.Open(name)
	return w.file(f, name, err)
}

func (w *watched) OpenReadWrite(name string) (vfs.File, error) {
	w.before(vfs.OpOpenReadWrite, name)
	f, err := w.under.OpenReadWrite(name)
	return w.file(f, name, err)
}

func (w *watched) file(under vfs.File, name string, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{under, name, w.before}, nil
}

func (w *watched) Rename(oldName, newName string) error {
	w.before(vfs.OpRename, oldName)
	return w.under.Rename(oldName, newName)
}

func (w *watched) Link(oldName, newName string) error {
	w.before(vfs.OpLink, oldName)
	return w.under.Link(oldName, newName)
}

func (w *watched) Remove(name string) error {
	w.before(vfs.OpRemove, name)
	return w.under.Remove(name)
}

func (w *watched) MkdirAll(dir string) error {
	w.before(vfs.OpMkdirAll, dir)
	return w.under.MkdirAll(dir)
}

func (w *watched) List(dir string) ([]string, error) {
	w.before(vfs.OpList, dir)
	return w.under.List(dir)
}

func (w *watched) Stat(name string) (fs.FileInfo, error) {
	w.before(vfs.OpStat, name)
	return w.under.Stat(name)
}

func (w *watched) SyncDir(dir string) error {
	w.before(vfs.OpSyncDir, dir)
	return w.under.SyncDir(dir)
}

func (w *watched) Lock(name string) (io.Closer, error) {
	w.before(vfs.OpLock, name)
	return w.under.Lock(name)
}

func (w *watched) FreeBytes(dir string) (uint64, error) {
	w.before(vfs.OpFreeBytes, dir)
	return w.under.FreeBytes(dir)
}

// file is a file of a watched file system.
type file struct {
	under  vfs.File
	name   string
	before func(kind vfs.OpKind, name string)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.before(vfs.OpRead, f.name)
	return f.under.ReadAt(p, off)
}

// WithDescriptor is vfs.DescriptorFile.WithDescriptor.
func (f *file) WithDescriptor(read func(fd int)) bool {
	under, ok := f.under.(vfs.DescriptorFile)
	if !ok {
		return false
	}
	f.before(vfs.OpRead, f.name)
	return under.WithDescriptor(read)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.before(vfs.OpWrite, f.name)
	return f.under.WriteAt(p, off)
}

// StartWriteback is vfs.WritebackFile.StartWriteback.
func (f *file) StartWriteback(offset, length int64) error {
	f.before(vfs.OpWriteback, f.name)
	if under, ok := f.under.(vfs.WritebackFile); ok {
		return under.StartWriteback(offset, length)
	}
	return nil
}

func (f *file) Close() error {
	f.before(vfs.OpClose, f.name)
	return f.under.Close()
}

func (f *file) Size() (int64, error) {
	f.before(vfs.OpStat, f.name)
	return f.under.Size()
}

func (f *file) Truncate(size int64) error {
	f.before(vfs.OpTruncate, f.name)
	return f.under.Truncate(size)
}

func (f *file) Sync() error {
	f.before(vfs.OpSync, f.name)
	return f.under.Sync()
}

func (f *file) SyncData() error {
	f.before(vfs.OpSyncData, f.name)
	return f.under.SyncData()
}

func (f *file) Preallocate(size int64) error {
	f.before(vfs.OpPreallocate, f.name)
	return f.under.Preallocate(size)
}
