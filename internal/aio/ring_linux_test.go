package aio

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/vfs"
)

// The kernel has these sizes, on every architecture.
func TestStructuresAreTheKernels(t *testing.T) {
	for _, s := range []struct {
		name      string
		got, want uintptr
	}{
		{"params", unsafe.Sizeof(params{}), 120},
		{"submission", unsafe.Sizeof(submission{}), submissionBytes},
		{"completion", unsafe.Sizeof(completion{}), completionBytes},
		{"operations", unsafe.Sizeof(operations{}), 16 + 8*(opRead+1)},
		{"submission.userData", unsafe.Offsetof(submission{}.userData), 32},
		{"params.cq", unsafe.Offsetof(params{}.cq), 80},
	} {
		if s.got != s.want {
			t.Errorf("%s: %d, not %d", s.name, s.got, s.want)
		}
	}
}

func openRing(t testing.TB, entries uint32) *ring {
	t.Helper()
	newReader(t) // or skip
	r, err := newRing(entries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// pipes is n pipes that are read by requests, none of which ends before write.
type pipes struct {
	requests []request
	writers  []int
}

func newPipes(t *testing.T, n int) *pipes {
	p := new(pipes)
	for range n {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			unix.Close(fds[0])
			unix.Close(fds[1])
		})
		p.requests = append(p.requests, request{fd: fds[0], p: make([]byte, 8), offset: -1, n: -1})
		p.writers = append(p.writers, fds[1])
	}
	return p
}

// read has the ring do the requests, which is no error of the ring.
func (p *pipes) read(t *testing.T, r *ring) {
	t.Helper()
	if err := r.read(p.requests); err != nil {
		t.Error(err)
	}
}

func (p *pipes) write(t *testing.T) {
	for i, fd := range p.writers {
		if _, err := unix.Write(fd, fmt.Appendf(nil, "pipe%4d", i)); err != nil {
			t.Error(err)
		}
	}
}

// check finds requests that have not what was written for them; only the first n were to
// be done.
func (p *pipes) check(t *testing.T, n int) {
	t.Helper()
	for i, q := range p.requests {
		switch {
		case i >= n && q.n >= 0:
			t.Errorf("request %d was done", i)
		case i < n && (q.n != 8 || string(q.p) != fmt.Sprintf("pipe%4d", i)):
			t.Errorf("request %d: %d, %q", i, q.n, q.p)
		}
	}
}

// An enter that a signal interrupts leaves the reads under way, and they are waited for:
// before they are written to, the pipes give nothing.
func TestInterruptedByASignal(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := unix.Gettid()
	r, p := openRing(t, 8), newPipes(t, 5)
	var calls, interrupted atomic.Int32
	enough := make(chan struct{})
	r.enter = func(fd int, submit, wait uint32) error {
		calls.Add(1)
		err := enter(fd, submit, wait)
		if calls.Load() > 1 && submit > 0 {
			t.Error("what was submitted is submitted again")
		}
		if err == unix.EINTR && interrupted.Add(1) == 3 {
			close(enough)
		}
		return err
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-enough:
				p.write(t)
				close(done)
				return
			default:
				_ = unix.Tgkill(unix.Getpid(), thread, unix.SIGURG)
				runtime.Gosched()
			}
		}
	}()
	p.read(t, r)
	<-done
	p.check(t, 5)
	if calls.Load() < 3 {
		t.Errorf("entered %d times", calls.Load())
	}
}

// What the kernel does not take, for now or for ever, is left alone; what it has taken is
// waited for in any case.
func TestEnterThatFails(t *testing.T) {
	for _, c := range []struct {
		err   unix.Errno
		taken uint32 // before the error
		fatal bool
	}{
		{unix.EAGAIN, 0, false},
		{unix.EBUSY, 2, false},
		{unix.EPERM, 0, true},
		{unix.ENOSYS, 3, true},
		{0, 2, false}, // it says nothing and takes no more
	} {
		t.Run(fmt.Sprint(c.err, c.taken), func(t *testing.T) {
			r, p := openRing(t, 8), newPipes(t, 5)
			calls := 0
			var writing sync.WaitGroup
			defer writing.Wait()
			r.enter = func(fd int, submit, _ uint32) error {
				if calls++; calls == 1 && c.taken > 0 {
					return enter(fd, c.taken, 0)
				}
				if calls == 2 {
					writing.Go(func() { p.write(t) })
				}
				if c.err == 0 {
					return nil
				}
				return c.err
			}
			if err := r.read(p.requests); c.fatal != (err != nil) || c.fatal && err != c.err {
				t.Errorf("error %v", err)
			}
			p.check(t, int(c.taken))
			if c.fatal {
				return
			}
			r.enter = enter
			again := newPipes(t, 8)
			again.write(t)
			again.read(t, r)
			again.check(t, 8)
		})
	}
}

