package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncFileData does a full sync: package os asks for F_FULLFSYNC here, and
// nothing less passes the drive's cache.
func syncFileData(f *os.File) error { return f.Sync() }

func preallocate(f *os.File, have, size int64) error {
	if have >= size {
		return nil
	}
	err := withFD(f, "preallocate", func(fd uintptr) error {
		return unix.FcntlFstore(fd, unix.F_PREALLOCATE, &unix.Fstore_t{
			Flags:   unix.F_ALLOCATEALL,
			Posmode: unix.F_PEOFPOSMODE,
			Length:  size - have,
		})
	})
	if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return extend(f, have, size)
}
