// Package aio does many reads of files at once.
//
// A batch goes to the kernel as one call where Linux lets us: see ring_linux.go. Of what
// cannot go that way, or did not come to its end there, each read is done by a goroutine
// of a few, as if there were no other way: so a read has the outcome that ReadAt has,
// whichever way it took, and files that are no files of the operating system, as tests
// have them, are read as ever.
//
// # Invariants
//
//   - A ring belongs to one batch at a time, and nothing is under way in it when it goes
//     back: nobody ever sees the end of somebody else's read.
//   - The kernel writes into a buffer only while Read runs.
//   - Whoever holds files open for a batch waits for nobody but the kernel.
//
// # Thread-safety
//
// All methods are safe for concurrent use, but Close, which comes after the last Read.
package aio

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/vfs"
)

// Disks of today answer some thirty small reads together in little more than the time of
// one, and two batches of thirty together sooner than one after the other.
const (
	ringReads  = 64 // that are with the kernel at once, of one batch
	goroutines = 32 // that do one batch where there is no ring
)

// Read is one read of a batch: P is filled from File at Offset. N and Err are what
// ReadAt returned.
type Read struct {
	File   io.ReaderAt
	P      []byte
	Offset int64

	N   int
	Err error
}

// missing reports whether there is something left to be read.
func (r *Read) missing() bool { return r.N < len(r.P) }

// errDisabled is why a Reader has no rings that was told not to.
var errDisabled = errors.New("switched off")

// Reader does batches of reads for one database. That of a nil Reader are done by
// goroutines and not counted.
type Reader struct {
	events *event.Sink
	// free are the batches that nobody uses. Who finds none does without a ring.
	free chan *batch
	// refused is why there are no rings, nil while there may be some.
	refused atomic.Pointer[error]

	byRing, byPread atomic.Uint64
}

// NewReader returns a reader that uses io_uring, unless disabled, where the kernel lets
// it; otherwise it says why not.
func NewReader(disabled bool, events *event.Sink) *Reader {
	r := &Reader{events: events, free: make(chan *batch, 2*runtime.GOMAXPROCS(0))}
	for range cap(r.free) {
		r.free <- new(batch)
	}
	if disabled {
		r.refused.Store(&errDisabled)
	} else if err := probe(); err != nil {
		r.refuse(err)
	}
	return r
}

// probed is set once the kernel has shown what it can: it will not forget.
var probed atomic.Bool

// probe makes a ring and tries it. Rings of a database are made when it needs them.
func probe() error {
	if probed.Load() {
		return nil
	}
	ring, err := newRing(1)
	if err != nil {
		return err
	}
	ring.close()
	probed.Store(true)
	return nil
}

// refuse has all reads done by goroutines from now on.
func (r *Reader) refuse(err error) {
	if r.refused.CompareAndSwap(nil, &err) {
		r.events.ReadsWithoutRing(err)
	}
}

// Stats says how the reads of batches were done.
type Stats struct {
	ByRing, ByPread uint64
	// Refused is why io_uring is not used, nil if it is.
	Refused error
}

// Stats returns the counts since NewReader.
func (r *Reader) Stats() Stats {
	s := Stats{ByRing: r.byRing.Load(), ByPread: r.byPread.Load()}
	if err := r.refused.Load(); err != nil {
		s.Refused = *err
	}
	return s
}

// Close gives back what the kernel has for the reader.
func (r *Reader) Close() {
	for range cap(r.free) {
		b := <-r.free
		b.close()
	}
}

// Read does reads, of one file or several, side by side, and returns when all have
// ended. Each has its own outcome. What N and Err are before does not matter.
func (r *Reader) Read(reads []Read) {
	for i := range reads {
		reads[i].N, reads[i].Err = 0, nil
	}
	filled := 0
	if r != nil && len(reads) > 1 {
		filled = r.readByRing(reads)
		r.byRing.Add(uint64(filled))
		r.byPread.Add(uint64(len(reads) - filled))
	}
	if filled < len(reads) {
		readByPread(reads, len(reads)-filled)
	}
}

// readByRing does what it can, and returns how many reads are filled.
func (r *Reader) readByRing(reads []Read) (filled int) {
	if r.refused.Load() != nil {
		return 0
	}
	select {
	case b := <-r.free:
		filled, err := b.fill(reads)
		r.free <- b
		if err != nil && !isShortage(err) {
			r.refuse(err)
		}
		return filled
	default:
		return 0
	}
}

// request is a read as the kernel is asked for it.
type request struct {
	read   int // its place in the batch
	fd     int
	p      []byte
	offset int64
	// n is what came of it: the bytes read, negative while that is not known or when it
	// has failed.
	n int
}

// batch is the reads of one call into the kernel.
type batch struct {
	ring     *ring // nil until it is needed
	reads    []Read
	requests []request // for those of the reads that the kernel can do
	filled   int
	err      error // of the ring
}

// close gives the ring back, if there is one.
func (b *batch) close() {
	if b.ring != nil {
		b.ring.close()
		b.ring = nil
	}
}

// fill does what it can of the reads, some after others if they are too many at once,
// and returns how many were filled, and what is wrong with the ring.
func (b *batch) fill(reads []Read) (filled int, err error) {
	b.filled, b.err = 0, nil
	for len(reads) > 0 && b.err == nil {
		n := min(len(reads), ringReads)
		b.reads = reads[:n]
		b.gather(0)
		reads = reads[n:]
	}
	b.reads = nil
	if b.err != nil {
		b.close()
	}
	return b.filled, b.err
}

// gather makes requests of the reads from i on and has them done. It holds a file while
// it goes on to the next, without ever waiting for one.
func (b *batch) gather(i int) {
	for ; i < len(b.reads); i++ {
		read := &b.reads[i]
		file, ok := read.File.(vfs.DescriptorFile)
		if !ok || !read.missing() || read.Offset < 0 { // -1 would be where the file stands
			continue
		}
		if file.WithDescriptor(func(fd int) {
			b.requests = append(b.requests, request{read: i, fd: fd, p: read.P, offset: read.Offset, n: -1})
			b.gather(i + 1)
		}) {
			return
		}
	}
	if len(b.requests) > 0 {
		b.run()
	}
}

// run has the requests done.
func (b *batch) run() {
	if b.ring == nil {
		b.ring, b.err = newRing(ringReads)
	}
	if b.ring != nil {
		b.err = b.ring.read(b.requests)
	}
	for _, q := range b.requests {
		read := &b.reads[q.read]
		if read.N = max(q.n, 0); !read.missing() {
			b.filled++
		}
	}
	clear(b.requests) // the buffers are the caller's
	b.requests = b.requests[:0]
}

// readByPread goes on with the reads that are not filled, of which there are left.
func readByPread(reads []Read, left int) {
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(reads)); i = next.Add(1) - 1 {
			if read := &reads[i]; read.missing() || len(read.P) == 0 {
				n, err := read.File.ReadAt(read.P[read.N:], read.Offset+int64(read.N))
				read.N, read.Err = read.N+n, err
			}
		}
	}
	var workers sync.WaitGroup
	for range min(left, goroutines) - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()
}
