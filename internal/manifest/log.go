package manifest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/vfs"
)

const (
	defaultRollBytes = 1 << 20 // a smaller file is never replaced
	rollFactor       = 3       // a larger one once it has so many times the size of its snapshot
)

// ErrRefused says that an edit was not written at all, because the file system
// is full or does not permit it.
var ErrRefused = errors.New("manifest edit refused")

// Log is the manifest open for writing. Append makes an edit durable; the
// state that results is published by State only after that.
//
// Invariants: CURRENT names a manifest that was durable, name included, before
// CURRENT was switched to it; nothing is appended to a manifest before the
// switch is durable; a manifest is removed only after the switch away from it
// is durable. After the first write, sync or rename that fails, every later
// Append returns that error, and the file is not touched again: whether the
// edit that failed is part of the stored state is unknown until the next Open.
// An Append for which there is no space fails before any of that with
// ErrRefused: it has no effect, and the next may succeed.
//
// All methods are safe for concurrent use; Appends exclude one another, and
// State never waits.
type Log struct {
	fs        vfs.FS
	dir       string
	rollBytes int64 // defaultRollBytes, but for tests
	state     atomic.Pointer[State]

	mu ranked.Mutex[ranked.ManifestLog]
	manifestFile
	err error // first failure, or ErrClosed
}

// manifestFile is the file in force and where it stands.
type manifestFile struct {
	f             vfs.File
	num           base.FileNum
	salt          uint64
	after         chain
	sizeBytes     int64
	synced        int64 // bytes known to be durable
	snapshotBytes int64 // size of the file when it was new
}

// Create makes the manifest of a new database in dir, which must exist. It
// refuses a directory that has a CURRENT. If it fails, or the machine stops
// meanwhile, Exists tells whether it has to be called again.
func Create(fsys vfs.FS, dir string, id base.DBID) (*Log, *State, error) {
	if _, err := fsys.Stat(filepath.Join(dir, CurrentName)); err == nil {
		return nil, nil, fmt.Errorf("create the manifest: %s: %w", CurrentName, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("create the manifest: %w", err)
	}
	state := newState(id)
	l, err := start(fsys, dir, state)
	if err != nil {
		return nil, nil, err
	}
	return l, state, nil
}

// Open goes on with a state that Load has just returned, in a new manifest file, so
// that nothing is ever appended to a file whose end may be torn. Nobody may have opened
// the database since it was loaded, or have tried to: only where the error is ErrRefused
// may the state be used again.
func Open(fsys vfs.FS, dir string, loaded *State) (*Log, error) {
	l, err := start(fsys, dir, loaded)
	if err != nil {
		return nil, err
	}
	l.removeOlder(loaded)
	return l, nil
}

// start makes the manifest that follows the one a state was loaded from.
func start(fsys vfs.FS, dir string, state *State) (*Log, error) {
	l := &Log{fs: fsys, dir: dir, rollBytes: defaultRollBytes}
	if err := l.switchTo(state.num+1, state); err != nil {
		return nil, err
	}
	l.state.Store(state)
	return l, nil
}

// State returns the state after the last Append that succeeded.
func (l *Log) State() *State { return l.state.Load() }

// Append makes e durable and part of the state. An edit that does not fit the
// state is refused without any effect.
func (l *Log) Append(e *Edit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	e.findBlobs(l.State())
	next, err := l.State().apply(e)
	if err != nil {
		return fmt.Errorf("refused manifest edit: %w", err)
	}
	rec := measure(e, l.salt, l.after, l.synced)
	grown := l.sizeBytes + rec.sizeBytes() + proofBytes
	err = ErrRefused
	if grown > max(l.rollBytes, rollFactor*l.snapshotBytes) {
		err = l.roll(next)
	}
	if errors.Is(err, ErrRefused) { // a full disk may still have space for this
		err = l.write(&rec)
	}
	if err != nil {
		if !errors.Is(err, ErrRefused) {
			l.err = err
		}
		return err
	}
	l.state.Store(next)
	return nil
}

// write appends a record and makes it durable. An empty record follows that
// says so; it needs no sync of its own: if it is lost, so is only the proof
// that the record before it was durable once.
func (l *Log) write(rec *newRecord) error {
	name := FileName(l.num)
	// The record has its space, and the proof behind it, before it is begun.
	if err := l.f.Preallocate(l.sizeBytes + rec.sizeBytes() + proofBytes); err != nil {
		return refused("extend "+name, err)
	}
	if err := rec.writeTo(l.f, nil, l.sizeBytes); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := l.f.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	l.after = rec.next
	l.sizeBytes += rec.sizeBytes()
	l.synced = l.sizeBytes
	proof := appendRecord(nil, l.salt, l.after, uint64(l.synced), nil)
	if _, err := l.f.WriteAt(proof, l.sizeBytes); err != nil {
		// The edit is durable; it is the next one that cannot be written.
		l.err = fmt.Errorf("write %s: %w", name, err)
		return nil
	}
	l.after = l.after.next(nil)
	l.sizeBytes += int64(len(proof))
	return nil
}

// proofBytes is the size of a record without payload.
const proofBytes = recordHeaderBytes

// refused marks an error for lack of space or permission, before which nothing that
// matters was written: both may come back.
func refused(doing string, err error) error {
	if errors.Is(err, vfs.ErrNoSpace) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %s: %w", ErrRefused, doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// roll goes on in a new file that begins with state.
func (l *Log) roll(state *State) error {
	old := l.manifestFile
	if err := l.switchTo(old.num+1, state); err != nil {
		return err
	}
	// Nothing in the old file matters any more. If it cannot be removed, the
	// next Open tries again.
	_ = old.f.Close()
	_ = l.fs.Remove(filepath.Join(l.dir, FileName(old.num)))
	return nil
}

// switchTo writes manifest n with a snapshot of state and makes CURRENT name
// it. On failure l keeps its file, and unless the error is ErrRefused it is
// unknown which of the two CURRENT names.
func (l *Log) switchTo(n base.FileNum, state *State) error {
	m, err := l.writeSnapshot(n, state)
	if err != nil {
		return err
	}
	p := pointer{id: state.DBID, num: n, salt: m.salt, synced: uint64(m.synced)}
	if err = l.writeTemp(p); err == nil {
		err = l.swapCurrent()
	}
	if err != nil {
		_ = m.f.Close()
		return err
	}
	l.manifestFile = m
	return nil
}

// writeSnapshot makes manifest n, durable together with its name.
func (l *Log) writeSnapshot(n base.FileNum, state *State) (manifestFile, error) {
	name := FileName(n)
	var salt [8]byte
	_, _ = rand.Read(salt[:]) // never fails
	m := manifestFile{num: n, salt: binary.LittleEndian.Uint64(salt[:])}
	rec := measure(state.snapshot(), m.salt, chain(m.salt), 0)
	if err := rec.tooLarge(name); err != nil {
		return m, err
	}
	header := fileHeader{id: state.DBID, num: n, salt: m.salt}.encode()
	path := filepath.Join(l.dir, name)
	// What a failed attempt left goes first: a sync of its name or content may
	// have failed, after which syncing it again proves nothing.
	if err := l.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, refused("remove what is left of "+name, err)
	}
	f, err := l.fs.Create(path)
	if err != nil {
		return m, refused("create "+name, err)
	}
	if err := l.fill(f, name, header, &rec); err != nil {
		_ = f.Close()
		return m, err
	}
	m.f = f
	m.after = rec.next
	m.sizeBytes = int64(len(header)) + rec.sizeBytes()
	m.synced, m.snapshotBytes = m.sizeBytes, m.sizeBytes
	return m, nil
}

func (l *Log) fill(f vfs.File, name string, header []byte, rec *newRecord) error {
	if err := f.Preallocate(int64(len(header)) + rec.sizeBytes()); err != nil {
		return refused("extend "+name, err)
	}
	if err := rec.writeTo(f, header, 0); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync the directory of %s: %w", name, err)
	}
	return nil
}

