//go:build unix

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func openFile(name string, flag int) (*os.File, error) { return os.OpenFile(name, flag, fileMode) }

// syncOpenDir ignores EINVAL: it is how a file system says that its directories
// cannot be synced, and there is nothing else one could do for them.
func syncOpenDir(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return err
}

// lockDir takes a lock on an open directory, exclusive or shared. Some file
// systems cannot lock one, network file systems above all: there it does nothing.
func lockDir(d *os.File, exclusive bool) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	err := withFD(d, "lock", func(fd uintptr) error { return unix.Flock(int(fd), how|unix.LOCK_NB) })
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrLocked
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOLCK),
		errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTSUP):
		return nil
	}
	return err
}

// unlockDir gives back what lockDir took.
func unlockDir(d *os.File) error {
	return withFD(d, "unlock", func(fd uintptr) error {
		_ = unix.Flock(int(fd), unix.LOCK_UN) // fails only where there was none to take
		return nil
	})
}

// statBlockBytes is the unit in which a stat counts blocks, whatever their size.
const statBlockBytes = 512

func allocatedBytes(info fs.FileInfo) (sizeBytes int64, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int64(st.Blocks) * statBlockBytes, true
}

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func isTooManyFiles(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// openFilesMax returns how many files the process may have open, 0 where that is not
// known.
func openFilesMax() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), 1<<30))
}

// withFD runs call on the descriptor of f, again while it is interrupted, and
// names the operation in its error.
func withFD(f *os.File, op string, call func(fd uintptr) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = retryInterrupted(func() error { return call(fd) })
	})
	if err != nil {
		failed = os.ErrClosed // the only reason not to get at the descriptor
	}
	if failed != nil {
		return &os.PathError{Op: op, Path: f.Name(), Err: failed}
	}
	return nil
}

func retryInterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func isReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }
