//go:build !linux

package main

// peakResidentBytes returns the most memory this process has ever had
// resident; false where that is unknown.
func peakResidentBytes() (int64, bool) { return 0, false }
