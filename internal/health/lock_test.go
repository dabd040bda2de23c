package health

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs"
)

// fakeLock is a lock that says what it is told, and counts how often.
type fakeLock struct {
	err   error
	asked int
}

func (l *fakeLock) Held() error {
	l.asked++
	return l.err
}

func (l *fakeLock) Close() error { return nil }

// A lock that was lost refuses writes for good; one that cannot be looked at does
// not.
func TestLostLock(t *testing.T) {
	h := newPatient()
	lock := &fakeLock{}
	h.Watch(lock, clock.System)
	for _, err := range []error{nil, io.ErrUnexpectedEOF} {
		lock.err = err
		if got := h.CheckLock(); got != nil || h.Err() != nil {
			t.Errorf("%v gives %v, and writes get %v", err, got, h.Err())
		}
	}
	lock.err = vfs.ErrLockLost
	first := h.CheckLock()
	lock.err = nil
	if !errors.Is(first, vfs.ErrLockLost) || h.Writable() != first || h.failed.Load() != 1 {
		t.Errorf("%v, writes get %v, told %d times", first, h.Writable(), h.failed.Load())
	}
	if err := h.CheckLock(); err != nil || h.Writable() != first {
		t.Errorf("the file is there again: %v, and writes get %v", err, h.Writable())
	}
}

// Commits ask once a second; a lock that cannot tell is not asked.
func TestLockIsCheckedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPatient()
		h.Watch(io.NopCloser(nil), clock.System)
		time.Sleep(time.Hour)
		if err := errors.Join(h.CheckLock(), h.CheckLockNowAndThen()); err != nil {
			t.Error(err)
		}
		lock := &fakeLock{}
		h.Watch(lock, clock.System)
		for range 30 {
			time.Sleep(lockCheckPause / 10)
			if err := h.CheckLockNowAndThen(); err != nil {
				t.Error(err)
			}
		}
		if lock.asked != 3 {
			t.Errorf("asked %d times in 3 seconds", lock.asked)
		}
		lock.err = vfs.ErrLockLost
		time.Sleep(lockCheckPause)
		synctest.Wait()
		if err := h.CheckLockNowAndThen(); !errors.Is(err, vfs.ErrLockLost) {
			t.Error(err)
		}
		h.StopWatch()
	})
}
