package aio

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is an io_uring: a ring of submissions that we fill and the kernel empties, and one
// of completions the other way round, in memory that both see. Each side owns the tail of
// one and the head of the other.
//
// It is used as one long system call: all requests of a batch are submitted, and waited
// for, by one enter, in the thread of the caller. Nothing else ever runs: no thread of the
// kernel's that polls, no goroutine of ours. So it does not matter which thread comes, as
// long as it is one at a time, and the ring asks for no flag by which it would.
//
// # Memory
//
// The kernel knows buffers by address only. They are kept alive until their completion was
// seen, whatever happens meanwhile: an enter that a signal has interrupted, as the runtime
// does all the time, leaves the reads under way. They are not pinned: Go's heap does not
// move, and no buffer is on a stack, which does, because all of them have come through an
// interface. A pin costs more than a small read does that the page cache answers.
type ring struct {
	fd      int
	memory  []byte // the rings
	entries []byte // the submissions

	sqHead, sqTail *uint32
	cqHead, cqTail *uint32
	sqMask, cqMask uint32
	submissions    unsafe.Pointer // of ring size
	completions    unsafe.Pointer

	turn uint32 // counts the batches, so that no completion is taken for another one's

	// enter is the system call, but in tests.
	enter func(fd int, submit, wait uint32) error
}

// newRing makes a ring for n requests at a time, a power of two, and tries it. The error
// says what is missing.
func newRing(n uint32) (*ring, error) {
	p := params{flags: setupCoopTaskrun}
	fd, err := setup(n, &p)
	if errors.Is(err, unix.EINVAL) {
		p = params{}
		fd, err = setup(n, &p)
	}
	if err != nil {
		return nil, fmt.Errorf("io_uring_setup: %w", err)
	}
	r := &ring{fd: fd, enter: enter}
	if err := r.prepare(&p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// prepare maps the memory of the ring and looks whether the kernel does what we need.
func (r *ring) prepare(p *params) error {
	if p.features&featureSingleMmap == 0 {
		return errors.New("io_uring of a kernel before Linux 5.4")
	}
	size := max(p.sq.array+4*p.sqEntries, p.cq.cqes+completionBytes*p.cqEntries)
	var err error
	if r.memory, err = r.mmap(offsetRings, size); err != nil {
		return err
	}
	if r.entries, err = r.mmap(offsetEntries, submissionBytes*p.sqEntries); err != nil {
		return err
	}
	r.sqHead, r.sqTail = r.word(p.sq.head), r.word(p.sq.tail)
	r.cqHead, r.cqTail = r.word(p.cq.head), r.word(p.cq.tail)
	r.sqMask, r.cqMask = *r.word(p.sq.ringMask), *r.word(p.cq.ringMask)
	r.submissions = unsafe.Pointer(&r.entries[0])
	r.completions = unsafe.Pointer(&r.memory[p.cq.cqes])
	for i := range p.sqEntries { // each place of the ring has the submission of its number
		*r.word(p.sq.array + 4*i) = i
	}
	if err := r.supportsReads(); err != nil {
		return err
	}
	return r.tryNop()
}

func (r *ring) mmap(offset int64, size uint32) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("memory of io_uring: %w", err)
	}
	return b, nil
}

// word returns a word of the rings.
func (r *ring) word(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[offset])) }

// supportsReads asks the kernel whether it knows the operation.
func (r *ring) supportsReads() error {
	var p operations
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerProbe,
		uintptr(unsafe.Pointer(&p)), uintptr(len(p.ops)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("io_uring_register: %w", errno)
	}
	if p.ops[opRead].flags&opSupported == 0 {
		return errors.New("io_uring without reads")
	}
	return nil
}

// tryNop shows that submissions come back as completions.
func (r *ring) tryNop() error {
	nop := []request{{n: -1}}
	r.put(0, submission{opcode: opNop, userData: r.ticket(0)})
	if err := r.run(nop); err != nil {
		return err
	}
	if nop[0].n != 0 {
		return errors.New("io_uring that does not answer")
	}
	return nil
}

