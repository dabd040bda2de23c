package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
)

// peakResidentBytes returns the most memory this process has ever had
// resident; false where that is unknown.
func peakResidentBytes() (int64, bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		var kibibytes int64
		if _, err := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kibibytes); err == nil {
			return kibibytes << 10, true
		}
	}
	return 0, false
}
