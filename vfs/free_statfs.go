//go:build darwin || freebsd || dragonfly

package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

func freeBytes(d *os.File) (uint64, error) {
	var st unix.Statfs_t
	err := withFD(d, "statfs", func(fd uintptr) error { return unix.Fstatfs(int(fd), &st) })
	// Some of these systems go below zero when the reserve for root is in use.
	return uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize), err
}
