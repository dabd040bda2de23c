package vfs

import (
	"io/fs"
	"os"
)

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

// SameFile reports whether two descriptions, of Stat or Dir.Stat, are of one and the same
// file, under whichever names. It is false where the file system does not tell.
func SameFile(a, b fs.FileInfo) bool {
	if named, ok := a.(namedInfo); ok {
		return SameFile(named.FileInfo, b)
	}
	if named, ok := b.(namedInfo); ok {
		return SameFile(a, named.FileInfo)
	}
	if i, ok := a.(interface{ SameFile(other fs.FileInfo) bool }); ok {
		return i.SameFile(b)
	}
	return os.SameFile(a, b)
}
