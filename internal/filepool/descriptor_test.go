package filepool

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/aio"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/vfs"
)

// described is a file system whose files say that they have descriptors.
type described struct{ *process }

type describedFile struct{ vfs.File }

func (d described) Open(name string) (vfs.File, error) {
	f, err := d.process.Open(name)
	return describedFile{f}, err
}

func (describedFile) WithDescriptor(read func(fd int)) bool {
	read(7)
	return true
}

// A file whose descriptor is in use is not closed for another one; one that is not open
// has none, and none is given out while somebody waits for a place.
func TestDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(described{newProcess(t, 3, 1000)}, 1)
		files := openAll(t, p, 2)
		if files[0].WithDescriptor(func(int) { t.Error("called") }) {
			t.Error("a file that is not open has a descriptor")
		}
		var waited sync.WaitGroup
		called := false
		ok := files[1].WithDescriptor(func(fd int) {
			called = fd == 7
			waited.Go(func() {
				if err := read(files[0], 0); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			if files[1].under == nil {
				t.Error("the file was closed")
			}
			if files[1].WithDescriptor(func(int) { t.Error("called") }) {
				t.Error("a descriptor while somebody waits")
			}
		})
		if !ok || !called {
			t.Error("an open file has no descriptor")
		}
		waited.Wait()
		if err := files[0].Close(); err != nil {
			t.Error(err)
		}
		if files[0].WithDescriptor(func(int) { t.Error("called") }) {
			t.Error("a closed file has a descriptor")
		}
	})
	p := New(newProcess(t, 1, 1000), 1)
	if openAll(t, p, 1)[0].WithDescriptor(func(int) { t.Error("called") }) {
		t.Error("a file in memory has a descriptor")
	}
	if p.reading != 0 {
		t.Error("it counts as being read")
	}
}

// Batches over more files than may be open come to their end, whichever of them are open
// and however many there are at once.
func TestBatchesOverManyFiles(t *testing.T) {
	const n = 40
	dir := t.TempDir()
	for i := range n {
		f, err := vfs.OS.Create(filepath.Join(dir, name(i)))
		must(t, err)
		_, err = f.WriteAt([]byte{byte(i)}, 0)
		must(t, err)
		must(t, f.Close())
	}
	for _, limit := range []int{1, 4, 2 * n} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			io := aio.NewReader(false, event.NewSink(slog.New(slog.DiscardHandler), nil))
			defer io.Close()
			p := New(vfs.OS, limit)
			files := make([]*File, n)
			for i := range files {
				f, err := p.Open(filepath.Join(dir, name(i)), nil)
				must(t, err)
				files[i] = f
			}
			var users sync.WaitGroup
			for user := range 4 * runtime.GOMAXPROCS(0) {
				users.Go(func() {
					for round := range 30 {
						reads := make([]aio.Read, n)
						for i := range reads {
							reads[i] = aio.Read{File: files[(i+user+round)%n], P: make([]byte, 1)}
						}
						io.Read(reads)
						for i := range reads {
							if want := byte((i + user + round) % n); reads[i].Err != nil || reads[i].P[0] != want {
								t.Errorf("%d, %v, not %d", reads[i].P[0], reads[i].Err, want)
							}
						}
					}
				})
			}
			users.Wait()
			if s := io.Stats(); s.Refused == nil && limit > n && s.ByRing == 0 {
				t.Error("no read went by io_uring")
			}
			for _, f := range files {
				must(t, f.Close())
			}
		})
	}
}
