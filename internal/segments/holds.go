package segments

import (
	"sync"
	"sync/atomic"
)

// Holds counts those who read segments that the manifest names: as long as there are any, no
// segment is used again, whatever becomes of it in the manifest, so that what is read there
// is what was written. That it is not deleted either is for the janitor. It is safe for
// concurrent use.
type Holds struct{ n atomic.Int32 }

// Take counts one more, until the function is called that it returns. It comes before the
// look at the manifest.
func (h *Holds) Take() (giveBack func()) {
	h.n.Add(1)
	return sync.OnceFunc(func() { h.n.Add(-1) })
}

func (h *Holds) none() bool { return h.n.Load() == 0 }
