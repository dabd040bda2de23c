// Package filepool bounds how many files a database has open for reading.
//
// A File stands for a file that is there for as long as its user wants it, and is
// open only while it has a place in the pool: a read that finds it closed opens it
// again, for which the file that was not read for the longest time is closed. A read
// takes the lock of the pool for a moment before and after; what is in a cache above
// the pool needs neither lock nor open file.
//
// # Invariants
//
//   - No more than the limit are open or being opened. Where all of them are being
//     read just then, further reads wait for one of those to end.
//   - A file that is being read is not closed.
//   - Files are opened, read and closed without the lock.
//
// # Thread-safety
//
// All methods are safe for concurrent use, but Close of a File, which must not be
// used any more.
package filepool

import (
	"io/fs"
	"sync"

	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/vfs"
)

// Pool holds the open files.
type Pool struct {
	fs vfs.FS

	mu       ranked.Mutex[ranked.OpenFiles]
	released sync.Cond // a file has become idle or was closed
	limit    int       // from 1 to most: less where the process has run out of files
	most     int
	calm     int  // files opened since it had none, or since the limit rose
	open     int  // files that are open, or being opened
	reading  int  // of them, those that are being read
	opening  int  // of them, those that are about to be
	waiting  int  // who waits for a place: until they have one, files that are open wait too
	idle     File // the ring of files that are open and not being read, oldest first
}

// New returns a pool of at most limit open files, one at least, of a file system.
func New(fsys vfs.FS, limit int) *Pool {
	p := &Pool{fs: fsys, limit: max(limit, 1), most: max(limit, 1)}
	p.released.L = &p.mu
	p.idle.newer, p.idle.older = &p.idle, &p.idle
	return p
}

// Count returns how many files are open, or being opened.
func (p *Pool) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// Limit returns how many files may be open: what New was told, or less since the
// process ran out of them.
func (p *Pool) Limit() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit
}

// Open opens a file for reading. opened, which may be nil, is told how that goes, this
// time and whenever the file is opened again; it must not wait.
func (p *Pool) Open(name string, opened func(err error)) (*File, error) {
	f := &File{pool: p, name: name, opened: opened}
	if _, err := f.pin(); err != nil {
		return nil, err
	}
	f.unpin()
	return f, nil
}

// takeIdle takes the file out of the pool that was not read for the longest time;
// nil if all are being read. The caller has the lock.
func (p *Pool) takeIdle() vfs.File {
	f := p.idle.newer
	if f == &p.idle {
		return nil
	}
	f.leaveIdle()
	under := f.under
	f.under = nil
	p.open--
	return under
}

// closeRead closes a file that was only read: if that fails nothing is lost, and the
// descriptor is gone all the same.
func closeRead(f vfs.File) { _ = f.Close() }

// File is a file that is opened when it is read.
type File struct {
	pool   *Pool
	name   string
	opened func(err error)

	// Under the lock of the pool.
	under        vfs.File // nil while it is not open
	pins         int      // reads that are under way
	opening      bool
	closed       bool
	stale        bool  // what is open has another name by now, or none
	newer, older *File // in the ring of idle files; nil while it is not there
}

var _ vfs.ReadFile = (*File)(nil)

// pin returns the open file, which stays open until unpin.
func (f *File) pin() (vfs.File, error) {
	under, old, err := f.place()
	if under != nil || err != nil {
		return under, err
	}
	return f.reopen(old)
}

// place returns the open file, pinned, or has a place for it when it returns none: that
// of old, if that is not nil, which is still to be closed. Who waits for a place goes
// before those who read what is open.
func (f *File) place() (under, old vfs.File, err error) {
	p := f.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	inLine := false
	defer func() {
		if inLine {
			p.leaveLine()
		}
	}()
	for {
		switch {
		case f.closed:
			return nil, nil, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrClosed}
		case f.under != nil && (inLine || p.waiting == 0):
			f.take()
			return f.under, nil, nil
		case f.under != nil || f.opening:
		case p.open < p.limit || p.anyIdle():
			if p.open >= p.limit {
				old = p.takeIdle()
			}
			p.open++
			p.opening++
			f.opening = true
			return nil, old, nil
		case !inLine:
			inLine, p.waiting = true, p.waiting+1
		}
		p.released.Wait()
	}
}

// leaveLine ends the wait for a place. The caller has the lock.
func (p *Pool) leaveLine() {
	if p.waiting--; p.waiting == 0 {
		p.released.Broadcast()
	}
}

func (p *Pool) anyIdle() bool { return p.idle.newer != &p.idle }

// take counts a read. The caller has the lock.
func (f *File) take() {
	if f.pins++; f.pins == 1 {
		f.pool.reading++
	}
	f.leaveIdle()
}

// joinIdle makes the file the newest of those that may be closed.
func (f *File) joinIdle() {
	ring := &f.pool.idle
	f.older, f.newer = ring.older, ring
	f.older.newer, ring.older = f, f
}

