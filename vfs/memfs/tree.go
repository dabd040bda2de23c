package memfs

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// The tree of directories and files. The entries of a directory are what
// callers see; shadow remembers what the disk holds for the names that changed
// since their directory was synced, and FS.entryOps lists those changes.
// The lock of the FS guards all of it.

// node is a file or a directory. It lives on without a name while a handle is
// open.
type node struct {
	pending             // of a file
	id            int64 // in the order of creation, the same in every run and clone
	made          int64 // counts all files of the process: clones that go apart make others
	entries       map[string]*node
	shadow        map[string]*node // nil for a name that the disk does not hold
	isDir         bool
	reservedPages int64 // preallocated from the start of the file
	pages         int64 // in use: the reserved ones and those written behind them
	names         int
	handles       int
}

// entryOp is a change of one directory entry that is not durable yet: name in
// dir becomes node, or goes away where node is nil. A rename also takes the
// entry fromName out of fromDir.
type entryOp struct {
	dir      *node
	name     string
	node     *node
	fromDir  *node
	fromName string
	// lost marks the operations of a failed SyncDir, which no later one makes
	// durable.
	lost bool
}

// made counts the files of all file systems.
var made atomic.Int64

func (f *FS) newNode(isDir bool) *node {
	f.lastID++
	n := &node{id: f.lastID, made: made.Add(1), isDir: isDir}
	if isDir {
		n.entries = map[string]*node{}
	}
	return n
}

// cleanPath gives every name of a file one spelling, "a/b"; the root is "".
func cleanPath(name string) string {
	name = filepath.ToSlash(name[len(filepath.VolumeName(name)):])
	return strings.TrimPrefix(filepath.ToSlash(filepath.Clean("/"+name)), "/")
}

// lookup finds the node of a clean path.
func (f *FS) lookup(path string) (*node, error) {
	n := f.root
	for path != "" {
		if !n.isDir {
			return nil, errNotDirectory
		}
		var name string
		name, path, _ = strings.Cut(path, "/")
		if n = n.entries[name]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// lookupParent finds the directory in which name is or would be.
func (f *FS) lookupParent(name string) (dir *node, base string, err error) {
	path := cleanPath(name)
	if path == "" {
		return nil, "", fs.ErrInvalid
	}
	parent := ""
	base = path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, base = path[:i], path[i+1:]
	}
	if dir, err = f.lookup(parent); err != nil {
		return nil, "", err
	}
	if !dir.isDir {
		return nil, "", errNotDirectory
	}
	return dir, base, nil
}

func (f *FS) lookupDir(name string) (*node, error) {
	n, err := f.lookup(cleanPath(name))
	if err == nil && !n.isDir {
		return nil, errNotDirectory
	}
	return n, err
}

// apply does an entry operation where callers see it and notes it as pending.
func (f *FS) apply(op entryOp) {
	f.set(op.dir, op.name, op.node)
	if op.fromDir != nil {
		f.set(op.fromDir, op.fromName, nil)
	}
	f.entryOps = append(f.entryOps, op)
}

func (f *FS) set(dir *node, name string, to *node) {
	old := dir.entries[name]
	if _, changed := dir.shadow[name]; !changed {
		if dir.shadow == nil {
			dir.shadow = map[string]*node{}
		}
		dir.shadow[name] = old
	}
	if to != nil {
		to.names++
		dir.entries[name] = to
	} else {
		delete(dir.entries, name)
	}
	if old != nil {
		old.names--
		f.release(old)
	}
}

// release gives the space of a file back when nothing leads to it any more.
func (f *FS) release(n *node) {
	if n.names == 0 && n.handles == 0 {
		f.usedPages -= n.pages
		n.pages, n.reservedPages = 0, 0
	}
}

// entryName is one name in one directory.
type entryName struct {
	dir  *node
	name string
}

func (op *entryOp) names() []entryName {
	if op.fromDir == nil {
		return []entryName{{op.dir, op.name}}
	}
	return []entryName{{op.dir, op.name}, {op.fromDir, op.fromName}}
}

// dirsWith returns dir and the directories that renames tie to it: a rename is
// atomic, so both sides become durable together.
func (f *FS) dirsWith(dir *node) map[*node]bool {
	dirs := map[*node]bool{dir: true}
	for grown := true; grown; {
		grown = false
		for i := range f.entryOps {
			op := &f.entryOps[i]
			if op.fromDir != nil && dirs[op.dir] != dirs[op.fromDir] {
				dirs[op.dir], dirs[op.fromDir] = true, true
				grown = true
			}
		}
	}
	return dirs
}

// syncEntries makes the entries of dir durable, except those whose operation
// was part of a failed sync and that nothing has changed since.
func (f *FS) syncEntries(dir *node) {
	dirs := f.dirsWith(dir)
	settled := map[entryName]bool{}
	for i := range f.entryOps {
		op := &f.entryOps[i]
		if !op.lost && dirs[op.dir] {
			for _, n := range op.names() {
				settled[n] = true
			}
		}
	}
	for n := range settled {
		delete(n.dir.shadow, n.name)
	}
	f.entryOps = slices.DeleteFunc(f.entryOps, func(op entryOp) bool {
		isSettled := func(n entryName) bool { return settled[n] }
		return !slices.ContainsFunc(op.names(), func(n entryName) bool { return !isSettled(n) })
	})
}

// loseEntries is a failed sync of a directory.
func (f *FS) loseEntries(dir *node) {
	dirs := f.dirsWith(dir)
	for i := range f.entryOps {
		if dirs[f.entryOps[i].dir] {
			f.entryOps[i].lost = true
		}
	}
}

// durableEntries returns what the disk holds of a directory.
func (n *node) durableEntries() map[string]*node {
	entries := maps.Clone(n.entries)
	for name, on := range n.shadow {
		if on != nil {
			entries[name] = on
		} else {
			delete(entries, name)
		}
	}
	return entries
}

// recount brings the numbers of used pages up to date after pages went away.
func (f *FS) recount(n *node) {
	n.reservedPages = min(n.reservedPages, pagesFor(n.live.size))
	pages := n.reservedPages + n.live.countPages(n.reservedPages)
	f.usedPages += pages - n.pages
	n.pages = pages
}

func pagesFor(sizeBytes int64) int64 { return (sizeBytes + pageBytes - 1) / pageBytes }

// info describes a node. There is no clock here: the time is another one for each file that
// was ever made, and stays as it is.
type info struct {
	name  string
	size  int64
	pages int64
	isDir bool
	names int
	node  *node
}

func (n *node) info(name string) info {
	return info{name: filepath.Base(name), size: n.live.size, pages: n.pages, isDir: n.isDir, names: n.names, node: n}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Unix(0, i.node.made) }
func (i info) IsDir() bool        { return i.isDir }
func (i info) Sys() any           { return nil }
func (i info) LinkCount() int     { return i.names } // for vfs.LinkCount

// SameFile is what vfs.SameFile asks.
func (i info) SameFile(other fs.FileInfo) bool {
	o, ok := other.(info)
	return ok && o.node == i.node
}

// AllocatedBytes is what vfs.AllocatedBytes asks.
func (i info) AllocatedBytes() int64 { return i.pages * pageBytes }

func (i info) Mode() fs.FileMode {
	if i.isDir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
