package aio

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func silent() *event.Sink { return event.NewSink(slog.New(slog.DiscardHandler), nil) }

// newReader returns a reader that has rings, or skips the test where there are none.
func newReader(t testing.TB) *Reader {
	t.Helper()
	r := NewReader(false, silent())
	t.Cleanup(r.Close)
	if err := r.Stats().Refused; err != nil {
		t.Skipf("no io_uring: %v", err)
	}
	return r
}

// ways are the readers that tests have to go through.
func ways(t *testing.T, test func(t *testing.T, r *Reader)) {
	t.Run("goroutines", func(t *testing.T) { test(t, nil) })
	t.Run("disabled", func(t *testing.T) {
		r := NewReader(true, silent())
		defer r.Close()
		test(t, r)
		if s := r.Stats(); s.ByRing != 0 || s.Refused == nil {
			t.Errorf("%+v", s)
		}
	})
	t.Run("ring", func(t *testing.T) { test(t, newReader(t)) })
}

// newFile makes a file of random bytes.
func newFile(t testing.TB, fsys vfs.FS, name string, sizeBytes int) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(uint64(len(name)), uint64(sizeBytes)))
	content := make([]byte, sizeBytes)
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// randomRead returns a read inside of a file of sizeBytes, over its end, or behind it.
func randomRead(rng *rand.Rand, f io.ReaderAt, sizeBytes int64) Read {
	r := Read{File: f, P: make([]byte, rng.IntN(3)*rng.IntN(5000)), Offset: rng.Int64N(sizeBytes + 3)}
	switch rng.IntN(8) {
	case 0:
		r.Offset = sizeBytes - int64(rng.IntN(100))
	case 1:
		r.P = make([]byte, 200_000)
	case 2:
		r.Offset = -1
	}
	r.N, r.Err = rng.IntN(10), io.ErrNoProgress // of an earlier use
	return r
}

// wantReadAt compares what came of a read with what ReadAt returns.
func wantReadAt(t *testing.T, i int, r *Read) {
	t.Helper()
	p := make([]byte, len(r.P))
	n, err := r.File.ReadAt(p, r.Offset)
	if r.N != n || string(r.P[:r.N]) != string(p[:n]) || fmt.Sprint(r.Err) != fmt.Sprint(err) ||
		errors.Is(r.Err, io.EOF) != errors.Is(err, io.EOF) {
		t.Errorf("read %d of %d bytes at %d: %d bytes, %v; ReadAt has %d, %v", i, len(p), r.Offset, r.N, r.Err, n, err)
	}
}

// Whatever is read, how much at once, and from which files: each read has the outcome
// that ReadAt has.
func TestReadIsReadAt(t *testing.T) {
	const sizeBytes, seed = 100_000, 1
	ways(t, func(t *testing.T, r *Reader) {
		rng := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		held, err := vfs.Hold(vfs.OS, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		files := []vfs.File{
			newFile(t, vfs.OS, filepath.Join(dir, "a"), sizeBytes),
			newFile(t, held, filepath.Join(dir, "b"), sizeBytes),
			newFile(t, memfs.New(), "c", sizeBytes),
			newFile(t, vfs.OS, filepath.Join(dir, "gone"), sizeBytes),
		}
		if err := files[3].Close(); err != nil {
			t.Fatal(err)
		}
		r.Read(nil)
		for _, n := range []int{1, 2, 3, 31, 32, 33, 63, 64, 65, 129, 300} {
			for range 3 {
				reads := make([]Read, n)
				for i := range reads {
					reads[i] = randomRead(rng, files[rng.IntN(len(files))], sizeBytes)
				}
				r.Read(reads)
				for i := range reads {
					wantReadAt(t, i, &reads[i])
				}
			}
		}
	})
}

// A reader says which way the reads went, and a file that has no descriptor goes the
// other one.
func TestStats(t *testing.T) {
	r := newReader(t)
	reads := make([]Read, 10)
	onDisk := newFile(t, vfs.OS, filepath.Join(t.TempDir(), "a"), 1000)
	inMemory := newFile(t, memfs.New(), "a", 1000)
	for i := range reads {
		reads[i] = Read{File: onDisk, P: make([]byte, 100), Offset: int64(i)}
	}
	reads[3].File, reads[9].File = inMemory, inMemory
	reads[5].Offset = 950 // not all of it
	r.Read(reads)
	if s := r.Stats(); s.ByRing != 7 || s.ByPread != 3 || s.Refused != nil {
		t.Errorf("%+v", s)
	}
}

// More users than there are rings, of one file and of their own; some of which they close
// meanwhile.
func TestConcurrentUsers(t *testing.T) {
	const sizeBytes = 50_000
	ways(t, func(t *testing.T, r *Reader) {
		dir := t.TempDir()
		shared := newFile(t, vfs.OS, filepath.Join(dir, "shared"), sizeBytes)
		var users sync.WaitGroup
		for user := range 24 {
			own := newFile(t, vfs.OS, filepath.Join(dir, fmt.Sprint(user)), sizeBytes)
			users.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(user), 1))
				for range 20 {
					reads := make([]Read, rng.IntN(40))
					for i := range reads {
						reads[i] = randomRead(rng, []vfs.File{shared, own}[rng.IntN(2)], sizeBytes)
					}
					r.Read(reads)
					for i := range reads {
						wantReadAt(t, i, &reads[i])
					}
				}
				closed := make(chan error, 1)
				go func() { closed <- own.Close() }()
				reads := make([]Read, 40)
				for i := range reads {
					reads[i] = Read{File: own, P: make([]byte, 1000), Offset: int64(i)}
				}
				r.Read(reads)
				for i := range reads {
					if q := &reads[i]; q.Err == nil && q.N != len(q.P) {
						t.Errorf("%d bytes without an error", q.N)
					}
				}
				if err := <-closed; err != nil {
					t.Error(err)
				}
			})
		}
		users.Wait()
	})
}

// Who finds no ring free does not wait for one.
func TestNoRingFree(t *testing.T) {
	r := newReader(t)
	f := newFile(t, vfs.OS, filepath.Join(t.TempDir(), "a"), 1000)
	var held []*batch
	for range cap(r.free) {
		held = append(held, <-r.free)
	}
	reads := []Read{{File: f, P: make([]byte, 10)}, {File: f, P: make([]byte, 10), Offset: 10}}
	r.Read(reads)
	for i := range reads {
		wantReadAt(t, i, &reads[i])
	}
	if s := r.Stats(); s.ByPread != 2 || s.Refused != nil {
		t.Errorf("%+v", s)
	}
	for _, b := range held {
		r.free <- b
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
func TestGoroutinesReadSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var others sync.WaitGroup
		reads := make([]Read, goroutines)
		others.Add(len(reads))
		for i := range reads {
			reads[i] = Read{File: meeting{others: &others}, P: make([]byte, 1)}
		}
		(*Reader)(nil).Read(reads)
	})
}

// Who has no rings says why, once, unless he was told to have none.
func TestRefusalIsTold(t *testing.T) {
	var log strings.Builder
	sink := event.NewSink(slog.New(slog.NewTextHandler(&log, nil)), nil)
	r := NewReader(true, sink)
	defer r.Close()
	if log.Len() > 0 {
		t.Errorf("switched off: %s", &log)
	}
	r = &Reader{events: sink}
	r.refuse(errors.New("not here"))
	r.refuse(errors.New("not there"))
	if strings.Count(log.String(), "not here") != 1 || strings.Contains(log.String(), "there") ||
		r.Stats().Refused.Error() != "not here" {
		t.Errorf("%v: %s", r.Stats().Refused, &log)
	}
}
