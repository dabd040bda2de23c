package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning"
)

// The shortages of the FullDisk suite that are about something else than space.

// turnsReadOnly makes the file system read-only under a database that writes,
// as the kernel does when it finds an error in it.
func (r *diskRound) turnsReadOnly(ctx context.Context) error {
	r.oracle.loss = lossOfPower // the journal stops at once
	return r.onImage(func(img *image) error {
		if err := r.open(); err != nil {
			return err
		}
		if err := r.steps(ctx, 20+r.rng.IntN(100)); err != nil {
			return err
		}
		if err := unix.Mount("", img.dir, "", unix.MS_REMOUNT|unix.MS_NOATIME, "abort"); err != nil {
			return fmt.Errorf("make the mount read-only: %w", err)
		}
		r.oracle.powerLost()
		err := r.steps(ctx, starvedOperations)
		if !isMediumError(err) {
			return fmt.Errorf("writing to a medium that turned read-only: %w", err)
		}
		for range 3 {
			refuses := r.db.Metrics().Health.WriteErr
			if err := r.step(ctx); err == nil && refuses != nil {
				return fmt.Errorf("a database that refuses writes (%w) did operation %d", refuses, r.n-1)
			}
		}
		err = r.oracle.judgeLive(r.db)
		_ = r.db.Close() // it cannot write what it has in memory
		if err != nil {
			return err
		}
		if err := errors.Join(img.unmount(), img.mount("", unix.MS_NOATIME)); err != nil {
			return err
		}
		return r.judge(ctx)
	})
}

func isMediumError(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO) || errors.Is(err, unix.ESHUTDOWN)
}

// isReadOnly opens a database that was never closed on a medium that cannot be
// written: reading works, writing is refused.
func (r *diskRound) isReadOnly(ctx context.Context) error {
	return r.onImage(func(img *image) error {
		if err := r.lifeThenKill(ctx, 0); err != nil {
			return err
		}
		if err := errors.Join(img.unmount(), img.mount("", unix.MS_RDONLY)); err != nil {
			return err
		}
		opts := databaseOptions(r.seed, r.lives)
		switch db, err := lightning.Open(r.dir, opts); {
		case err == nil:
			return errors.Join(errors.New("a database on a read-only medium was opened for writing"), db.Close())
		case !isMediumError(err):
			return fmt.Errorf("opening for writing on a read-only medium says: %w", err)
		}
		opts.ReadOnly = true
		db, err := lightning.Open(r.dir, opts)
		if err != nil {
			return fmt.Errorf("open on a read-only medium: %w", err)
		}
		if err := errors.Join(r.oracle.judge(db), db.Close()); err != nil {
			return fmt.Errorf("on a read-only medium: %w", err)
		}
		if err := errors.Join(img.unmount(), img.mount("", 0)); err != nil {
			return err
		}
		return r.judge(ctx)
	})
}

// lifeThenKill has a child work, with so many descriptors left to it, and kills
// it when it is done.
func (r *diskRound) lifeThenKill(ctx context.Context, descriptors uint64) error {
	j := r.job()
	j.Count, j.Descriptors = uint32(30+r.rng.IntN(200)), descriptors
	e, err := runChild(ctx, j, (&end{oracle: r.oracle, job: j}).hear)
	if err != nil || ctx.Err() != nil {
		return err
	}
	if e.exitCode == exitFailed && (descriptors == 0 || !strings.Contains(e.said, "too many open files")) {
		return fmt.Errorf("the child failed: %s", e.said)
	}
	return nil
}

// nobody is a user without any rights.
const nobody = 65534

// noPermission opens a database as a user who may not, in several ways; each
// must say what is the matter and change nothing.
func (r *diskRound) noPermission(ctx context.Context) error {
	if err := os.Chmod(r.base, 0o755); err != nil {
		return err
	}
	r.dir = filepath.Join(r.base, "db")
	if err := r.lifeThenKill(ctx, 0); err != nil {
		return err
	}
	before, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		dir      string
		mode     os.FileMode
		readOnly bool
	}{
		{r.dir, 0, false}, {r.dir, 0, true}, {r.dir, 0o555, false}, {r.dir, 0o444, true},
		{filepath.Join(r.dir, "new"), 0o555, false},
	} {
		if err := os.Chmod(r.dir, c.mode); err != nil {
			return err
		}
		j := r.job()
		j.Dir, j.ReadOnly, j.User, j.OpenOnly = c.dir, c.readOnly, nobody, true
		e, err := runChild(ctx, j, func(c *running, m message) error {
			c.kill() // it has opened what it must not
			return nil
		})
		if err != nil || ctx.Err() != nil {
			return err
		}
		if e.opened || !strings.Contains(e.said, "permission denied") {
			return fmt.Errorf("a directory with mode %v, read-only: %v: opened: %v, said %q", c.mode, c.readOnly,
				e.opened, e.said)
		}
	}
	if err := os.Chmod(r.dir, 0o755); err != nil {
		return err
	}
	after, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	if len(before) != len(after) {
		return fmt.Errorf("there were %d files, and are %d after all was refused", len(before), len(after))
	}
	return r.judge(ctx)
}

// noDescriptors takes the descriptors away from a child at work, and gives them
// back when it meets the limit. What it does then may fail, but not break.
func (r *diskRound) noDescriptors(ctx context.Context) error {
	r.dir = filepath.Join(r.base, "db")
	for range 2 {
		if err := r.lifeThenKill(ctx, uint64(6+r.rng.IntN(20))); err != nil || ctx.Err() != nil {
			return err
		}
		if err := r.judge(ctx); err != nil {
			return err
		}
	}
	return nil
}

// limitDescriptors sets how many descriptors may be open; 0 leaves it.
func limitDescriptors(n uint64) error {
	if n == 0 {
		return nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = min(n, limit.Max)
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}
