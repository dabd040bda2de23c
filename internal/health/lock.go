package health

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs"
)

// lockWatch looks whether the database still has its lock. Nothing may be written
// without: somebody else may have the database by then. It is safe for concurrent
// use.
type lockWatch struct {
	lock  vfs.Holder // nil: it cannot tell
	clock clock.Clock
	next  atomic.Int64 // when to look again, in nanoseconds since 1970
}

// lockCheckPause is how often commits look. An idle database does not: nothing of
// it goes to the disk.
const lockCheckPause = time.Second

// Watch notes the lock. It comes before the first write.
func (h *Health) Watch(lock io.Closer, c clock.Clock) {
	h.watch.clock = c
	h.watch.lock, _ = lock.(vfs.Holder)
	h.watch.next.Store(c.Now().Add(lockCheckPause).UnixNano())
}

// CheckLock looks whether the lock file is still there under its name. If not,
// writes are refused from then on with an error that matches vfs.ErrLockLost, which
// it returns. Where it cannot be told, nothing is said: another time it will.
func (h *Health) CheckLock() error {
	if h.watch.lock == nil {
		return nil
	}
	err := h.watch.lock.Held()
	if !errors.Is(err, vfs.ErrLockLost) {
		return nil
	}
	return h.refuse("lock", fmt.Errorf("writes are refused: %w", err))
}

// CheckLockNowAndThen is CheckLock for those who come often.
func (h *Health) CheckLockNowAndThen() error {
	if h.watch.lock == nil {
		return nil
	}
	now, next := h.watch.clock.Now(), h.watch.next.Load()
	if now.UnixNano() < next || !h.watch.next.CompareAndSwap(next, now.Add(lockCheckPause).UnixNano()) {
		return nil
	}
	return h.CheckLock()
}
