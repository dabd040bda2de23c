package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// FullDisk takes away what a database needs and gives it back: space, inodes,
// descriptors, permissions, a medium that can be written. A round is one such
// shortage; the seeds take turns.
type FullDisk struct {
	// Dir holds the file systems; the system's directory for temporary files
	// where it is empty. What a failed round leaves stays there, but nothing
	// stays mounted.
	Dir string
}

// Needs says why the suite cannot run here, if it cannot.
func (f *FullDisk) Needs() error { return needsMounts() }

// shortage is a scenario of the suite.
type shortage struct {
	name string
	run  func(*diskRound, context.Context) error
}

func shortages() []shortage {
	return []shortage{
		{"full tmpfs", (*diskRound).fullTmpfs},
		{"full ext4", (*diskRound).fullExt4},
		{"no inodes", (*diskRound).noInodes},
		{"medium turns read-only", (*diskRound).turnsReadOnly},
		{"medium is read-only", (*diskRound).isReadOnly},
		{"no permission", (*diskRound).noPermission},
		{"no descriptors", (*diskRound).noDescriptors},
	}
}

// Round runs the shortage whose turn it is.
func (f *FullDisk) Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	return inDirectory(ctx, f.Needs, f.Dir, seed, func(dir string) error {
		all := shortages()
		turn := all[seed%uint64(len(all))]
		r := &diskRound{base: dir, round: round{
			seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), tally: tally,
			oracle: newOracle(seed, 1, lossOfProcess),
		}}
		if err := turn.run(r, ctx); err != nil {
			return fmt.Errorf("%s: %w", turn.name, err)
		}
		tally.Add(ledger.Faults, 1)
		return nil
	})
}

type diskRound struct {
	round
	base string // what the round has made
	db   *lightning.DB
	p    *performer
	n    uint32 // the next operation
}

// open opens the database for operations of this process.
func (r *diskRound) open() (err error) {
	r.lives++
	opts := databaseOptions(r.seed, r.lives)
	opts.Tree.MemtableBytes = 64 << 10 // what a full disk holds up is soon much
	r.n = r.oracle.next()[0]
	if r.db, err = lightning.Open(r.dir, opts); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if r.p, err = newPerformer(r.db, r.seed, 1); err != nil {
		return err
	}
	r.oracle.opened(opts.Durability)
	return nil
}

// step does the next operation; one that fails stays the next.
func (r *diskRound) step(ctx context.Context) error {
	if err := r.p.perform(ctx, 0, r.n); err != nil {
		return err
	}
	r.tally.Add(ledger.Operations, 1)
	r.n++
	return r.oracle.ack(0, r.n-1)
}

