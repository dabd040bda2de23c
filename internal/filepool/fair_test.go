package filepool

import (
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
		t.Logf("created before the other was opened: %v", done.Load())
		close(hold)
		synctest.Wait()
	})
}

// Two goroutines that read one file without a pause do not keep a third from another
// file for ever.
func TestOverlappingReadsStarveNobody(t *testing.T) {
	process := newProcess(t, 2, 1000)
	process.before = func() { time.Sleep(100 * time.Microsecond) } // a disk
	p := New(process, 1)
	files := openAll(t, p, 2)
	var stop atomic.Bool
	var reads atomic.Int64
	for range 16 {
		go func() {
			for !stop.Load() {
				_ = read(files[0], 0)
				reads.Add(1)
			}
		}()
	}
	time.Sleep(10 * time.Millisecond)
	got := make(chan error, 1)
	start := time.Now()
	go func() { got <- read(files[1], 1) }()
	select {
	case err := <-got:
		t.Logf("waited %v, %d reads, %v", time.Since(start), reads.Load(), err)
	case <-time.After(5 * time.Second):
		t.Errorf("still waiting after %d reads of the other", reads.Load())
	}
	stop.Store(true)
	time.Sleep(50 * time.Millisecond)
}

// A moment in which others had all files is not remembered for ever.
func TestLimitRecovers(t *testing.T) {
	process := newProcess(t, 50, 100)
	p := New(process, 50)
	files := openAll(t, p, 50)
	others := &FS{FS: process, Pool: p}
	process.limit.Store(0) // others take whatever is given up
	_, err := others.Create("x.wal")
	t.Logf("%v; limit %d", err, p.Limit())
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
