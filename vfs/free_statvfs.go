//go:build netbsd || solaris || illumos

package vfs

import "golang.org/x/sys/unix"

func freeBytes(dir string) (uint64, error) {
	var st unix.Statvfs_t
	err := retryInterrupted(func() error { return unix.Statvfs(dir, &st) })
	return uint64(st.Bavail) * uint64(st.Frsize), err
}
