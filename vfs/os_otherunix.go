//go:build unix && !linux && !darwin

package vfs

import "os"

// syncFileData does a full sync, which all of these systems have.
func syncFileData(f *os.File) error { return f.Sync() }

// preallocate only extends: these systems have no common call to reserve.
func preallocate(f *os.File, have, size int64) error { return extend(f, have, size) }
