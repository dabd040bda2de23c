package backup

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Writers do not mind each other; who deletes is alone.
func TestLeasesExclude(t *testing.T) {
	target := newTarget(t)
	first, _, err := acquire(t.Context(), target, systemClock, toWrite)
	must(t, err)
	second, _, err := acquire(t.Context(), target, systemClock, toWrite)
	must(t, err)
	busy := func(p purpose) {
		t.Helper()
		if _, _, err := acquire(t.Context(), target, systemClock, p); !errors.Is(err, ErrTargetBusy) {
			t.Errorf("a lease to %s: %v", p, err)
		}
	}
	busy(toDelete)
	must(t, first.release(t.Context()))
	busy(toDelete)
	must(t, second.release(t.Context()))
	third, _, err := acquire(t.Context(), target, systemClock, toDelete)
	must(t, err)
	busy(toWrite)
	busy(toDelete)
	must(t, third.release(t.Context()))
	if left := names(t, target); len(left) != 1 {
		t.Errorf("left are %q", left)
	}
	// What nobody understands is left alone.
	must(t, target.Put(t.Context(), leasePrefix+"later", []byte("version 2")))
	busy(toWrite)
}

// A lease is renewed while its holder lives, and one of a dead holder gives way.
func TestLeasesAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := newTarget(t)
		alive, held, err := acquire(t.Context(), target, systemClock, toDelete)
		must(t, err)
		time.Sleep(24 * time.Hour)
		if _, _, err := acquire(t.Context(), target, systemClock, toWrite); !errors.Is(err, ErrTargetBusy) || held.Err() != nil {
			t.Errorf("after a day: %v, %v", err, held.Err())
		}
		must(t, alive.held(held))
		must(t, alive.release(t.Context()))

		dead := &lease{target: target, clock: systemClock, name: leasePrefix + "dead", purpose: toDelete}
		must(t, dead.write(t.Context()))
		time.Sleep(leaseTime)
		if _, _, err := acquire(t.Context(), target, systemClock, toWrite); !errors.Is(err, ErrTargetBusy) {
			t.Errorf("after half an hour: %v", err)
		}
		time.Sleep(time.Second)
		next, _, err := acquire(t.Context(), target, systemClock, toWrite)
		must(t, err)
		must(t, next.release(t.Context()))
	})
}

// unreachable is a target that cannot be reached, while that is so.
type unreachable struct {
	Target
	down atomic.Bool
}

var errDown = errors.New("the network is down")

func (u *unreachable) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if u.down.Load() {
		return nil, errDown
	}
	return u.Target.Get(ctx, name)
}

// Who cannot renew for some time goes on; for longer, or if somebody has removed the lease,
// ends before others could take him for dead.
func TestLeasesAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &unreachable{Target: newTarget(t)}
		start := time.Now()
		l, held, err := acquire(t.Context(), target, systemClock, toWrite)
		must(t, err)
		target.down.Store(true)
		time.Sleep(2*renewAfter + time.Second)
		target.down.Store(false)
		time.Sleep(leaseTime)
		if held.Err() != nil {
			t.Errorf("lost after %v: %v", time.Since(start), context.Cause(held))
		}
		target.down.Store(true)
		time.Sleep(leaseTime)
		if err := context.Cause(held); !errors.Is(err, ErrLeaseLost) || !errors.Is(err, errDown) {
			t.Errorf("after half an hour: %v", err)
		}
		target.down.Store(false)
		if err := l.held(t.Context()); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("it counts as held: %v", err)
		}
		must(t, l.release(t.Context()))

		l, held, err = acquire(t.Context(), target, systemClock, toWrite)
		must(t, err)
		must(t, target.Delete(t.Context(), l.name))
		if err := l.held(t.Context()); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("it counts as held: %v", err)
		}
		time.Sleep(renewAfter + time.Second)
		if err := context.Cause(held); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("after it was removed: %v", err)
		}
		must(t, l.release(t.Context()))
	})
}
