package measure

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/bench/result"
)

// field returns a number from a file of lines such as "VmHWM:  123 kB".
func field(path, format string) (int64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		var n int64
		if _, err := fmt.Sscanf(lines.Text(), format, &n); err == nil {
			return n, true
		}
	}
	return 0, false
}

func writtenBytes() int64 {
	if n, ok := field("/proc/self/io", "write_bytes: %d"); ok {
		return n
	}
	return -1
}

// ResetPeak begins a new span for PeakBytes, if the kernel allows it.
func ResetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// PeakBytes returns the most memory that the process had resident in the span;
// 0 if unknown. Pages of files that are mapped count.
func PeakBytes() int64 {
	kibibytes, _ := field("/proc/self/status", "VmHWM: %d kB")
	return kibibytes << 10
}

func allocatedBytes(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// DropPageCache makes the next reads of the files below a directory go to the
// device. The files must not be open for writing.
func DropPageCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil { // only clean pages can be dropped
			return err
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("drop the page cache of %s: %w", path, err)
		}
		return nil
	})
}

// Host describes the machine; dir is where the databases are.
func Host(dir string) result.Host {
	h := result.Host{Cores: runtime.NumCPU(), Go: runtime.Version(), OS: runtime.GOOS, CPU: runtime.GOARCH}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := bytes.Cut(b, []byte("model name\t: ")); ok {
			name, _, _ := bytes.Cut(after, []byte("\n"))
			h.CPU = string(name) + " (" + runtime.GOARCH + ")"
		}
	}
	if kibibytes, ok := field("/proc/meminfo", "MemTotal: %d kB"); ok {
		h.MemoryBytes = kibibytes << 10
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.OS += " " + unix.ByteSliceToString(name.Release[:])
	}
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) == nil {
		h.FileSystem = fileSystem(int64(st.Type))
	}
	return h
}

func fileSystem(magic int64) string {
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", 0x2fc12fc1: "zfs",
	}
	if name, ok := names[magic]; ok {
		return name
	}
	return fmt.Sprintf("file system %#x", magic)
}
