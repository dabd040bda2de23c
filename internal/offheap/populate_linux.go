//go:build linux && !race

package offheap

import "golang.org/x/sys/unix"

// populates says that populate does something here.
const populates = true

// populate has the kernel provide the pages of a part of a reservation, which stays as
// it is: others may use it meanwhile. Kernels before 5.14 refuse, and pages come when
// they are touched.
func populate(b []byte) { _ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) }
