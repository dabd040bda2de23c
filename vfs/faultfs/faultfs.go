// Package faultfs wraps a file system and makes chosen operations misbehave:
// fail, fail after they were done, stop half way, be skipped while they report
// success, or wait in a callback.
//
//	faulty := faultfs.New(memfs.New())
//	third := faulty.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Nth: 3, Err: syscall.EIO})
//	... run the workload ...
//	if third.Fired() == 0 { ... it never got there ... }
//
// Which operations there are to fail is found by a run without rules: Ops and
// Count tell how many of each kind there were.
package faultfs

import (
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/vfs"
)

// Rule says which operations misbehave and how. The first rule that fires with
// an effect other than Before decides; Before runs for every rule that fires.
type Rule struct {
	// Kinds is the set of operations to match; 0 means every kind.
	Kinds vfs.OpKind
	// Name is a pattern of path/filepath.Match for the base name of the file;
	// a rename or link matches with either of its names. Empty matches every name, and
	// a malformed pattern none.
	Name string
	// Nth is which of the matching operations the rule fires at, counted from
	// 1; 0 is 1.
	Nth int64
	// Sticky makes the rule fire at all later ones as well.
	Sticky bool

	// Err fails the operation, which is not done. A failed Close closes, and
	// a failed sync takes the effect that the file system below gives it
	// (memfs.SyncFailure).
	Err error
	// Done does the operation before Err is returned.
	Done bool
	// Short makes a read or write stop after ShortBytes; it fails with Err,
	// or io.ErrUnexpectedEOF and io.ErrShortWrite where Err is nil.
	Short      bool
	ShortBytes int
	// Ignore skips the operation and reports success, as a disk that lies
	// about a sync does. It applies to operations that return only an error.
	Ignore bool
	// Before runs before the operation, without a lock: a place to wait, to
	// count, or to take a crash.
	Before func(op vfs.Op)
}

// Armed is a rule at work in an FS. Its methods are safe for concurrent use.
type Armed struct {
	rule     Rule
	seen     atomic.Int64
	fired    atomic.Int64
	disarmed atomic.Bool
}

// Fired returns how often the rule fired.
func (a *Armed) Fired() int64 { return a.fired.Load() }

// Seen returns how many operations matched, whether it fired or not.
func (a *Armed) Seen() int64 { return a.seen.Load() }

// Disarm ends the rule: it neither fires nor counts any more.
func (a *Armed) Disarm() { a.disarmed.Store(true) }

// fires counts a matching operation and says whether the rule fires at it.
func (a *Armed) fires(op vfs.Op) bool {
	if a.disarmed.Load() || !a.rule.matches(op) {
		return false
	}
	n, nth := a.seen.Add(1), max(a.rule.Nth, 1)
	if n != nth && !(a.rule.Sticky && n > nth) {
		return false
	}
	a.fired.Add(1)
	return true
}

func (r *Rule) matches(op vfs.Op) bool {
	if r.Kinds != 0 && r.Kinds&op.Kind == 0 {
		return false
	}
	return r.Name == "" || matchName(r.Name, op.Name) ||
		op.NewName != "" && matchName(r.Name, op.NewName)
}

func matchName(pattern, name string) bool {
	ok, err := filepath.Match(pattern, filepath.Base(name))
	return ok && err == nil
}

func (r *Rule) hasEffect() bool { return r.Err != nil || r.Short || r.Ignore }

// FS is a file system with faults. It implements vfs.FS; all methods are safe
// for concurrent use.
type FS struct {
	under vfs.FS
	*faults
}

// faults are the rules and counts of a file system, and of the directories that
// are held in it.
type faults struct {
	ops atomic.Int64

	mu     sync.RWMutex
	counts map[vfs.OpKind]int64
	rules  []*Armed
}

var _ vfs.FS = (*FS)(nil)

// New wraps a file system.
func New(under vfs.FS) *FS {
	return &FS{under: under, faults: &faults{counts: map[vfs.OpKind]int64{}}}
}

// OpenDir implements vfs.Dirs: the rules hold in the directory as well. Opening it,
// sharing it and closing it are no operations.
func (f *FS) OpenDir(dir string) (vfs.Dir, error) {
	under, err := vfs.Hold(f.under, dir)
	if err != nil {
		return nil, err
	}
	return &heldDir{FS: &FS{under: under, faults: f.faults}, under: under}, nil
}

// heldDir is a directory that is held in a file system with faults.
type heldDir struct {
	*FS
	under vfs.Dir
}

func (d *heldDir) Share() (io.Closer, error) { return d.under.Share() }

func (d *heldDir) Close() error { return d.under.Close() }

// Add puts a rule to work, behind those that are there.
func (f *faults) Add(r Rule) *Armed {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &Armed{rule: r}
	f.rules = append(slices.Clip(f.rules), a)
	return a
}

