package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/store"
)

// CheckOptions are for Check.
type CheckOptions struct {
	// IDs are the backups to check; none for all, and for the archived log.
	IDs []string
	// BytesPerSecond bounds how fast the target is read; 0 for no bound.
	BytesPerSecond int64
	// Progress, if given, is called for each chunk. It should be short.
	Progress func(Progress)
	// Discard deletes chunks that are damaged. They are of no use, and the next backup of a database that
	// still has that content stores it again; as long as they are there, it counts on them. It deletes damaged
	// parts of the log, too. If one was the newest, DB.Archive stores it again as long as the database has it.
	Discard bool
}

// CheckReport says what a check has found.
type CheckReport struct {
	Backups   []Info // that are sound
	Chunks    int    // that were read
	ReadBytes int64
	// Damage is what is wrong with each backup that cannot be restored, by its ID.
	Damage map[string]error
	// LogParts are how many parts of the archived log are sound, and LogDamage is what is wrong with others, or
	// where one is missing that was there, by the names of the objects.
	LogParts  int
	LogDamage map[string]error
}

// Check reads every chunk of the backups of a target, each once, and the archived log, and tells which can be restored.
// Damage is no error of the call.
func Check(ctx context.Context, t Target, o CheckOptions) (CheckReport, error) {
	if ctx == nil {
		return CheckReport{}, errNilContext
	}
	if _, err := checkLimits(0, o.BytesPerSecond); err != nil {
		return CheckReport{}, err
	}
	if err := checkFormat(ctx, t, false); err != nil {
		return CheckReport{}, err
	}
	with, err := newCodec(1)
	if err != nil {
		return CheckReport{}, err
	}
	defer with.close()
	c := checker{
		CheckOptions: o, ctx: ctx, target: t, with: with, pace: store.NewPace(clock.System, o.BytesPerSecond),
		seen: map[sum]error{}, report: CheckReport{Damage: map[string]error{}, LogDamage: map[string]error{}},
	}
	if !o.Discard {
		err = c.run()
		return c.report, err
	}
	held, ctx, err := acquire(ctx, t, clock.System, toDelete)
	if err != nil {
		return CheckReport{}, err
	}
	c.ctx = ctx
	err = c.run()
	return c.report, errors.Join(err, held.release(ctx))
}

// checker reads chunks. It is used by one goroutine.
type checker struct {
	CheckOptions
	ctx    context.Context
	target Target
	with   *codec
	pace   *store.Pace // nil: there is no bound
	seen   map[sum]error
	buffer []byte
	done   Progress
	report CheckReport
}

func (c *checker) run() error {
	wanted := c.IDs
	if len(wanted) == 0 {
		var err error
		if wanted, err = listIDs(c.ctx, c.target); err != nil {
			return err
		}
	}
	var sound []*contents
	for _, id := range wanted {
		b, err := load(c.ctx, c.target, c.with, id)
		switch {
		case isDamage(err):
			c.report.Damage[id] = err
		case err != nil:
			return err
		default:
			sound = append(sound, b)
			c.done.TotalFiles += b.Files
			c.done.TotalBytes += b.SizeBytes
		}
	}
	for _, b := range sound {
		damage, err := c.backup(b)
		if err != nil {
			return err
		}
		if damage != nil {
			c.report.Damage[b.ID] = damage
		} else {
			c.report.Backups = append(c.report.Backups, b.Info)
		}
	}
	if len(c.IDs) > 0 {
		return nil
	}
	return c.logs(sound)
}

// backup reads the chunks of a backup that were not read yet.
func (c *checker) backup(b *contents) (damage, err error) {
	for i := range b.List {
		f := &b.List[i]
		err := f.each(b.ChunkBytes, func(i int, _, length int64) error {
			found, err := c.once(f.Chunks[i], length)
			if err != nil {
				return err
			}
			if found != nil {
				damage = errors.Join(damage, fmt.Errorf("%s: %w", f.Name, found))
			}
			c.done.DoneBytes += length
			if c.Progress != nil {
				c.Progress(c.done)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		c.done.Files++
	}
	return damage, nil
}

// once reads a chunk that was not read yet.
func (c *checker) once(s sum, length int64) (damage, err error) {
	damage, known := c.seen[s]
	if known {
		return damage, nil
	}
	if damage, err = c.chunk(s, length); err == nil {
		c.seen[s] = damage
	}
	return damage, err
}

// chunk reads a chunk.
func (c *checker) chunk(s sum, length int64) (damage, err error) {
	if c.pace != nil && !c.pace.Await(c.ctx, int(length)) {
		return nil, context.Cause(c.ctx)
	}
	content, err := c.with.getChunk(c.ctx, c.target, c.buffer, s, length)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged(chunkName(s), errors.New("it is missing")), nil
	case isDamage(err) && c.Discard:
		return err, c.target.Delete(c.ctx, chunkName(s))
	case isDamage(err):
		return err, nil
	case err != nil:
		return nil, err
	}
	c.buffer = content
	c.report.Chunks++
	c.report.ReadBytes += length
	return nil, nil
}
