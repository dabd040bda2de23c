// Package vfs is the seam between the database and its files. Everything the
// engine does to a disk goes through an FS, so that crashes and faults can be
// injected at every operation: see vfs/memfs for an in-memory file system with
// strict crash semantics and vfs/faultfs for one that fails on demand.
//
// All methods of FS and File are safe for concurrent use unless said
// otherwise. Errors match fs.ErrNotExist and fs.ErrExist under errors.Is where
// those apply.
package vfs

import (
	"io"
	"io/fs"
)

// FS is a file system. Names are paths in the notation of path/filepath.
type FS interface {
	// Create makes an empty file for reading and writing, truncating one that
	// exists. Neither the file nor its name is durable before File.Sync and
	// FS.SyncDir.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenReadWrite opens an existing file for reading and writing in place.
	OpenReadWrite(name string) (File, error)
	// Rename replaces newName, which is no directory, by oldName atomically;
	// durable after SyncDir.
	Rename(oldName, newName string) error
	// Link gives a file a second name, newName, which must not exist; durable
	// after SyncDir. What is written through one name is seen through all of
	// them. File systems without links fail with an error that matches
	// errors.ErrUnsupported.
	Link(oldName, newName string) error
	// Remove deletes a file or an empty directory; durable after SyncDir.
	Remove(name string) error
	// MkdirAll makes a directory and its missing parents.
	MkdirAll(dir string) error
	// List returns the base names in a directory, sorted.
	List(dir string) ([]string, error)
	// Stat describes a file or directory. LinkCount reads the names of a file
	// from it.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the entries of a directory durable: files created in,
	// renamed into or removed from it. On Windows it does nothing.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file, creating it if needed, and holds
	// it until the returned Closer is closed or the process ends. If anyone
	// holds it, in this process or another, Lock fails at once with an error
	// that matches ErrLocked.
	Lock(name string) (io.Closer, error)
	// FreeBytes returns the space left for this user on the file system that
	// holds dir.
	FreeBytes(dir string) (uint64, error)
}

// ReadFile is what readers need of an open file.
type ReadFile interface {
	io.ReaderAt
	io.Closer
	// Size returns the current length in bytes.
	Size() (int64, error)
}

// DescriptorFile is a file that the operating system knows by a descriptor, so that many
// reads can be asked of it at once. A file that stands before another one, and changes
// nothing of what ReadAt returns, may pass the question on.
type DescriptorFile interface {
	// WithDescriptor calls read with the descriptor, which stays open until read
	// returns, for reading at offsets and nothing else. It waits for nobody: it returns
	// false, and does not call, where there is no descriptor to be had at once.
	WithDescriptor(read func(fd int)) bool
}

// WritebackFile is a file of which a part can be sent to the disk before a sync, which then
// has less to wait for, and so have the syncs of other files beside it. A file that stands
// before another one may pass this on.
type WritebackFile interface {
	// StartWriteback begins to send to the disk what was written of bytes [offset,
	// offset+length), and does not wait until it is there: it makes nothing durable. It may
	// wait while the disk has enough to do. An error is that of a write that did not
	// reach the disk; a file system that knows no such thing does nothing.
	StartWriteback(offset, length int64) error
}

// File is an open file, addressed by offset only.
type File interface {
	ReadFile
	io.WriterAt
	// Truncate sets the length.
	Truncate(size int64) error
	// Sync makes data and metadata durable.
	Sync() error
	// SyncData makes data durable, and of the metadata only what is needed to
	// read it back. After a failed sync nothing is known about what is
	// durable, and a later success proves nothing.
	SyncData() error
	// Preallocate reserves space for bytes [0, size) and extends the file to
	// size; what was not written reads as zeroes. File systems that cannot
	// reserve only extend: AllocatedBytes tells.
	Preallocate(size int64) error
}

// AllocatedBytes returns how much space of its file system the file has that info,
// of FS.Stat, describes: less than its size where nothing was reserved for a part of
// it. known is false where that cannot be told. The FileInfo of a file system other
// than OS may have a method AllocatedBytes to tell it.
func AllocatedBytes(info fs.FileInfo) (sizeBytes int64, known bool) {
	if teller, ok := info.(interface{ AllocatedBytes() int64 }); ok {
		return teller.AllocatedBytes(), true
	}
	return allocatedBytes(info)
}
