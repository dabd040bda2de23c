//go:build linux && !race

package offheap

import (
	"bufio"
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for huge pages, which spare most TLB misses and page faults
// of a densely used range. It is a wish: kernels without them refuse.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }

// HugePageBytes returns how much of the memory of this process the kernel provides in
// huge pages, Go's heap included; known is false where it does not tell.
func HugePageBytes() (sizeBytes int64, known bool) {
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, false
	}
	return hugePagesIn(rollup)
}

// hugePagesIn finds the figure in what the kernel says.
func hugePagesIn(rollup []byte) (sizeBytes int64, known bool) {
	for lines := bufio.NewScanner(bytes.NewReader(rollup)); lines.Scan(); {
		var kibibytes int64
		if _, err := fmt.Sscanf(lines.Text(), "AnonHugePages: %d kB", &kibibytes); err == nil {
			return kibibytes << 10, true
		}
	}
	return 0, false
}
