package filepool

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/vfs"
)

// slowOpen opens files, and comes back only when told.
type slowOpen struct {
	*process
	hold atomic.Pointer[chan struct{}]
}

func (s *slowOpen) Open(name string) (vfs.File, error) {
	f, err := s.process.Open(name)
	if c := s.hold.Load(); c != nil && err == nil {
		<-*c
	}
	return f, err
}

// A file that is just being opened for a read will be idle in a moment: whoever else
// needs it waits.
func TestOthersWaitForAFileThatIsBeingOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := &slowOpen{process: newProcess(t, 2, 1)}
		p := New(fsys, 1)
		files := openAll(t, p, 2)
		others := &FS{FS: fsys, Pool: p}
		hold := make(chan struct{})
		fsys.hold.Store(&hold)
		go func() {
			if err := read(files[0], 0); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		var done atomic.Bool
		go func() {
			f, err := others.Create("new.wal")
			if err != nil {
				t.Errorf("create: %v", err)
			} else {
				f.Close()
			}
			done.Store(true)
		}()
		synctest.Wait()
		if done.Load() {
			t.Error("a file was made while the process had no room for it")
		}
		close(hold)
		synctest.Wait()
		if !done.Load() {
			t.Error("the file was not made when there was room")
		}
	})
}

// Goroutines that read one file without a pause do not keep another from its own for
// ever.
func TestOverlappingReadsStarveNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		process := newProcess(t, 2, 1000)
		p := New(process, 1)
		files := openAll(t, p, 2)
		const disk = 100 * time.Microsecond // for each read
		process.before = func() { time.Sleep(disk) }
		var stop atomic.Bool
		var readers sync.WaitGroup
		for turn := range 16 {
			readers.Go(func() {
				time.Sleep(time.Duration(turn) * disk / 16) // so that they overlap
				for n := 0; n < 1000 && !stop.Load(); n++ {
					if err := read(files[0], 0); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		time.Sleep(10 * disk)
		start := time.Now()
		if err := read(files[1], 1); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited > 10*disk {
			t.Errorf("it waited for %v", waited)
		}
		stop.Store(true)
		readers.Wait()
	})
}

// A moment in which others had all files is not remembered for ever.
func TestLimitRecovers(t *testing.T) {
	process := newProcess(t, 50, 100)
	p := New(process, 50)
	files := openAll(t, p, 50)
	others := &FS{FS: process, Pool: p}
	process.limit.Store(0) // others take whatever is given up
	if _, err := others.Create("x.wal"); !errors.Is(err, vfs.ErrTooManyFiles) || p.Limit() > 1 {
		t.Errorf("with no file to be had: %v; the limit is %d", err, p.Limit())
	}
	process.limit.Store(1000)
	for i := range 2000 {
		must(t, read(files[i%50], i%50))
	}
	if p.Limit() < 20 {
		t.Errorf("the limit is %d of 50, long after", p.Limit())
	}
	for _, f := range files {
		must(t, f.Close())
	}
}
