package vfs

import "golang.org/x/sys/unix"

func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	err := retryInterrupted(func() error { return unix.Statfs(dir, &st) })
	// It goes below zero when the reserve for root is in use.
	return uint64(max(st.F_bavail, 0)) * uint64(st.F_bsize), err
}
