package vfs_test

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestReadBatch(t *testing.T) {
	vfs.ReadBatch(nil)
	fsys := memfs.New()
	files := []vfs.File{create(t, fsys, "a", "abcdefgh"), create(t, fsys, "b", "01234567")}
	gone := create(t, fsys, "c", "")
	must(t, gone.Close())
	reads := []vfs.Read{{File: gone, P: make([]byte, 1)}}
	for i := range 100 {
		reads = append(reads, vfs.Read{File: files[i%2], P: make([]byte, 3), Offset: int64(i % 8)})
	}
	vfs.ReadBatch(reads)
	if reads[0].Err == nil {
		t.Error("a closed file was read")
	}
	for i, r := range reads[1:] {
		want := []string{"abcdefgh", "01234567"}[i%2][i%8:]
		want = want[:min(3, len(want))]
		short := len(want) < 3
		if r.N != len(want) || string(r.P[:r.N]) != want || (r.Err != nil) != short || short && !errors.Is(r.Err, io.EOF) {
			t.Errorf("read %d: %q, %v, want %q", i, r.P[:r.N], r.Err, want)
		}
	}
}

// meeting is a file whose reads wait for one another.
type meeting struct {
	vfs.File
	others *sync.WaitGroup
}

func (m meeting) ReadAt(p []byte, _ int64) (int, error) {
	m.others.Done()
	m.others.Wait()
	return len(p), nil
}

// Reads that each wait for all others end only if they are under way together.
func TestReadBatchReadsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var others sync.WaitGroup
		reads := make([]vfs.Read, 32)
		others.Add(len(reads))
		for i := range reads {
			reads[i] = vfs.Read{File: meeting{others: &others}, P: make([]byte, 1)}
		}
		vfs.ReadBatch(reads)
	})
}
