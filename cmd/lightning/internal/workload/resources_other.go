//go:build !linux

package workload

// PeakResidentBytes returns the most memory this process has ever had
// resident; false where that is unknown.
func PeakResidentBytes() (int64, bool) { return 0, false }
