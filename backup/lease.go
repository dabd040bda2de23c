package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// This file keeps those who make backups and those who delete some out of each other's way,
// on targets that know nothing of locks. A backup counts on chunks that it has found, and
// what no backup refers to is deleted: so chunks that a backup counts on which has no manifest
// yet would go.
//
// Each writes a lease first, and only then looks for those of others. Of two that begin
// at the same time, at least one sees the other, and withdraws. Backups do not mind each
// other, and neither do restores anybody.
//
// A lease is written anew while its holder lives. One that is older than leaseTime is of somebody
// who does so no more, and is removed. Who could not renew his for so long ends by himself,
// before others take him for dead. The clocks of all machines are taken to differ by less
// than half of leaseTime.

const (
	leaseTime  = 30 * time.Minute
	renewAfter = 5 * time.Minute
	// leaseBytesMax bounds what is read of a lease.
	leaseBytesMax = 4096
)

// purpose is what a lease is for.
type purpose string

const (
	toWrite  purpose = "write"
	toDelete purpose = "delete"
)

// leaseContent is what a lease says.
type leaseContent struct {
	Purpose purpose   `json:"purpose"`
	Renewed time.Time `json:"renewed"`
}

// lease is one that this process holds.
type lease struct {
	target  Target
	clock   clock.Clock
	name    string
	purpose purpose
	cancel  context.CancelCauseFunc

	mu      sync.Mutex
	renewed time.Time
	timer   clock.Timer
	given   bool // back
	busy    sync.WaitGroup
}

// acquire takes a lease, and returns a context that ends when it is lost.
func acquire(ctx context.Context, t Target, c clock.Clock, p purpose) (*lease, context.Context, error) {
	l := &lease{target: t, clock: c, name: leasePrefix + newID(), purpose: p}
	if err := l.write(ctx); err != nil {
		return nil, nil, err
	}
	if err := l.await(ctx); err != nil {
		return nil, nil, errors.Join(err, l.remove(ctx))
	}
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewLater(ctx)
	return l, ctx, nil
}

// write writes the lease, from now on.
func (l *lease) write(ctx context.Context) error {
	now := l.clock.Now().UTC()
	text, err := json.Marshal(leaseContent{l.purpose, now})
	if err == nil {
		err = l.target.Put(ctx, l.name, text)
	}
	if err != nil {
		return fmt.Errorf("write a lease: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = now
	return nil
}

// await makes sure that nobody is there who must not be, and removes what the dead have left.
func (l *lease) await(ctx context.Context) error {
	for o, err := range l.target.List(ctx, leasePrefix) {
		if err != nil {
			return fmt.Errorf("list the leases: %w", err)
		}
		if o.Name == l.name {
			continue
		}
		other, err := l.read(ctx, o.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		}
		age := l.clock.Now().Sub(other.Renewed)
		switch {
		case age > leaseTime:
			if err := l.target.Delete(ctx, o.Name); err != nil {
				return fmt.Errorf("remove an old lease: %w", err)
			}
		case other.Purpose == toDelete:
			return fmt.Errorf("%w: backups are being deleted, or were %v ago", ErrTargetBusy, age.Round(time.Second))
		case l.purpose == toDelete:
			return fmt.Errorf("%w: a backup is being made, or was %v ago", ErrTargetBusy, age.Round(time.Second))
		}
	}
	return nil
}

// read returns the lease of somebody. One that says nothing sensible is taken as just written:
// it may be of a later version.
func (l *lease) read(ctx context.Context, name string) (leaseContent, error) {
	data, err := fetch(ctx, l.target, name, leaseBytesMax)
	if err != nil && !isDamage(err) {
		return leaseContent{}, err
	}
	var c leaseContent
	if json.Unmarshal(data, &c) != nil {
		return leaseContent{}, fmt.Errorf("%w: lease %s cannot be understood; if nobody uses the target, remove it",
			ErrTargetBusy, strings.TrimPrefix(name, leasePrefix))
	}
	return c, nil
}

// renewLater has the lease renewed in time. The caller holds the lock.
func (l *lease) renewLater(ctx context.Context) {
	l.timer = l.clock.AfterFunc(renewAfter, func() {
		l.mu.Lock()
		if l.given {
			l.mu.Unlock()
			return
		}
		l.busy.Add(1)
		l.mu.Unlock()
		defer l.busy.Done()
		err := l.renew(ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		switch age := l.clock.Now().Sub(l.renewed); {
		case l.given:
		case errors.Is(err, ErrLeaseLost):
			l.cancel(err)
		case age > leaseTime/2:
			l.cancel(fmt.Errorf("%w: it could not be renewed for %v: %w", ErrLeaseLost, age.Round(time.Second), err))
		default: // the target may be back soon
			l.renewLater(ctx)
		}
	})
}

// renew writes the lease anew, if it is there.
func (l *lease) renew(ctx context.Context) error {
	l.mu.Lock()
	before := l.renewed
	l.mu.Unlock()
	_, err := fetch(ctx, l.target, l.name, leaseBytesMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: somebody has removed it", ErrLeaseLost)
	case err != nil:
		return err
	}
	if err := l.write(ctx); err != nil {
		return err
	}
	// Somebody may have removed it between the two, and be done by now.
	if age := l.clock.Now().Sub(before); age > leaseTime/2 {
		return fmt.Errorf("%w: it was not renewed for %v", ErrLeaseLost, age.Round(time.Second))
	}
	return nil
}

// held makes sure that nobody can have taken the holder for dead by now.
func (l *lease) held(ctx context.Context) error {
	l.mu.Lock()
	age := l.clock.Now().Sub(l.renewed)
	l.mu.Unlock()
	if age > leaseTime/2 {
		return fmt.Errorf("%w: it could not be renewed for %v", ErrLeaseLost, age.Round(time.Second))
	}
	if _, err := fetch(ctx, l.target, l.name, leaseBytesMax); err != nil {
		return fmt.Errorf("%w: %w", ErrLeaseLost, err)
	}
	return nil
}

// release gives the lease back, also when the context has ended.
func (l *lease) release(ctx context.Context) error {
	l.mu.Lock()
	l.given = true
	l.timer.Stop()
	l.mu.Unlock()
	l.busy.Wait()
	l.cancel(nil)
	return l.remove(ctx)
}

func (l *lease) remove(ctx context.Context) error {
	if err := l.target.Delete(context.WithoutCancel(ctx), l.name); err != nil {
		return fmt.Errorf("remove the lease: %w", err)
	}
	return nil
}
