package vfs

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// openFile shares the file for deletion as well, which package os does not, so
// that a file can be removed or renamed while it is open as on other systems.
func openFile(name string, flag int) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	access := uint32(windows.GENERIC_READ)
	if flag&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	disposition := uint32(windows.OPEN_EXISTING)
	switch {
	case flag&os.O_TRUNC != 0:
		disposition = windows.CREATE_ALWAYS
	case flag&os.O_CREATE != 0:
		disposition = windows.OPEN_ALWAYS
	}
	share := uint32(windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE)
	h, err := windows.CreateFile(path, access, share, nil, disposition,
		windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}

func syncFileData(f *os.File) error { return f.Sync() }

// preallocate sets the length: NTFS reserves the clusters of a file that is
// not sparse.
func preallocate(f *os.File, have, size int64) error { return extend(f, have, size) }

// allocatedBytes is the length, for the same reason.
func allocatedBytes(info fs.FileInfo) (sizeBytes int64, known bool) { return info.Size(), true }

// syncOpenDir does nothing: NTFS journals its directories and offers no call.
func syncOpenDir(*os.File) error { return nil }

// lockDir does nothing: there is no lock of a directory here. That the lock file was
// replaced is noticed by Holder.Held.
func lockDir(*os.File, bool) error { return nil }

func unlockDir(*os.File) error { return nil }

func freeBytes(d *os.File) (uint64, error) {
	path, err := windows.UTF16PtrFromString(d.Name())
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(path, &free, nil, nil)
	return free, err
}

func lockFile(f *os.File, name string) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
		failed = windows.LockFileEx(windows.Handle(fd), flags, 0, 1, 0, &windows.Overlapped{})
	})
	if errors.Is(failed, windows.ERROR_LOCK_VIOLATION) || errors.Is(failed, windows.ERROR_IO_PENDING) {
		return lockedError(name)
	}
	return errors.Join(err, failed)
}

// unlockFile leaves it to Close: no process inherits the handle.
func unlockFile(*os.File) error { return nil }

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) ||
		errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func isTooManyFiles(err error) bool { return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) }

// openFilesMax does not know: there is no limit worth the name.
func openFilesMax() int { return 0 }

func isReadOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }
