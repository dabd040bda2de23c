package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func syncFileData(f *os.File) error {
	return withFD(f, "fdatasync", func(fd uintptr) error { return unix.Fdatasync(int(fd)) })
}

func preallocate(f *os.File, have, size int64) error {
	err := withFD(f, "fallocate", func(fd uintptr) error {
		return unix.Fallocate(int(fd), 0, 0, size)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return extend(f, have, size)
	}
	return err
}

var _ DescriptorFile = osFile{}

// WithDescriptor is DescriptorFile.WithDescriptor. A Close
// meanwhile closes the file when read has returned.
func (o osFile) WithDescriptor(read func(fd int)) bool {
	conn, err := o.f.SyscallConn()
	return err == nil && conn.Control(func(fd uintptr) { read(int(fd)) }) == nil
}

var _ WritebackFile = osFile{}

// StartWriteback is WritebackFile.StartWriteback. Without the flags that wait, the call takes
// no error from the sync that comes later.
func (o osFile) StartWriteback(offset, length int64) error {
	if length <= 0 {
		return nil // to the kernel, no length is all that follows
	}
	err := withFD(o.f, "sync_file_range", func(fd uintptr) error {
		return unix.SyncFileRange(int(fd), offset, length, unix.SYNC_FILE_RANGE_WRITE)
	})
	for _, unknown := range []error{unix.ENOSYS, unix.EPERM, unix.EOPNOTSUPP, unix.EINVAL, unix.ESPIPE} {
		if errors.Is(err, unknown) {
			return nil
		}
	}
	return translate(err)
}

func freeBytes(d *os.File) (uint64, error) {
	var st unix.Statfs_t
	err := withFD(d, "statfs", func(fd uintptr) error { return unix.Fstatfs(int(fd), &st) })
	return st.Bavail * uint64(st.Frsize), err
}

// lockFile takes an open-file-description lock: unlike a classic record lock it
// is not lost when another descriptor of the file is closed, and unlike flock
// it works between the clients of a network file system.
func lockFile(f *os.File, name string) error {
	err := withFD(f, "lock", func(fd uintptr) error {
		whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
		return unix.FcntlFlock(fd, unix.F_OFD_SETLK, &whole)
	})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return lockedError(name)
	}
	return err
}

func unlockFile(f *os.File) error {
	return withFD(f, "unlock", func(fd uintptr) error {
		whole := unix.Flock_t{Type: unix.F_UNLCK, Whence: 0}
		return unix.FcntlFlock(fd, unix.F_OFD_SETLK, &whole)
	})
}
