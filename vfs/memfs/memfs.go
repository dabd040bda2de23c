// Package memfs is an in-memory file system that is strict about crashes. It
// promises after a crash only what POSIX promises, and can show every state
// that the rules allow:
//
//   - What was not synced survives in any subset of 512-byte sectors, each one
//     as it was at some moment since the last sync. A sector is atomic.
//   - The length of a file is as independent of its data as the sectors are of
//     each other. Space without data reads as zeroes, or as old bytes where
//     CrashOptions.Stale is set and the length was not synced.
//   - Syncing a file does not make its name durable. Creations, links,
//     renames and removals are atomic each, and any subset of them survives until SyncDir.
//     This includes the directories made by MkdirAll.
//   - After a failed sync the new bytes either stay in the cache marked as
//     clean or are rolled back, see SyncFailure; the next sync succeeds and
//     proves nothing.
//
// A crash is a copy: FS.Crash and FS.CrashStates return file systems that could
// be found after a power cut now, while the original lives on. Copies share
// their bytes until someone writes, so they cost microseconds. Everything is
// deterministic: the same operations and seeds give the same states.
//
// A hook sees every operation before it happens and can fail it, or take a
// crash there. A crash before the next operation covers all crashes inside the
// current one, because what an operation does is pending when it returns, and
// what a sync makes durable may have been so in part before.
package memfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/vfs"
)

// SyncFailure says what a failed sync of a file leaves behind.
type SyncFailure int32

const (
	// FailKeep is how ext4 and XFS behave: the new bytes can be read and count
	// as clean, so no later sync writes them; each sector may or may not be on
	// the disk.
	FailKeep SyncFailure = iota
	// FailRevert is how Btrfs behaves: the file goes back to what is durable.
	FailRevert
)

// FS is an in-memory file system with one root, to which relative names belong
// as well. It implements vfs.FS; all methods are safe for concurrent use.
type FS struct {
	ops         atomic.Int64
	hook        atomic.Pointer[func(vfs.Op) error]
	syncFailure atomic.Int32

	mu            sync.RWMutex
	root          *node
	lastID        int64
	entryOps      []entryOp
	locks         map[string]bool // by clean path
	usedPages     int64
	capacityPages int64
}

var _ vfs.FS = (*FS)(nil)

var (
	errIsDirectory  = errors.New("is a directory")
	errNotDirectory = errors.New("not a directory")
	errNotEmpty     = errors.New("directory not empty")
	errNoSpace      = fmt.Errorf("%w: %w", vfs.ErrNoSpace, syscall.ENOSPC)
)

const unlimitedPages = math.MaxInt64 / pageBytes

// New returns an empty file system.
func New() *FS {
	f := &FS{locks: map[string]bool{}, capacityPages: unlimitedPages}
	f.root = f.newNode(true)
	return f
}

// Ops returns how many operations were begun, failed ones included.
func (f *FS) Ops() int64 { return f.ops.Load() }

// SetHook makes hook run before every operation; nil removes it. The operation
// fails with the error of the hook and then changes nothing, except that a
// failed sync behaves as SetSyncFailure says and Close closes. The hook may
// call Crash and CrashStates; other calls would run it again.
func (f *FS) SetHook(hook func(op vfs.Op) error) {
	if hook == nil {
		f.hook.Store(nil)
		return
	}
	f.hook.Store(&hook)
}

// SetSyncFailure chooses how failed syncs behave; FailKeep if never called.
func (f *FS) SetSyncFailure(mode SyncFailure) { f.syncFailure.Store(int32(mode)) }

// SetCapacity limits the space for file data, counted in pages of 4 KiB; zero
// or less takes the limit away. Beyond it writes and preallocations fail with
// an error that matches vfs.ErrNoSpace, writes after the part that fits.
func (f *FS) SetCapacity(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacityPages = unlimitedPages
	if bytes > 0 {
		f.capacityPages = bytes / pageBytes
	}
}

// UsedBytes returns the space that files take, counted in pages.
func (f *FS) UsedBytes() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.usedPages * pageBytes
}

// begin counts an operation and gives it to the hook.
func (f *FS) begin(op vfs.Op) error {
	op.N = f.ops.Add(1)
	if hook := f.hook.Load(); hook != nil {
		var err error
		ranked.Outside(func() { err = (*hook)(op) })
		return wrap(op.Kind, op.Name, err)
	}
	return nil
}

func wrap(kind vfs.OpKind, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: kind.String(), Path: name, Err: err}
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	return f.open(name, vfs.OpCreate)
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) { return f.open(name, vfs.OpOpen) }

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string) (vfs.File, error) {
	return f.open(name, vfs.OpOpenReadWrite)
}