// The kernel may take a batch in pieces.
func TestTakenInPieces(t *testing.T) {
	r, p := openRing(t, 8), newPipes(t, 8)
	p.write(t)
	r.enter = func(fd int, submit, wait uint32) error { return enter(fd, min(submit, 3), 0) }
	p.read(t, r)
	p.check(t, 8)
}

// A completion of an earlier batch, if there could be one, is not taken for one of this.
func TestForeignCompletions(t *testing.T) {
	r, p := openRing(t, 8), newPipes(t, 4)
	for i := range uint32(4) { // of the batch before this one
		r.put(i, submission{opcode: opNop, userData: r.ticket(int(i)) - 1<<32})
	}
	r.put(4, submission{opcode: opNop, userData: r.ticket(7)})
	atomic.AddUint32(r.sqTail, 5)
	if err := enter(r.fd, 5, 0); err != nil {
		t.Fatal(err)
	}
	calls := 0
	r.enter = func(fd int, submit, wait uint32) error {
		if calls++; calls == 1 {
			return enter(fd, submit, 0)
		}
		p.write(t)
		return enter(fd, submit, wait)
	}
	p.read(t, r)
	p.check(t, 4)
}

// A read that fails is one among others.
func TestBadDescriptor(t *testing.T) {
	r, p := openRing(t, 4), newPipes(t, 4)
	p.write(t)
	good := p.requests[2].fd
	p.requests[2].fd = 1 << 20
	p.read(t, r)
	if n := p.requests[2].n; n != -int(unix.EBADF) {
		t.Errorf("%d", n)
	}
	p.requests[2] = request{fd: good, p: make([]byte, 8), offset: -1, n: -1}
	if err := r.read(p.requests[2:3]); err != nil {
		t.Error(err)
	}
	p.check(t, 4)
}

// Programs that are started do not get at the ring.
func TestClosedOnExec(t *testing.T) {
	r := openRing(t, 4)
	flags, err := unix.FcntlInt(uintptr(r.fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("%x, %v", flags, err)
	}
}

// A ring of which nothing more is to be expected is given up, and so are all others if
// that is not for want of something; the reads are done all the same.
func TestRingThatFails(t *testing.T) {
	for _, c := range []struct {
		err     error
		refused bool
	}{{unix.EPERM, true}, {unix.ENOMEM, false}} {
		r := newReader(t)
		f := newFile(t, vfs.OS, filepath.Join(t.TempDir(), "a"), 1000)
		reads := make([]Read, 100)
		for i := range reads {
			reads[i] = Read{File: f, P: make([]byte, 10), Offset: int64(i)}
		}
		b := <-r.free
		for range cap(r.free) - 1 { // so that it is the next one
			other := <-r.free
			defer func() { r.free <- other }()
		}
		b.ring = openRing(t, ringReads)
		t.Cleanup(func() { b.ring = nil })
		broken := *b.ring
		broken.fd, _ = unix.FcntlInt(uintptr(b.ring.fd), unix.F_DUPFD_CLOEXEC, 0)
		broken.memory, broken.entries = nil, nil
		broken.enter = func(int, uint32, uint32) error { return c.err }
		b.ring = &broken
		r.free <- b
		r.Read(reads)
		for i := range reads {
			wantReadAt(t, i, &reads[i])
		}
		if s := r.Stats(); s.ByPread != 100 || (s.Refused != nil) != c.refused {
			t.Errorf("%v: %+v", c.err, s)
		}
		if b.ring != nil {
			t.Errorf("%v: the ring is kept", c.err)
		}
	}
}

// countRings returns how many rings the process has.
func countRings(t *testing.T) (n int) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.Contains(name, "io_uring") {
			n++
		}
	}
	return n
}

// Rings are made when they are needed, no more than there are places, and go with the
// reader.
func TestRingsComeAndGo(t *testing.T) {
	begin := countRings(t)
	r := NewReader(false, silent())
	if r.Stats().Refused != nil {
		t.Skip("no io_uring")
	}
	if n := countRings(t) - begin; n != 0 {
		t.Errorf("%d rings before the first read", n)
	}
	f := newFile(t, vfs.OS, filepath.Join(t.TempDir(), "a"), 1000)
	var users sync.WaitGroup
	for range 3 * cap(r.free) {
		users.Go(func() {
			for range 20 {
				r.Read([]Read{{File: f, P: make([]byte, 10)}, {File: f, P: make([]byte, 10)}})
			}
		})
	}
	users.Wait()
	if n := countRings(t) - begin; n < 1 || n > cap(r.free) {
		t.Errorf("%d rings for %d places", n, cap(r.free))
	}
	r.Close()
	if n := countRings(t) - begin; n != 0 {
		t.Errorf("%d rings after Close", n)
	}
}