// Reset takes all rules away. The counts stay.
func (f *faults) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Ops returns how many operations were begun.
func (f *faults) Ops() int64 { return f.ops.Load() }

// Count returns how many operations of the given kinds were begun.
func (f *faults) Count(kinds vfs.OpKind) int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	total := int64(0)
	for kind, n := range f.counts {
		if kinds.Has(kind) {
			total += n
		}
	}
	return total
}

// begin counts the operation and returns the rule that decides about it, or nil.
func (f *faults) begin(op vfs.Op) *Rule {
	op.N = f.ops.Add(1)
	f.mu.Lock()
	f.counts[op.Kind]++
	rules := f.rules
	f.mu.Unlock()
	var decides *Rule
	for _, a := range rules {
		if !a.fires(op) {
			continue
		}
		if a.rule.Before != nil {
			ranked.Outside(func() { a.rule.Before(op) })
		}
		if decides == nil && a.rule.hasEffect() {
			decides = &a.rule
		}
	}
	return decides
}

// failure is the error of the rule as the operation returns it.
func (r *Rule) failure(op vfs.Op) error {
	return &fs.PathError{Op: op.Kind.String(), Path: op.Name, Err: r.Err}
}

// run does an operation that returns only an error, as the rules say. instead,
// where it is set, runs in place of an operation that fails without being done.
func (f *FS) run(op vfs.Op, do func() error, instead func()) error {
	r := f.begin(op)
	switch {
	case r == nil:
		return do()
	case r.Ignore:
		return nil
	case r.Err == nil: // Short does not apply here
		return do()
	case r.Done:
		if err := do(); err != nil {
			return err
		}
	case instead != nil:
		instead()
	}
	return r.failure(op)
}

// get does an operation that returns a value. undo takes back what the value
// holds when it was done and then reported as failed.
func get[T any](f *FS, op vfs.Op, do func() (T, error), undo func(T)) (T, error) {
	var none T
	r := f.begin(op)
	if r == nil || r.Err == nil {
		return do()
	}
	if r.Done {
		v, err := do()
		if err != nil {
			return none, err
		}
		if undo != nil {
			undo(v)
		}
	}
	return none, r.failure(op)
}

func (f *FS) open(kind vfs.OpKind, name string, do func(string) (vfs.File, error)) (vfs.File, error) {
	under, err := get(f, vfs.Op{Kind: kind, Name: name},
		func() (vfs.File, error) { return do(name) },
		func(opened vfs.File) { _ = opened.Close() }) // the injected error is the one to report
	if err != nil {
		return nil, err
	}
	return &file{fs: f, under: under, name: name}, nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	return f.open(vfs.OpCreate, name, f.under.Create)
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	return f.open(vfs.OpOpen, name, f.under.Open)
}

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string) (vfs.File, error) {
	return f.open(vfs.OpOpenReadWrite, name, f.under.OpenReadWrite)
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldName, newName string) error {
	return f.run(vfs.Op{Kind: vfs.OpRename, Name: oldName, NewName: newName},
		func() error { return f.under.Rename(oldName, newName) }, nil)
}

// Link implements vfs.FS.
func (f *FS) Link(oldName, newName string) error {
	return f.run(vfs.Op{Kind: vfs.OpLink, Name: oldName, NewName: newName},
		func() error { return f.under.Link(oldName, newName) }, nil)
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	return f.run(vfs.Op{Kind: vfs.OpRemove, Name: name},
		func() error { return f.under.Remove(name) }, nil)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string) error {
	return f.run(vfs.Op{Kind: vfs.OpMkdirAll, Name: dir},
		func() error { return f.under.MkdirAll(dir) }, nil)
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	return get(f, vfs.Op{Kind: vfs.OpList, Name: dir},
		func() ([]string, error) { return f.under.List(dir) }, nil)
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	return get(f, vfs.Op{Kind: vfs.OpStat, Name: name},
		func() (fs.FileInfo, error) { return f.under.Stat(name) }, nil)
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	return f.run(vfs.Op{Kind: vfs.OpSyncDir, Name: dir},
		func() error { return f.under.SyncDir(dir) },
		func() {
			if failer, ok := f.under.(interface{ FailSyncDir(dir string) }); ok {
				failer.FailSyncDir(dir)
			}
		})
}

// Lock implements vfs.FS.
func (f *FS) Lock(name string) (io.Closer, error) {
	return get(f, vfs.Op{Kind: vfs.OpLock, Name: name},
		func() (io.Closer, error) { return f.under.Lock(name) },
		func(held io.Closer) { _ = held.Close() }) // the injected error is the one to report
}

// FreeBytes implements vfs.FS.
func (f *FS) FreeBytes(dir string) (uint64, error) {
	return get(f, vfs.Op{Kind: vfs.OpFreeBytes, Name: dir},
		func() (uint64, error) { return f.under.FreeBytes(dir) }, nil)
}