func (f *FS) open(name string, kind vfs.OpKind) (vfs.File, error) {
	if err := f.begin(vfs.Op{Kind: kind, Name: name}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.find(name, kind == vfs.OpCreate)
	if err != nil {
		return nil, wrap(kind, name, err)
	}
	if kind == vfs.OpCreate {
		n.resize(0)
		f.recount(n)
	}
	n.handles++
	return &file{fs: f, node: n, name: name, writable: kind != vfs.OpOpen}, nil
}

// find returns the file with this name, made if needed and asked for.
func (f *FS) find(name string, create bool) (*node, error) {
	dir, base, err := f.lookupParent(name)
	if err != nil {
		return nil, err
	}
	n := dir.entries[base]
	switch {
	case n == nil && create:
		n = f.newNode(false)
		f.apply(entryOp{dir: dir, name: base, node: n})
	case n == nil:
		return nil, fs.ErrNotExist
	case n.isDir:
		return nil, errIsDirectory
	}
	return n, nil
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldName, newName string) error {
	if err := f.begin(vfs.Op{Kind: vfs.OpRename, Name: oldName, NewName: newName}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return wrap(vfs.OpRename, oldName, f.rename(oldName, newName))
}

func (f *FS) rename(oldName, newName string) error {
	fromDir, fromName, err := f.lookupParent(oldName)
	if err != nil {
		return err
	}
	dir, name, err := f.lookupParent(newName)
	if err != nil {
		return err
	}
	n := fromDir.entries[fromName]
	switch target := dir.entries[name]; {
	case n == nil:
		return fs.ErrNotExist
	case target != nil && target.isDir: // as package os has it
		return fs.ErrExist
	case target == n:
		return nil
	case n.isDir && n.holds(dir):
		return fs.ErrInvalid
	case target != nil && n.isDir:
		return errNotDirectory
	}
	f.apply(entryOp{dir: dir, name: name, node: n, fromDir: fromDir, fromName: fromName})
	return nil
}

// Link implements vfs.FS.
func (f *FS) Link(oldName, newName string) error {
	if err := f.begin(vfs.Op{Kind: vfs.OpLink, Name: oldName, NewName: newName}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return wrap(vfs.OpLink, oldName, f.link(oldName, newName))
}

func (f *FS) link(oldName, newName string) error {
	n, err := f.lookup(cleanPath(oldName))
	if err != nil {
		return err
	}
	dir, name, err := f.lookupParent(newName)
	switch {
	case err != nil:
		return err
	case dir.entries[name] != nil:
		return fs.ErrExist
	case n.isDir:
		return errIsDirectory
	}
	f.apply(entryOp{dir: dir, name: name, node: n})
	return nil
}

// holds reports whether other is n or below it.
func (n *node) holds(other *node) bool {
	if n == other {
		return true
	}
	for _, child := range n.entries {
		if child.isDir && child.holds(other) {
			return true
		}
	}
	return false
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	if err := f.begin(vfs.Op{Kind: vfs.OpRemove, Name: name}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.lookupParent(name)
	if err == nil {
		switch n := dir.entries[base]; {
		case n == nil:
			err = fs.ErrNotExist
		case len(n.entries) > 0:
			err = errNotEmpty
		default:
			f.apply(entryOp{dir: dir, name: base})
		}
	}
	return wrap(vfs.OpRemove, name, err)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string) error {
	if err := f.begin(vfs.Op{Kind: vfs.OpMkdirAll, Name: dir}); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.root
	for path := cleanPath(dir); path != ""; {
		var base string
		base, path, _ = strings.Cut(path, "/")
		child := n.entries[base]
		if child == nil {
			child = f.newNode(true)
			f.apply(entryOp{dir: n, name: base, node: child})
		}
		if !child.isDir {
			return wrap(vfs.OpMkdirAll, dir, errNotDirectory)
		}
		n = child
	}
	return nil
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	if err := f.begin(vfs.Op{Kind: vfs.OpList, Name: dir}); err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.lookupDir(dir)
	if err != nil {
		return nil, wrap(vfs.OpList, dir, err)
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	if err := f.begin(vfs.Op{Kind: vfs.OpStat, Name: name}); err != nil {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.lookup(cleanPath(name))
	if err != nil {
		return nil, wrap(vfs.OpStat, name, err)
	}
	return n.info(name), nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	err := f.begin(vfs.Op{Kind: vfs.OpSyncDir, Name: dir})
	if err != nil {
		f.FailSyncDir(dir)
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.lookupDir(dir)
	if err != nil {
		return wrap(vfs.OpSyncDir, dir, err)
	}
	f.syncEntries(n)
	return nil
}

// FailSyncDir does what a failed sync of the directory does: what was pending
// stays visible, may be durable or not, and no later sync changes that. It is
// not an operation.
func (f *FS) FailSyncDir(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, err := f.lookupDir(dir); err == nil {
		f.loseEntries(n)
	}
}

// FreeBytes implements vfs.FS.
func (f *FS) FreeBytes(dir string) (uint64, error) {
	if err := f.begin(vfs.Op{Kind: vfs.OpFreeBytes, Name: dir}); err != nil {
		return 0, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if _, err := f.lookupDir(dir); err != nil {
		return 0, wrap(vfs.OpFreeBytes, dir, err)
	}
	return uint64(max(f.capacityPages-f.usedPages, 0)) * pageBytes, nil
}

// Lock implements vfs.FS. Locks do not survive a crash.
func (f *FS) Lock(name string) (io.Closer, error) {
	if err := f.begin(vfs.Op{Kind: vfs.OpLock, Name: name}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	path := cleanPath(name)
	if f.locks[path] {
		return nil, wrap(vfs.OpLock, name, vfs.ErrLocked)
	}
	n, err := f.find(name, true)
	if err != nil {
		return nil, wrap(vfs.OpLock, name, err)
	}
	f.locks[path] = true
	return &lock{fs: f, path: path, node: n}, nil
}

// lock is a held lock. Closing it a second time does nothing.
type lock struct {
	fs   *FS
	path string
	node *node
	once sync.Once
}

// Held implements vfs.Holder. It is not an operation.
func (l *lock) Held() error {
	l.fs.mu.RLock()
	defer l.fs.mu.RUnlock()
	if n, err := l.fs.lookup(l.path); err != nil || n != l.node {
		return wrap(vfs.OpLock, l.path, vfs.ErrLockLost)
	}
	return nil
}

func (l *lock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		delete(l.fs.locks, l.path)
	})
	return nil
}