// leaveIdle takes the file out of those that may be closed, if it is one.
func (f *File) leaveIdle() {
	if f.newer != nil {
		f.older.newer, f.newer.older = f.newer, f.older
		f.newer, f.older = nil, nil
	}
}

// reopen opens the file, which has a place already, that of old if that is not nil,
// and pins it.
func (f *File) reopen(old vfs.File) (vfs.File, error) {
	p := f.pool
	if old != nil {
		closeRead(old)
	}
	under, err := retry(p, 1, func() (vfs.File, error) { return p.fs.Open(f.name) })
	if f.opened != nil {
		f.opened(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f.opening = false
	p.opening--
	p.released.Broadcast() // others may wait for this very file
	if err != nil {
		p.open--
		return nil, err
	}
	f.under = under
	f.take()
	if p.calm++; p.limit < p.most && p.calm >= calmPerFile*p.limit {
		p.limit, p.calm = p.limit+1, 0
	}
	return under, nil
}

// calmPerFile is how often each file is opened, about, before the pool tries whether the
// process has room for one more again.
const calmPerFile = 4

// makeRoom closes a file that is not being read, for one that somebody else is to open,
// and takes its place from the pool: the process may open no more files. It waits for
// those that are being read or opened; own says how many of the latter are the caller's.
// It returns false where there are none: others than the database have them all.
func (p *Pool) makeRoom(own int) bool {
	p.mu.Lock()
	p.opening -= own // who waits himself is not waited for
	if own > 0 {
		p.released.Broadcast()
	}
	p.waiting++
	for !p.anyIdle() && p.reading+p.opening > 0 {
		p.released.Wait()
	}
	p.leaveLine()
	p.opening += own
	under := p.takeIdle()
	if under != nil {
		p.limit, p.calm = max(min(p.limit, p.open), 1), 0
	}
	p.mu.Unlock()
	if under == nil {
		return false
	}
	closeRead(under)
	return true
}

// unpin ends a read.
func (f *File) unpin() {
	if old := f.leave(); old != nil {
		closeRead(old)
	}
}

// leave is unpin, and returns what is to be closed, if anything is.
func (f *File) leave() (old vfs.File) {
	p := f.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.pins--; f.pins > 0 {
		return nil
	}
	p.reading--
	f.joinIdle()
	if f.stale {
		old = f.drop()
	}
	p.released.Broadcast()
	return old
}

// drop takes an idle file out of the pool, and returns what is to be closed. The caller has the
// lock.
func (f *File) drop() vfs.File {
	old := f.under
	f.leaveIdle()
	f.under, f.stale = nil, false
	f.pool.open--
	return old
}

// Renew says that the name is that of another file now, with the same content: reads that begin
// when nobody reads the old one any more open that.
func (f *File) Renew() {
	p := f.pool
	p.mu.Lock()
	var old vfs.File
	switch {
	case f.under != nil && f.pins == 0:
		old = f.drop()
		p.released.Broadcast()
	case f.under != nil || f.opening:
		f.stale = true
	}
	p.mu.Unlock()
	if old != nil {
		closeRead(old)
	}
}

// ReadAt is vfs.ReadFile.ReadAt.
func (f *File) ReadAt(b []byte, offset int64) (int, error) {
	under, err := f.pin()
	if err != nil {
		return 0, err
	}
	defer f.unpin()
	return under.ReadAt(b, offset)
}

var _ vfs.DescriptorFile = (*File)(nil)

// WithDescriptor is vfs.DescriptorFile.WithDescriptor. It gives no descriptor of a file
// that would have to be opened, or while others wait for a place: who has files pinned
// and waits for more may wait for himself.
func (f *File) WithDescriptor(read func(fd int)) bool {
	under, ok := f.pinOpen()
	if !ok {
		return false
	}
	defer f.unpin()
	file, ok := under.(vfs.DescriptorFile)
	return ok && file.WithDescriptor(read)
}

// pinOpen pins the file if that needs no waiting.
func (f *File) pinOpen() (under vfs.File, ok bool) {
	p := f.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.closed || f.under == nil || p.waiting > 0 {
		return nil, false
	}
	f.take()
	return f.under, true
}

// Size is vfs.ReadFile.Size.
func (f *File) Size() (int64, error) {
	under, err := f.pin()
	if err != nil {
		return 0, err
	}
	defer f.unpin()
	return under.Size()
}

// Close closes the file, if it is open. Reads fail from then on.
func (f *File) Close() error {
	p := f.pool
	p.mu.Lock()
	under := f.under
	f.under, f.closed = nil, true
	if under != nil {
		p.open--
		f.leaveIdle()
		p.released.Broadcast()
	}
	p.mu.Unlock()
	if under == nil {
		return nil
	}
	return under.Close()
}
