//go:build unix

package vfs

import (
	"io/fs"
	"syscall"
)

func linkCount(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Nlink)
	}
	return 0
}
