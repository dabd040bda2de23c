package process

import (
	"io"
	"path/filepath"
	"sync/atomic"

	"github.com/lightningdb/lightning/vfs"
)

// Everything that the engine does to a disk goes through a vfs.FS, so a step of
// the engine is a kind of operation on a kind of file. A trap is a file system
// that springs at one such step.

// Failpoint is a step of the engine at which a child can end.
type Failpoint struct {
	Name    string
	kinds   vfs.OpKind
	pattern string // of the file's base name; for a rename, of the new one
	often   int    // about how many times a life of a child comes past it
}

// Failpoints returns all of them.
func Failpoints() []Failpoint {
	const anySync = vfs.OpSync | vfs.OpSyncData
	return []Failpoint{
		{"mkdir", vfs.OpMkdirAll, "*", 1},
		{"lock", vfs.OpLock, "*", 1},
		{"dir-sync", vfs.OpSyncDir, "*", 20},
		{"wal-create", vfs.OpCreate, "*.wal", 3},
		{"wal-preallocate", vfs.OpPreallocate, "*.wal", 4},
		{"wal-open", vfs.OpOpenReadWrite, "*.wal", 5},
		{"wal-write", vfs.OpWrite, "*.wal", 60},
		{"wal-sync", anySync, "*.wal", 30},
		{"wal-truncate", vfs.OpTruncate, "*.wal", 1},
		{"wal-recycle-rename", vfs.OpRename, "*.wal", 3},
		{"sst-create", vfs.OpCreate, "*.sst", 8},
		{"sst-write", vfs.OpWrite, "*.sst", 30},
		{"sst-sync", anySync, "*.sst", 8},
		{"manifest-new", vfs.OpCreate, "*.manifest", 1},
		{"manifest-append", vfs.OpWrite, "*.manifest", 20},
		{"manifest-sync", anySync, "*.manifest", 10},
		{"current-create", vfs.OpCreate, "CURRENT.tmp", 1},
		{"current-write", vfs.OpWrite, "CURRENT.tmp", 1},
		{"current-sync", anySync, "CURRENT.tmp", 1},
		{"current-rename", vfs.OpRename, "CURRENT", 1},
		{"remove-sst", vfs.OpRemove, "*.sst", 6},
		{"remove-wal", vfs.OpRemove, "*.wal", 3},
		{"remove-manifest", vfs.OpRemove, "*.manifest", 2},
	}
}

// Moment says when a trap springs at its operation.
type Moment uint8

const (
	Before Moment = iota
	Midway        // when half of a write is done; other operations are whole
	After
	moments
)

func (m Moment) String() string { return [...]string{"before", "midway", "after"}[m] }

// trap is a vfs.FS that calls spring at the nth time a failpoint is passed.
// Safe for concurrent use.
type trap struct {
	vfs.FS
	point  Failpoint
	moment Moment
	nth    int64
	spring func()

	passed *atomic.Int64
}

var _ vfs.FS = (*trap)(nil)

// OpenDir implements vfs.Dirs: the trap is in the directory as well.
func (t *trap) OpenDir(dir string) (vfs.Dir, error) {
	held, err := vfs.Hold(t.FS, dir)
	if err != nil {
		return nil, err
	}
	inside := *t
	inside.FS = held
	return &trapDir{trap: &inside, held: held}, nil
}

type trapDir struct {
	*trap
	held vfs.Dir
}

func (d *trapDir) Share() (io.Closer, error) { return d.held.Share() }

func (d *trapDir) Close() error { return d.held.Close() }

// meets counts an operation and says whether the trap springs at it.
func (t *trap) meets(kind vfs.OpKind, name string) bool {
	if !t.point.kinds.Has(kind) {
		return false
	}
	ok, err := filepath.Match(t.point.pattern, filepath.Base(name))
	return ok && err == nil && t.passed.Add(1) == t.nth
}

// around does an operation and springs at the right side of it.
func (t *trap) around(kind vfs.OpKind, name string, do func() error) error {
	meets := t.meets(kind, name)
	if meets && t.moment == Before {
		t.spring()
	}
	err := do()
	if meets && t.moment != Before {
		t.spring()
	}
	return err
}

func (t *trap) open(kind vfs.OpKind, name string, do func(string) (vfs.File, error)) (f vfs.File, err error) {
	err = t.around(kind, name, func() error {
		f, err = do(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &trapFile{File: f, trap: t, name: name}, nil
}

func (t *trap) Create(name string) (vfs.File, error) {
	return t.open(vfs.OpCreate, name, t.FS.Create)
}

func (t *trap) OpenReadWrite(name string) (vfs.File, error) {
	return t.open(vfs.OpOpenReadWrite, name, t.FS.OpenReadWrite)
}

func (t *trap) Rename(oldName, newName string) error {
	return t.around(vfs.OpRename, newName, func() error { return t.FS.Rename(oldName, newName) })
}

func (t *trap) Link(oldName, newName string) error {
	return t.around(vfs.OpLink, newName, func() error { return t.FS.Link(oldName, newName) })
}

func (t *trap) Remove(name string) error {
	return t.around(vfs.OpRemove, name, func() error { return t.FS.Remove(name) })
}

func (t *trap) MkdirAll(dir string) error {
	return t.around(vfs.OpMkdirAll, dir, func() error { return t.FS.MkdirAll(dir) })
}

func (t *trap) SyncDir(dir string) error {
	return t.around(vfs.OpSyncDir, dir, func() error { return t.FS.SyncDir(dir) })
}

func (t *trap) Lock(name string) (lock io.Closer, err error) {
	err = t.around(vfs.OpLock, name, func() error {
		lock, err = t.FS.Lock(name)
		return err
	})
	return lock, err
}

// trapFile is a file of a trap that can be written.
type trapFile struct {
	vfs.File
	trap *trap
	name string
}

func (f *trapFile) WriteAt(p []byte, off int64) (n int, err error) {
	if !f.trap.meets(vfs.OpWrite, f.name) {
		return f.File.WriteAt(p, off)
	}
	first := 0
	switch f.trap.moment {
	case Midway:
		first = len(p) / 2
	case After:
		first = len(p)
	}
	if first > 0 {
		if n, err = f.File.WriteAt(p[:first], off); err != nil {
			return n, err
		}
	}
	f.trap.spring()
	if first == len(p) {
		return n, nil
	}
	rest, err := f.File.WriteAt(p[first:], off+int64(first))
	return n + rest, err
}

func (f *trapFile) Truncate(size int64) error {
	return f.trap.around(vfs.OpTruncate, f.name, func() error { return f.File.Truncate(size) })
}

func (f *trapFile) Preallocate(size int64) error {
	return f.trap.around(vfs.OpPreallocate, f.name, func() error { return f.File.Preallocate(size) })
}

func (f *trapFile) Sync() error {
	return f.trap.around(vfs.OpSync, f.name, f.File.Sync)
}

func (f *trapFile) SyncData() error {
	return f.trap.around(vfs.OpSyncData, f.name, f.File.SyncData)
}
