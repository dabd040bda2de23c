package filepool

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process is a process that may have few files open, as the system counts them.
type process struct {
	vfs.FS
	open, most, limit atomic.Int64
	opens             atomic.Int64 // of files that were there
	before            func()       // a read; nil: nothing
}

// newProcess has n files with their number in each.
func newProcess(t testing.TB, n, limit int) *process {
	t.Helper()
	p := &process{FS: memfs.New()}
	for i := range n {
		f, err := p.FS.Create(name(i))
		must(t, err)
		_, err = f.WriteAt([]byte{byte(i)}, 0)
		must(t, errors.Join(err, f.Close()))
	}
	p.limit.Store(int64(limit))
	return p
}

func name(i int) string { return fmt.Sprintf("%03d.sst", i) }

// count opens a file if the process may.
func (p *process) count(open func() (vfs.File, error)) (vfs.File, error) {
	if n := p.open.Add(1); n > p.limit.Load() {
		p.open.Add(-1)
		return nil, fmt.Errorf("%w: %w", vfs.ErrTooManyFiles, syscall.EMFILE)
	} else if n > p.most.Load() {
		p.most.Store(n)
	}
	f, err := open()
	if err != nil {
		p.open.Add(-1)
		return nil, err
	}
	p.opens.Add(1)
	return &counted{File: f, process: p}, nil
}

func (p *process) Open(name string) (vfs.File, error) {
	return p.count(func() (vfs.File, error) { return p.FS.Open(name) })
}

func (p *process) Create(name string) (vfs.File, error) {
	return p.count(func() (vfs.File, error) { return p.FS.Create(name) })
}

type counted struct {
	vfs.File
	process *process
}

func (c *counted) ReadAt(b []byte, offset int64) (int, error) {
	if c.process.before != nil {
		c.process.before()
	}
	return c.File.ReadAt(b, offset)
}

func (c *counted) Close() error {
	c.process.open.Add(-1)
	return c.File.Close()
}

func openAll(t testing.TB, p *Pool, n int) []*File {
	t.Helper()
	files := make([]*File, n)
	for i := range files {
		f, err := p.Open(name(i), nil)
		must(t, err)
		files[i] = f
	}
	return files
}

func read(f *File, want int) error {
	var b [1]byte
	if n, err := f.ReadAt(b[:], 0); n != 1 || err != nil || int(b[0]) != want {
		return fmt.Errorf("file %d: read %d of %d bytes: %w", want, b[0], n, err)
	}
	return nil
}

// The files that were read last are those that are open.
func TestLeastRecentlyReadIsClosed(t *testing.T) {
	process := newProcess(t, 10, 1000)
	p := New(process, 3)
	files := openAll(t, p, 10)
	if p.Count() != 3 || process.open.Load() != 3 {
		t.Fatalf("%d files are open", p.Count())
	}
	for _, i := range []int{7, 8, 9} {
		must(t, read(files[i], i))
	}
	if process.opens.Load() != 10 {
		t.Errorf("%d opens of 10 files, the last of which are open", process.opens.Load())
	}
	must(t, read(files[7], 7))
	must(t, read(files[0], 0)) // closes 8
	must(t, read(files[7], 7))
	must(t, read(files[9], 9))
	if process.opens.Load() != 11 {
		t.Errorf("%d opens", process.opens.Load())
	}
	must(t, read(files[8], 8))
	if process.opens.Load() != 12 {
		t.Errorf("%d opens", process.opens.Load())
	}
	if size, err := files[3].Size(); size != 1 || err != nil {
		t.Errorf("%d bytes, %v", size, err)
	}
	for i, f := range files {
		must(t, f.Close())
		if err := read(f, i); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("read of a closed file: %v", err)
		}
	}
	if p.Count() != 0 || process.open.Load() != 0 {
		t.Errorf("%d files are open after all were closed", p.Count())
	}
}

