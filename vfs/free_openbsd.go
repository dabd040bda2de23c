package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

func freeBytes(d *os.File) (uint64, error) {
	var st unix.Statfs_t
	err := withFD(d, "statfs", func(fd uintptr) error { return unix.Fstatfs(int(fd), &st) })
	// It goes below zero when the reserve for root is in use.
	return uint64(max(st.F_bavail, 0)) * uint64(st.F_bsize), err
}
