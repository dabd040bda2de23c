package aio

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/vfs"
)

// benchFile is a file whose pages are read in an order in which no read-ahead helps.
type benchFile struct {
	f       vfs.File
	name    string
	pages   int64
	visited int64
}

const pageBytes = 4096

func newBenchFile(b *testing.B, sizeBytes int) *benchFile {
	name := filepath.Join(b.TempDir(), "a")
	f := newFile(b, vfs.OS, name, sizeBytes)
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return &benchFile{f: f, name: name, pages: int64(sizeBytes / pageBytes)}
}

// forget has the system drop what it has of the file in memory.
func (f *benchFile) forget(b *testing.B) {
	file, err := os.Open(f.name)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		b.Fatal(err)
	}
}

// next returns the offset of a page that was not read yet, until all were.
func (f *benchFile) next() int64 {
	const stride = 10_007 // a prime, so that all pages come
	f.visited++
	return f.visited * stride % f.pages * pageBytes
}

// BenchmarkRead reads pages of a file that is in the page cache (warm) or is not, one
// batch after the other. Its figures for one read are those of ReadAt.
func BenchmarkRead(b *testing.B) {
	file := newBenchFile(b, 256<<20)
	r := newReader(b)
	for _, cold := range []bool{true, false} {
		for _, n := range []int{1, 8, 32, 128} {
			for _, way := range []struct {
				name string
				r    *Reader
			}{{"goroutines", nil}, {"ring", r}} {
				name := fmt.Sprintf("cold=%v/n=%d/%s", cold, n, way.name)
				b.Run(name, func(b *testing.B) { benchmarkRead(b, file, way.r, n, cold) })
			}
		}
	}
}

func benchmarkRead(b *testing.B, file *benchFile, r *Reader, n int, cold bool) {
	reads := make([]Read, n)
	for i := range reads {
		reads[i] = Read{File: file.f, P: make([]byte, pageBytes)}
	}
	if !cold {
		whole := make([]byte, 1<<20)
		for offset := int64(0); offset < file.pages*pageBytes; offset += int64(len(whole)) {
			if _, err := file.f.ReadAt(whole, offset); err != nil {
				b.Fatal(err)
			}
		}
	}
	file.visited = file.pages
	b.ReportAllocs()
	for b.Loop() {
		if cold && file.visited+int64(n) > file.pages {
			b.StopTimer()
			file.forget(b)
			file.visited = 0
			b.StartTimer()
		}
		for i := range reads {
			reads[i].Offset = file.next()
		}
		r.Read(reads)
		for i := range reads {
			if reads[i].Err != nil {
				b.Fatal(reads[i].Err)
			}
		}
	}
}
