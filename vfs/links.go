package vfs

import "io/fs"

// LinkCount returns how many names the file has that Stat described: more than one
// where it was linked, by this program or another. It is 0 where the file system
// does not tell.
func LinkCount(info fs.FileInfo) int {
	switch i := info.(type) {
	case interface{ LinkCount() int }:
		return i.LinkCount()
	case namedInfo:
		return LinkCount(i.FileInfo)
	}
	return linkCount(info)
}
