package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path/filepath"
	"strings"
	"sync"

	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/vfs"
)

// Dir returns a target that is a directory, on another disk if it is to be worth anything. It is
// made with the first backup. The file system may be one that several machines share, if what
// one has written is seen by the others.
func Dir(path string) Target { return DirOn(vfs.OS, path) }

// DirOn is Dir on a file system of the caller's.
func DirOn(fsys vfs.FS, path string) Target {
	return &dirTarget{fs: fsys, path: filepath.Clean(path), made: map[string]bool{}}
}

// dirTarget is a directory. An object is a file, which is written under another name first.
type dirTarget struct {
	fs   vfs.FS
	path string

	mu   sync.Mutex
	made map[string]bool // directories that are there, durably
}

// temporary is what the names of files begin with that are being written.
const temporary = ".new-"

func (d *dirTarget) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// Put implements Target.
func (d *dirTarget) Put(ctx context.Context, name string, data []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	path := d.file(name)
	if err := d.make(filepath.Dir(path)); err != nil {
		return err
	}
	draft := filepath.Join(filepath.Dir(path), temporary+newID())
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

func (d *dirTarget) write(path string, data []byte) (err error) {
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
func (d *dirTarget) make(path string) error {
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

// Get implements Target.
func (d *dirTarget) Get(ctx context.Context, name string) (io.ReadCloser, error) {
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

// List implements Target.
func (d *dirTarget) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		d.walk(ctx, strings.TrimSuffix(prefix, "/"), yield)
	}
}

// walk yields the files under a directory, and reports whether more are wanted.
func (d *dirTarget) walk(ctx context.Context, under string, yield func(Object, error) bool) bool {
	if ctx.Err() != nil {
		return yield(Object{}, context.Cause(ctx))
	}
	names, err := d.fs.List(d.file(under))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true
	case err != nil:
		yield(Object{}, err)
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
			yield(Object{}, err)
			return false
		case info.IsDir():
			if !d.walk(ctx, name, yield) {
				return false
			}
		case !yield(Object{Name: name, SizeBytes: info.Size()}, nil):
			return false
		}
	}
	return true
}

// Delete implements Target.
func (d *dirTarget) Delete(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := d.fs.Remove(d.file(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// tidy removes what writers have left that did not come to their end. Nobody writes meanwhile.
func (d *dirTarget) tidy(ctx context.Context) error { return d.tidyUnder(ctx, d.path) }

func (d *dirTarget) tidyUnder(ctx context.Context, path string) error {
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
			err = d.tidyUnder(ctx, full)
		case strings.HasPrefix(name, temporary):
			err = d.fs.Remove(full)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var _ interface {
	Target
	tidier
} = (*dirTarget)(nil)
