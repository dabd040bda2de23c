package backup

import (
	"context"
	"iter"

	"github.com/lightningdb/lightning/internal/objectdir"
	"github.com/lightningdb/lightning/vfs"
)

// Dir returns a target that is a directory, on another disk if it is to be worth anything. It is
// made with the first backup. The file system may be one that several machines share, if what
// one has written is seen by the others.
func Dir(path string) Target { return DirOn(vfs.OS, path) }

// DirOn is Dir on a file system of the caller's.
func DirOn(fsys vfs.FS, path string) Target { return dirTarget{objectdir.New(fsys, path)} }

// dirTarget is a directory as a target.
type dirTarget struct{ *objectdir.Dir }

// List implements Target.
func (d dirTarget) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		d.Walk(ctx, prefix, func(name string, sizeBytes int64, err error) bool {
			return yield(Object{Name: name, SizeBytes: sizeBytes}, err)
		})
	}
}
