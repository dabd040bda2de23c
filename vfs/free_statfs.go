//go:build darwin || freebsd || dragonfly

package vfs

import "golang.org/x/sys/unix"

func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	err := retryInterrupted(func() error { return unix.Statfs(dir, &st) })
	// Some of these systems go below zero when the reserve for root is in use.
	return uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize), err
}
