package memfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/property"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// pair runs each operation on memfs and on the file system of the machine and
// compares what comes back.
type pair struct {
	t       *property.T
	fsys    [2]vfs.FS
	dir     [2]string
	handles [][2]vfs.File
}

var (
	names   = []string{"a", "b", "d", "d/a", "d/b", "e", "e/a"}
	offsets = []int64{0, 1, 511, 512, 4095, 4096, 4097, 9000, 600_000}
	sizes   = []int64{0, 1, 512, 4095, 4096, 5000, 530_000}
)

// both runs do on the two file systems; either both succeed with the same
// result or both fail, and agree on whether something does or does not exist.
func both[T any](p *pair, what string, do func(i int) (T, error)) ([2]T, bool) {
	var got [2]T
	var errs [2]error
	for i := range 2 {
		got[i], errs[i] = do(i)
	}
	same := (errs[0] == nil) == (errs[1] == nil)
	for _, target := range []error{fs.ErrNotExist, fs.ErrClosed, io.EOF} {
		same = same && errors.Is(errs[0], target) == errors.Is(errs[1], target)
	}
	if !same {
		p.t.Fatalf("%s: memfs says %v, the machine says %v", what, errs[0], errs[1])
	}
	return got, errs[0] == nil
}

func (p *pair) name(label string) (string, func(i int) string) {
	name := property.SampledFrom(names).Draw(p.t, label)
	return name, func(i int) string { return filepath.Join(p.dir[i], name) }
}

func (p *pair) open() {
	name, at := p.name("file")
	how := property.IntRange(0, 2).Draw(p.t, "how")
	files, ok := both(p, fmt.Sprint("open ", how, name), func(i int) (vfs.File, error) {
		open := []func(string) (vfs.File, error){
			p.fsys[i].Create, p.fsys[i].Open, p.fsys[i].OpenReadWrite,
		}[how]
		return open(at(i))
	})
	if ok {
		p.handles = append(p.handles, files)
	}
}

func (p *pair) namespace() {
	name, at := p.name("name")
	to, toAt := p.name("to")
	how := property.IntRange(0, 3).Draw(p.t, "how")
	both(p, fmt.Sprint("namespace ", how, name, to), func(i int) (any, error) {
		switch how {
		case 0:
			return nil, p.fsys[i].Remove(at(i))
		case 1:
			return nil, p.fsys[i].MkdirAll(at(i))
		case 2:
			return nil, p.fsys[i].Link(at(i), toAt(i))
		}
		return nil, p.fsys[i].Rename(at(i), toAt(i))
	})
}

func (p *pair) list() {
	name, at := p.name("dir")
	lists, _ := both(p, "list "+name, func(i int) ([]string, error) {
		return p.fsys[i].List(at(i))
	})
	if !slices.Equal(lists[0], lists[1]) {
		p.t.Fatalf("list %s: %q and %q", name, lists[0], lists[1])
	}
	infos, ok := both(p, "stat "+name, func(i int) (fs.FileInfo, error) {
		return p.fsys[i].Stat(at(i))
	})
	if ok && (infos[0].IsDir() != infos[1].IsDir() || infos[0].Name() != infos[1].Name() ||
		!infos[0].IsDir() && infos[0].Size() != infos[1].Size()) {
		p.t.Fatalf("stat %s: %v and %v", name, infos[0], infos[1])
	}
}

func (p *pair) file() {
	if len(p.handles) == 0 {
		return
	}
	h := property.SampledFrom(p.handles).Draw(p.t, "handle")
	off := property.SampledFrom(offsets).Draw(p.t, "offset")
	size := property.SampledFrom(sizes).Draw(p.t, "size")
	length := max(size, 1) // package os does nothing for an empty one, even when closed
	buf := [2][]byte{make([]byte, length), make([]byte, length)}
	data := bytes.Repeat([]byte{property.Byte().Draw(p.t, "byte")}, int(length))
	how := property.IntRange(0, 6).Draw(p.t, "how")
	counts, _ := both(p, fmt.Sprint("file ", how), func(i int) (int64, error) {
		switch how {
		case 0:
			n, err := h[i].WriteAt(data, off)
			return int64(n), err
		case 1:
			return 0, h[i].Truncate(size)
		case 2:
			return 0, h[i].Preallocate(length)
		case 3:
			return h[i].Size()
		case 4:
			return 0, h[i].Close()
		}
		n, err := h[i].ReadAt(buf[i], off)
		return int64(n), err
	})
	if counts[0] != counts[1] || !bytes.Equal(buf[0], buf[1]) {
		p.t.Fatalf("file %d: %d and %d, or the bytes differ", how, counts[0], counts[1])
	}
}

// TestAgainstMachine compares memfs with the operating system's file system.
func TestAgainstMachine(t *testing.T) {
	root := t.TempDir()
	runs := 0
	property.Check(t, func(rt *property.T) {
		runs++
		p := &pair{t: rt, fsys: [2]vfs.FS{memfs.New(), vfs.OS}}
		p.dir = [2]string{"/x", filepath.Join(root, fmt.Sprint(runs))}
		for i := range 2 {
			if err := p.fsys[i].MkdirAll(filepath.Join(p.dir[i], "d")); err != nil {
				rt.Fatal(err)
			}
		}
		defer func() {
			for _, h := range p.handles {
				_, _ = h[0].Close(), h[1].Close()
			}
		}()
		steps := []func(){p.open, p.namespace, p.list, p.file, p.file, p.file}
		for range property.Times(rt, 1, 60) {
			steps[property.IntRange(0, len(steps)-1).Draw(rt, "step")]()
		}
	})
}