// close gives the ring back. Nothing is under way in it.
func (r *ring) close() {
	for _, b := range [][]byte{r.entries, r.memory} {
		if b != nil {
			_ = unix.Munmap(b) // fails only for what is no mapping
		}
	}
	_ = unix.Close(r.fd) // nothing was written
}

// read does the requests, no more than the ring has places, and notes what came of each.
// After an error the ring is of no use any more. In any case nothing is under way when it
// returns; requests that never were, or of which nothing came, have a negative n.
func (r *ring) read(requests []request) error {
	for i := range requests {
		q := &requests[i]
		r.put(uint32(i), submission{
			opcode:   opRead,
			fd:       int32(q.fd),
			offset:   uint64(q.offset),
			address:  uint64(uintptr(unsafe.Pointer(unsafe.SliceData(q.p)))),
			length:   uint32(min(len(q.p), maxReadBytes)),
			userData: r.ticket(i),
		})
	}
	err := r.run(requests)
	for i := range requests {
		wrote(requests[i].p[:max(requests[i].n, 0)])
	}
	runtime.KeepAlive(requests)
	return err
}

// maxReadBytes is what the kernel reads in one go, at most; what is left comes as after
// any short read.
const maxReadBytes = 1 << 30

// ticket is what the kernel gives back with the completion of request i of the batch.
func (r *ring) ticket(i int) uint64 { return uint64(r.turn)<<32 | uint64(i) }

// put stores submission i of the batch, behind the tail.
func (r *ring) put(i uint32, s submission) {
	at := (atomic.LoadUint32(r.sqTail) + i) & r.sqMask
	*(*submission)(unsafe.Add(r.submissions, uintptr(at)*submissionBytes)) = s
}

// run has the kernel take the submissions behind the tail, one for each request, and waits
// until those have ended that it took.
func (r *ring) run(requests []request) error {
	begin := *r.sqTail
	atomic.StoreUint32(r.sqTail, begin+uint32(len(requests)))
	want, done := uint32(len(requests)), uint32(0)
	var failed error
	for done < want {
		taken := atomic.LoadUint32(r.sqHead) - begin
		var err error
		if failed == nil {
			err = r.enter(r.fd, want-taken, want-done)
		} else {
			err = r.poll()
		}
		before := taken + done
		taken = atomic.LoadUint32(r.sqHead) - begin
		done += r.reap(requests)
		if taken+done != before || err == unix.EINTR || failed != nil {
			continue
		}
		// It takes no more, for now or at all. What it has is waited for in any case.
		if err == nil || err == unix.EAGAIN || err == unix.EBUSY {
			err = errBusy
		}
		failed, want = err, taken
		atomic.StoreUint32(r.sqTail, begin+taken)
	}
	r.turn++
	if failed == errBusy {
		return nil
	}
	return failed
}

// errBusy is why a batch was cut short after which the ring goes on to be used.
var errBusy = errors.New("busy")

// reap takes the completions that are there, and returns how many.
func (r *ring) reap(requests []request) (n uint32) {
	head, tail := *r.cqHead, atomic.LoadUint32(r.cqTail)
	for ; head != tail; head++ {
		c := (*completion)(unsafe.Add(r.completions, uintptr(head&r.cqMask)*completionBytes))
		if i := uint32(c.userData); c.userData == r.ticket(int(i)) && i < uint32(len(requests)) {
			requests[i].n = int(c.result)
			n++
		}
	}
	atomic.StoreUint32(r.cqHead, head)
	return n
}

// poll waits for a completion without entering the ring.
func (r *ring) poll() error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}, pollMS)
	return err
}

// pollMS bounds a wait, so that what another thread was told is seen.
const pollMS = 10

// isShortage tells a failure that may be over in a moment from one that stays.
func isShortage(err error) bool {
	for _, errno := range []error{unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func setup(n uint32, p *params) (fd int, err error) {
	got, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(got), nil // closed on exec: the kernel sees to that
}

// enter submits, and waits for completions. How many it took is in the ring.
func enter(fd int, submit, wait uint32) error {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(fd), uintptr(submit), uintptr(wait), enterGetEvents, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