// writeTemp makes the file that is to become CURRENT.
func (l *Log) writeTemp(p pointer) error {
	f, err := l.fs.Create(filepath.Join(l.dir, currentTempName))
	if err != nil {
		return refused("create "+currentTempName, err)
	}
	b := p.encode()
	if err = f.Preallocate(int64(len(b))); err != nil {
		err = refused("extend "+currentTempName, err)
	} else if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", currentTempName, err)
	}
	return nil
}

// swapCurrent replaces CURRENT atomically.
func (l *Log) swapCurrent() error {
	err := l.fs.Rename(filepath.Join(l.dir, currentTempName), filepath.Join(l.dir, CurrentName))
	if err != nil {
		return fmt.Errorf("switch %s: %w", CurrentName, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync the directory of %s: %w", CurrentName, err)
	}
	return nil
}

// Verify reads the manifest again, and returns an error where it does not come to the state
// that it should. Edits wait meanwhile.
func (l *Log) Verify() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	stored, err := Load(l.fs, l.dir, []string{FileName(l.num)})
	if err != nil {
		return err
	}
	if !bytes.Equal(appendEdit(nil, stored.snapshot()), appendEdit(nil, l.State().snapshot())) {
		return damage(FileName(l.num), "manifest", -1, 0, errors.New("it comes to another state than the one in memory"))
	}
	return nil
}

// removeOlder removes the manifests of this database from before the one in
// force. Failures are left to the next Open.
func (l *Log) removeOlder(loaded *State) {
	for _, n := range loaded.found {
		if n >= l.num {
			continue
		}
		own := n == loaded.num
		if !own {
			g, err := peek(l.fs, l.dir, n)
			own = err == nil && g.id == loaded.DBID
		}
		if own {
			_ = l.fs.Remove(filepath.Join(l.dir, FileName(n)))
		}
	}
}

// Close closes the file. Unless the log failed before, the proof that the last
// edit was durable becomes durable as well. Closing again does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.err, base.ErrClosed) {
		return nil
	}
	var err error
	if l.err == nil && l.sizeBytes > l.synced {
		if err = l.f.SyncData(); err != nil {
			err = fmt.Errorf("sync %s: %w", FileName(l.num), err)
		}
	}
	if closeErr := l.f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", FileName(l.num), closeErr)
	}
	l.err = base.ErrClosed
	return err
}
