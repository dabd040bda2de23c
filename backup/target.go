package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"

	"github.com/lightningdb/lightning/internal/base"
)

// Target is where backups are kept: a directory (see Dir), or a bucket of an object store.
// An object has a name, as "chunks/3f/3f9a…", in which a slash separates parts of letters,
// digits, full stops and dashes, and at most 8 MiB but for the manifest of a large database.
// Objects are never changed, apart from leases, which are replaced as a whole.
//
// All methods may be called by several goroutines at once. What one call has done the
// next one must see, by whomever it is made.
type Target interface {
	// Put stores an object, and replaces one of that name: as a whole or not at all, whatever
	// happens meanwhile. When it returns, the object is on stable storage. data belongs to the
	// caller.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns a reader of an object, or an error that matches fs.ErrNotExist.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List yields the objects whose names begin with prefix, which is empty or ends with a
	// slash, in any order. It ends with the first error.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, name string) error
}

// Object describes an object of a Target.
type Object struct {
	Name      string
	SizeBytes int64
}

// The names of objects.
const (
	formatName    = "FORMAT" // tells what the target is
	chunkPrefix   = "chunks/"
	backupPrefix  = "backups/"
	leasePrefix   = "leases/"
	formatContent = "lightning backups 1\n"
)

// The errors of the package, for errors.Is. Damage to a target matches
// lightning.ErrCorrupted.
var (
	// ErrNotFound says that a target has no such backup, or none at all.
	ErrNotFound = errors.New("no such backup")
	// ErrNotBackups says that a target holds something else, or nothing.
	ErrNotBackups = errors.New("not a target of backups")
	// ErrTargetBusy says that backups are just being deleted, or made while they were to be.
	ErrTargetBusy = errors.New("target is busy")
	// ErrLeaseLost says that something took so long, or the target could not be reached for so
	// long, that others may take it for dead: it ends rather than disturb them.
	ErrLeaseLost = errors.New("lease of the target is lost")
	// ErrOption says that an option has a value that it cannot have.
	ErrOption = errors.New("impossible option")
)

var errNilContext = fmt.Errorf("%w: the context is nil", ErrOption)

// damaged reports damage to an object.
func damaged(name string, err error) error {
	return &base.CorruptionError{File: name, Offset: -1, Kind: "backup object", Err: err}
}

// fetch returns an object of a known name as a whole.
func fetch(ctx context.Context, t Target, name string, maxBytes int64) ([]byte, error) {
	r, err := t.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > maxBytes {
		return nil, damaged(name, fmt.Errorf("it is larger than %d bytes", maxBytes))
	}
	return data, nil
}

// checkFormat makes sure that a target is one of backups. One in which nothing is becomes
// one, if that is wanted.
func checkFormat(ctx context.Context, t Target, create bool) error {
	if t == nil {
		return fmt.Errorf("%w: the target is nil", ErrOption)
	}
	data, err := fetch(ctx, t, formatName, int64(len(formatContent)))
	switch {
	case err == nil && string(data) == formatContent:
		return nil
	case err == nil:
		return fmt.Errorf("%w that this program knows: its format is %q", ErrNotBackups, strings.TrimSpace(string(data)))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for o, err := range t.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list the target: %w", err)
		}
		return fmt.Errorf("%w: it holds %q, but no backups", ErrNotBackups, path.Base(o.Name))
	}
	if !create {
		return fmt.Errorf("%w: there is nothing in it", ErrNotBackups)
	}
	if err := t.Put(ctx, formatName, []byte(formatContent)); err != nil {
		return fmt.Errorf("write %s: %w", formatName, err)
	}
	return nil
}
