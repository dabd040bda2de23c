// Package objectdir keeps objects, which are written as a whole and replaced as a whole, in a directory: an
// object is a file, which is written under another name first. It is what a target of backups is
// where that is a directory.
package objectdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/uuid"
	"github.com/lightningdb/lightning/vfs"
)

// New returns the objects in a directory, which is made with the first one.
func New(fsys vfs.FS, path string) *Dir {
	return &Dir{fs: fsys, path: filepath.Clean(path), made: map[string]bool{}}
}

// Dir is a directory of objects. Several goroutines may use it at once, and several processes, if what one has
// written is seen by the others.
type Dir struct {
	fs   vfs.FS
	path string

	mu   sync.Mutex
	made map[string]bool // directories that are there, durably
}

var ids uuid.Generator

// temporary is what the names of files begin with that are being written.
const temporary = ".new-"

func (d *Dir) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// Put stores an object, durably, and replaces one of that name.
func (d *Dir) Put(ctx context.Context, name string, data []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	path := d.file(name)
	if err := d.make(filepath.Dir(path)); err != nil {
		return err
	}
	draft := filepath.Join(filepath.Dir(path), temporary+ids.New().String())
	if err := d.write(draft, data); err != nil {
		_ = d.fs.Remove(draft) // the error that is reported came first
		return err
	}
	if err := d.fs.Rename(draft, path); err != nil {
		_ = d.fs.Remove(draft)
		return err
	}
	return d.fs.SyncDir(filepath.Dir(path))
}

func (d *Dir) write(path string, data []byte) (err error) {
	f, err := d.fs.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}

// make makes a directory, once.
func (d *Dir) make(path string) error {
	d.mu.Lock()
	known := d.made[path]
	d.mu.Unlock()
	if known {
		return nil
	}
	if err := directory.Create(d.fs, path); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made[path] = true
	return nil
}

// Get returns a reader of an object.
func (d *Dir) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f, err := d.fs.Open(d.file(name))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, 0, size), f}, nil
}

// Walk passes the objects to yield whose names begin with prefix, which is empty or ends with a slash. It ends with the
// first error, or when yield returns false.
func (d *Dir) Walk(ctx context.Context, prefix string, yield Yield) {
	d.walk(ctx, strings.TrimSuffix(prefix, "/"), yield)
}

// Yield takes an object, or an error, and reports whether more are wanted.
type Yield func(name string, sizeBytes int64, err error) bool

// walk yields the files under a directory, and reports whether more are wanted.
func (d *Dir) walk(ctx context.Context, under string, yield Yield) bool {
	if ctx.Err() != nil {
		return yield("", 0, context.Cause(ctx))
	}
	names, err := d.fs.List(d.file(under))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case err != nil:
		yield("", 0, err)
		return false
	}
	for _, base := range names {
		name := base
		if under != "" {
			name = under + "/" + base
		}
		if strings.HasPrefix(base, temporary) || base == "lost+found" {
			continue
		}
		info, err := d.fs.Stat(d.file(name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // somebody has deleted it
		case err != nil:
			yield("", 0, err)
			return false
		case info.IsDir():
			if !d.walk(ctx, name, yield) {
				return false
			}
		case !yield(name, info.Size(), nil):
			return false
		}
	}
	return true
}

// Delete removes an object, if it is there.
func (d *Dir) Delete(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := d.fs.Remove(d.file(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// Tidy removes what writers have left that did not come to their end. Nobody writes meanwhile.
func (d *Dir) Tidy(ctx context.Context) error { return d.tidy(ctx, d.path) }

func (d *Dir) tidy(ctx context.Context, path string) error {
	names, err := d.fs.List(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		full := filepath.Join(path, name)
		info, err := d.fs.Stat(full)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.IsDir():
			err = d.tidy(ctx, full)
		case strings.HasPrefix(name, temporary):
			err = d.fs.Remove(full)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
