package memfs_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const sectorBytes = 512

// fataler is what testing.TB and property.T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes a sector full of each letter.
func fill(letters string) []byte {
	var b []byte
	for _, c := range []byte(letters) {
		b = append(b, bytes.Repeat([]byte{c}, sectorBytes)...)
	}
	return b
}

// describe writes data as one sign a sector: its letter, "." for zeroes, "?"
// for a mixture; an incomplete last sector is followed by its length.
func describe(data []byte) string {
	var b strings.Builder
	for sector := range slices.Chunk(data, sectorBytes) {
		switch sign := sector[0]; {
		case len(bytes.Trim(sector, string(sign))) > 0:
			b.WriteByte('?')
		case sign == 0:
			b.WriteByte('.')
		default:
			b.WriteByte(sign)
		}
		if len(sector) < sectorBytes {
			fmt.Fprintf(&b, "/%d", len(sector))
		}
	}
	return b.String()
}

// describeFS writes a whole file system as "name=content" in order; directories
// end in a slash.
func describeFS(t fataler, fsys vfs.FS) string {
	t.Helper()
	var parts []string
	var walk func(dir string)
	walk = func(dir string) {
		names, err := fsys.List(dir)
		must(t, err)
		for _, name := range names {
			full := path.Join(dir, name)
			info, err := fsys.Stat(full)
			must(t, err)
			if info.IsDir() {
				parts = append(parts, full[1:]+"/")
				walk(full)
				continue
			}
			parts = append(parts, full[1:]+"="+describe(read(t, fsys, full)))
		}
	}
	walk("/")
	return strings.Join(parts, " ")
}

func read(t fataler, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	size, err := f.Size()
	must(t, err)
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && err != io.EOF || int64(n) != size {
		t.Fatalf("read %d of %d bytes: %v", n, size, err)
	}
	return data
}

// allStates returns the states that a crash may leave, sorted, each once.
func allStates(t fataler, fsys *memfs.FS) []string {
	t.Helper()
	states, complete := fsys.CrashStates(100_000)
	if !complete {
		t.Fatal("too many states to list")
	}
	var list []string
	for state := range states {
		list = append(list, describeFS(t, state))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// script runs one operation a word; the first failure ends the test.
//
//	new:f=AB  creates a file with two sectors    put:f@1=C  writes behind the first sector
//	cut:f=512 truncates                          grow:f=1024 preallocates
//	sync:f    sync data                          dir:d  syncs a directory
//	mk:d      makes directories                  mv:a,b  renames          rm:a  removes
//	ln:a,b links
func script(t fataler, fsys vfs.FS, words string) {
	t.Helper()
	for _, word := range strings.Fields(words) {
		if err := step(fsys, word); err != nil {
			t.Fatalf("%s: %v", word, err)
		}
	}
}

func step(fsys vfs.FS, word string) error {
	verb, rest, _ := strings.Cut(word, ":")
	name, arg, _ := strings.Cut(rest, "=")
	switch verb {
	case "dir":
		return fsys.SyncDir(name)
	case "mk":
		return fsys.MkdirAll(name)
	case "rm":
		return fsys.Remove(name)
	case "ln":
		from, to, _ := strings.Cut(name, ",")
		return fsys.Link(from, to)
	case "mv":
		from, to, _ := strings.Cut(name, ",")
		return fsys.Rename(from, to)
	}
	name, at, _ := strings.Cut(name, "@")
	open := fsys.OpenReadWrite
	if verb == "new" {
		open = fsys.Create
	}
	f, err := open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var number int64
	_, _ = fmt.Sscan(arg, &number)
	switch verb {
	case "cut":
		return f.Truncate(number)
	case "grow":
		return f.Preallocate(number)
	case "sync":
		return f.SyncData()
	}
	_, _ = fmt.Sscan(at, &number)
	_, err = f.WriteAt(fill(arg), number*sectorBytes)
	return err
}

func expect(t testing.TB, fsys *memfs.FS, want string) {
	t.Helper()
	if got := describeFS(t, fsys); got != want {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}
