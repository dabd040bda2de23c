// Package measure reads what a process uses.
//
// Everything is of this very process: each engine runs in a process of its own,
// so that one does not pay for another's memory or garbage. What a machine does
// not tell is reported as absent.
package measure

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"syscall"
)

// Usage is what the process has used since it began.
type Usage struct {
	CPUSeconds float64
	// WrittenBytes went to the block device, or will: pages that were made
	// dirty, by write calls and through memory maps alike. -1 if unknown.
	WrittenBytes int64
	Mallocs      uint64 // allocations on the Go heap
}

// Now returns the usage so far. It stops the world for some microseconds.
func Now() Usage {
	var r syscall.Rusage
	u := Usage{WrittenBytes: writtenBytes()}
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.CPUSeconds = seconds(r.Utime) + seconds(r.Stime)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Mallocs = m.Mallocs
	return u
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// Since returns what was used from an earlier moment on.
func (u Usage) Since(earlier Usage) Usage {
	written := int64(-1)
	if u.WrittenBytes >= 0 && earlier.WrittenBytes >= 0 {
		written = u.WrittenBytes - earlier.WrittenBytes
	}
	return Usage{u.CPUSeconds - earlier.CPUSeconds, written, u.Mallocs - earlier.Mallocs}
}

// DiskBytes returns what the files below a directory take on the device; holes
// take nothing.
func DiskBytes(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				total += allocatedBytes(info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the engine has removed it meanwhile
		}
		return err
	})
	return total, err
}
