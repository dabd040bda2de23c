package damage

import (
	"io"
	"io/fs"
	"path/filepath"

	"github.com/lightningdb/lightning/vfs"
)

// below is a file system whose names are relative to a directory of another
// one, so that a database on the machine's disk has the name of all others.
type below struct {
	vfs.FS
	base string
}

func (b below) at(name string) string                    { return filepath.Join(b.base, name) }
func (b below) Create(name string) (vfs.File, error)     { return b.FS.Create(b.at(name)) }
func (b below) Open(name string) (vfs.File, error)       { return b.FS.Open(b.at(name)) }
func (b below) Rename(from, to string) error             { return b.FS.Rename(b.at(from), b.at(to)) }
func (b below) Link(from, to string) error               { return b.FS.Link(b.at(from), b.at(to)) }
func (b below) Remove(name string) error                 { return b.FS.Remove(b.at(name)) }
func (b below) MkdirAll(name string) error               { return b.FS.MkdirAll(b.at(name)) }
func (b below) List(name string) ([]string, error)       { return b.FS.List(b.at(name)) }
func (b below) Stat(name string) (fs.FileInfo, error)    { return b.FS.Stat(b.at(name)) }
func (b below) SyncDir(name string) error                { return b.FS.SyncDir(b.at(name)) }
func (b below) Lock(name string) (io.Closer, error)      { return b.FS.Lock(b.at(name)) }
func (b below) FreeBytes(name string) (uint64, error)    { return b.FS.FreeBytes(b.at(name)) }
func (b below) OpenReadWrite(n string) (vfs.File, error) { return b.FS.OpenReadWrite(b.at(n)) }
