//go:build netbsd || solaris || illumos

package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

func freeBytes(d *os.File) (uint64, error) {
	var st unix.Statvfs_t
	err := withFD(d, "statfs", func(fd uintptr) error { return unix.Fstatvfs(int(fd), &st) })
	return uint64(st.Bavail) * uint64(st.Frsize), err
}
