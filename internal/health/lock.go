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
// without: somebody else may have the database by then.
type lockWatch struct {
	lock   vfs.Holder // nil: it cannot tell
	clock  clock.Clock
	looked atomic.Bool // not long ago
	pause  clock.Timer // ends that; of the commits' leader
}

// lockCheckPause is how often commits look. An idle database does not: nothing of
// it goes to the disk.
const lockCheckPause = time.Second

// Watch notes the lock. It comes before the first write.
func (h *Health) Watch(lock io.Closer, c clock.Clock) {
	h.watch.clock = c
	h.watch.lock, _ = lock.(vfs.Holder)
}

// StopWatch ends the timer of CheckLockNowAndThen, after the last commit.
func (h *Health) StopWatch() {
	if h.watch.pause != nil {
		h.watch.pause.Stop()
	}
}

// CheckLock looks whether the lock file is still there under its name. If not,
// writes are refused from then on with an error that matches vfs.ErrLockLost, which
// it returns. Where it cannot be told, nothing is said: another time it will. It is
// safe for concurrent use.
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

// CheckLockNowAndThen is CheckLock for the leader of commits, who comes often: to ask
// what time it is would take longer than the rest of what a commit does with the log.
func (h *Health) CheckLockNowAndThen() error {
	w := &h.watch
	if w.lock == nil || w.looked.Load() {
		return nil
	}
	w.looked.Store(true)
	w.pause = w.clock.AfterFunc(lockCheckPause, func() { w.looked.Store(false) })
	return h.CheckLock()
}