func (r *diskRound) steps(ctx context.Context, count int) error {
	for range count {
		if err := r.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close closes the database, whose content is then what was acknowledged.
func (r *diskRound) close() error {
	if err := r.db.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	r.oracle.closed()
	return nil
}

// abandon closes what an error has left open, or the file system stays in use.
func (r *diskRound) abandon() error {
	if r.db == nil {
		return nil
	}
	if err := r.db.Close(); err != nil && !errors.Is(err, lightning.ErrClosed) {
		return fmt.Errorf("close after an error: %w", err)
	}
	return nil
}

func (r *diskRound) fullTmpfs(ctx context.Context) (err error) {
	r.dir = filepath.Join(r.base, "mount", "db")
	mount := filepath.Dir(r.dir)
	if err := os.Mkdir(mount, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=8m"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	defer func() { err = errors.Join(err, r.abandon(), unmountSoon(mount)) }()
	return r.starve(ctx, &ballast{dir: mount})
}

func (r *diskRound) fullExt4(ctx context.Context) error {
	return r.onImage(func(img *image) error { return r.starve(ctx, &ballast{dir: img.dir}) }, "-m", "0")
}

func (r *diskRound) noInodes(ctx context.Context) error {
	return r.onImage(func(img *image) error { return r.starve(ctx, &ballast{dir: img.dir, inodes: true}) },
		"-N", "64")
}

// onImage runs fn with the database in an ext4 image.
func (r *diskRound) onImage(fn func(*image) error, mkfsArgs ...string) (err error) {
	img, err := newImage(r.base, 16<<20, mkfsArgs...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.abandon(), img.unmount()) }()
	if err := img.mount("", unix.MS_NOATIME); err != nil {
		return err
	}
	r.dir = filepath.Join(img.dir, "db")
	return fn(img)
}

// ballast takes the space or the inodes of a file system.
type ballast struct {
	dir    string
	inodes bool
	files  []string
}

// take leaves not more than a little.
func (b *ballast) take(slack int) error {
	if b.inodes {
		return b.takeInodes(slack % 4)
	}
	name := filepath.Join(b.dir, "ballast")
	b.files = []string{name}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	for chunk := make([]byte, 64<<10); err == nil; size += int64(len(chunk)) {
		_, err = f.WriteAt(chunk, size)
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A file system that allocates late must know now what is taken.
	return errors.Join(f.Truncate(max(0, info.Size()-int64(slack))), f.Sync())
}

func (b *ballast) takeInodes(slack int) error {
	for {
		name := filepath.Join(b.dir, fmt.Sprint("ballast", len(b.files)))
		f, err := os.Create(name)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			return err
		}
		b.files = append(b.files, name)
		if err := f.Close(); err != nil {
			return err
		}
	}
	for range min(slack, len(b.files)) {
		last := len(b.files) - 1
		if err := os.Remove(b.files[last]); err != nil {
			return err
		}
		b.files = b.files[:last]
	}
	return nil
}

// give gives all back.
func (b *ballast) give() error {
	for _, name := range b.files {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	b.files = nil
	return nil
}

// starvedOperations are more than a file system without space can take.
const starvedOperations = 600

// starve takes the space away while the database works, looks at what it does
// without, and gives it back.
func (r *diskRound) starve(ctx context.Context, b *ballast) error {
	if err := r.open(); err != nil {
		return err
	}
	err := r.steps(ctx, 20+r.rng.IntN(120))
	if err == nil {
		err = r.runOut(ctx, b)
	}
	switch {
	case err != nil:
		return err
	case r.rng.IntN(4) == 0:
		err = r.closeFull(b)
	default:
		err = r.resume(ctx, b)
	}
	if err != nil {
		return err
	}
	return r.judge(ctx)
}

// runOut goes on until nothing is left, and then some.
func (r *diskRound) runOut(ctx context.Context, b *ballast) error {
	err := b.take(r.rng.IntN(256 << 10))
	if err != nil {
		return fmt.Errorf("take the space: %w", err)
	}
	if err = r.steps(ctx, 60); err == nil {
		if err := b.take(0); err != nil {
			return fmt.Errorf("take the rest of the space: %w", err)
		}
		err = r.steps(ctx, starvedOperations)
	}
	if !errors.Is(err, lightning.ErrNoSpace) {
		return fmt.Errorf("writing without space: %w", err)
	}
	if err := r.oracle.judgeLive(r.db); err != nil {
		return err
	}
	for range 5 {
		if err := r.step(ctx); err != nil && !errors.Is(err, lightning.ErrNoSpace) {
			return fmt.Errorf("writing without space, again: %w", err)
		}
	}
	return r.oracle.judgeLive(r.db)
}

// closeFull closes the database while there is no space, which may fail, and
// reads it: that takes no space.
func (r *diskRound) closeFull(b *ballast) error {
	if err := r.db.Close(); err == nil {
		r.oracle.closed()
	} else if !errors.Is(err, lightning.ErrNoSpace) {
		return fmt.Errorf("close without space: %w", err)
	}
	opts := databaseOptions(r.seed, r.lives)
	opts.ReadOnly = true
	db, err := lightning.Open(r.dir, opts)
	if err != nil {
		return fmt.Errorf("open read-only without space: %w", err)
	}
	if err := errors.Join(r.oracle.judge(db), db.Close()); err != nil {
		return fmt.Errorf("read-only without space: %w", err)
	}
	return b.give()
}

// resumeWithin is how soon a database must write again once it can. The engine
// tries once a second.
const (
	resumeWithin      = 20 * time.Second
	resumedOperations = 30
)

// resume gives the space back. The database must go on, unless its manifest
// met the full disk; then it must say so and be closed (docs/limits.md).
func (r *diskRound) resume(ctx context.Context, b *ballast) error {
	if err := b.give(); err != nil {
		return fmt.Errorf("give the space back: %w", err)
	}
	deadline := clock.System.Now().Add(resumeWithin)
	for done := 0; done < resumedOperations; {
		err := r.step(ctx)
		if err == nil {
			done++
			continue
		}
		refuses := r.db.Metrics().Health.WriteErr
		switch {
		case !errors.Is(err, lightning.ErrNoSpace):
			return fmt.Errorf("after the space came back: %w", err)
		case refuses != nil && !errors.Is(refuses, lightning.ErrNoSpace):
			return fmt.Errorf("the database refuses writes, but not for lack of space: %w", refuses)
		case refuses != nil:
			_ = r.db.Close() // says the same again
			return nil
		case clock.System.Now().After(deadline):
			return fmt.Errorf("%v after the space came back: %w", resumeWithin, err)
		}
		pause()
	}
	return errors.Join(r.oracle.judgeLive(r.db), r.close())
}
