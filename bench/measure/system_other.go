//go:build !linux

package measure

import (
	"errors"
	"io/fs"
	"runtime"

	"github.com/lightningdb/lightning/bench/result"
)

func writtenBytes() int64 { return -1 }

// ResetPeak does nothing here.
func ResetPeak() {}

// PeakBytes returns 0: unknown.
func PeakBytes() int64 { return 0 }

func allocatedBytes(info fs.FileInfo) int64 { return info.Size() }

// DropPageCache cannot be done here.
func DropPageCache(string) error { return errors.New("the page cache can be dropped on Linux only") }

// Host describes the machine.
func Host(string) result.Host {
	return result.Host{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), OS: runtime.GOOS, Go: runtime.Version()}
}

// MemoryLimit does not exist here.
type MemoryLimit struct{}

// NewMemoryLimit fails.
func NewMemoryLimit(int64) (*MemoryLimit, error) {
	return nil, errors.New("a memory control group needs Linux")
}

// Dir returns "".
func (l *MemoryLimit) Dir() string { return "" }

// Remove does nothing.
func (l *MemoryLimit) Remove() error { return nil }

// Join does nothing.
func Join(string) error { return nil }