// Many goroutines read more files than may be open: none fails, whatever the limit
// of the process, and no more are open than the pool says.
func TestManyReaders(t *testing.T) {
	for _, limits := range []struct{ pool, process int }{{4, 1000}, {100, 6}, {1, 1}, {64, 64}} {
		process := newProcess(t, 50, limits.process)
		p := New(process, limits.pool)
		files := openAll(t, p, 50)
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 1))
				for range 500 {
					i := rng.IntN(len(files))
					if err := read(files[i], i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		want := min(limits.pool, limits.process)
		if n := int(process.most.Load()); n > want || p.Count() > want ||
			p.Limit() > min(want+1, limits.pool) { // one more is tried now and then
			t.Errorf("%d of a pool of %d and a process of %d files were open; now %d, limit %d",
				n, limits.pool, limits.process, p.Count(), p.Limit())
		}
		for _, f := range files {
			must(t, f.Close())
		}
		if process.open.Load() != 0 {
			t.Errorf("%d files are still open", process.open.Load())
		}
	}
}

// While all that may be open are being read, another read waits.
func TestReadWaitsForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		process := newProcess(t, 3, 1000)
		p := New(process, 2)
		files := openAll(t, p, 3)
		hold := make(chan struct{})
		process.before = func() { <-hold }
		var done atomic.Int64
		for i, f := range files {
			go func() {
				if err := read(f, i); err != nil {
					t.Error(err)
				}
				done.Add(1)
			}()
			synctest.Wait()
		}
		if n := process.open.Load(); n != 2 || done.Load() != 0 {
			t.Errorf("%d files are open, %d reads are done", n, done.Load())
		}
		close(hold)
		synctest.Wait()
		if done.Load() != 3 {
			t.Errorf("%d reads are done", done.Load())
		}
	})
}

// What others open takes the places of tables where the process has no more, and
// waits for one where all are being read. An error of another kind ends at once.
func TestOthersComeFirst(t *testing.T) {
	process := newProcess(t, 8, 8)
	p := New(process, 100)
	files := openAll(t, p, 8)
	fsys := &FS{FS: process, Pool: p}
	for i := range 5 {
		f, err := fsys.Create(fmt.Sprint(i, ".wal"))
		must(t, err)
		defer f.Close()
	}
	if p.Count() != 3 || p.Limit() > 3 {
		t.Errorf("%d tables are open of %d beside 5 others", p.Count(), p.Limit())
	}
	for i, f := range files {
		must(t, read(f, i))
	}
	if _, err := fsys.Open("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	process.limit.Store(0)
	for p.makeRoom(0) {
	}
	if err := read(files[0], 0); !errors.Is(err, vfs.ErrTooManyFiles) {
		t.Errorf("with no file to be had: %v", err)
	}
	if _, err := fsys.Create("late.wal"); !errors.Is(err, vfs.ErrTooManyFiles) {
		t.Errorf("with no file to be had: %v", err)
	}
	process.limit.Store(100)
	must(t, read(files[0], 0))
}

// A file that cannot be opened again is the business of that read only.
func TestReopenThatFails(t *testing.T) {
	faulty := faultfs.New(newProcess(t, 2, 100))
	p := New(faulty, 1)
	files := openAll(t, p, 2)
	faulty.Add(faultfs.Rule{Kinds: vfs.OpOpen, Name: name(0), Err: syscall.EACCES})
	if err := read(files[0], 0); !errors.Is(err, syscall.EACCES) {
		t.Errorf("got %v", err)
	}
	must(t, read(files[0], 0))
	must(t, read(files[1], 1))
	if p.Count() != 1 {
		t.Errorf("%d files are open", p.Count())
	}
}

func BenchmarkReadAt(b *testing.B) {
	p := New(newProcess(b, 1, 100), 4)
	f := openAll(b, p, 1)[0]
	var buf [1]byte
	for b.Loop() {
		if _, err := f.ReadAt(buf[:], 0); err != nil {
			b.Fatal(err)
		}
	}
}
