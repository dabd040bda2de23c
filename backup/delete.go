package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// Keep says which backups Prune leaves. A backup stays if any of the rules wants it; the rules
// apply to the backups of each database by themselves. Days and the like are those of UTC, and each is
// represented by its newest backup.
type Keep struct {
	// Last is how many of the newest stay.
	Last int
	// For how many of the last days, weeks, months and years that have backups one of each stays.
	Daily, Weekly, Monthly, Yearly int
	// Within is for how long all stay, back from the newest one.
	Within time.Duration
	// Log is for how long the archived log stays, back from the newest backup, so that one can restore to any
	// time in it; 0 for as long as there are backups from before. It keeps no backup: one that stays has to
	// be older, or the log goes back to the oldest one only.
	Log time.Duration
}

func (k Keep) check() error {
	if k.Last < 0 || k.Daily < 0 || k.Weekly < 0 || k.Monthly < 0 || k.Yearly < 0 || k.Within < 0 || k.Log < 0 {
		return fmt.Errorf("%w: %+v has a negative number", ErrOption, k)
	}
	if k == (Keep{Log: k.Log}) {
		return fmt.Errorf("%w: this would delete all backups: keep one at least", ErrOption)
	}
	return nil
}

// rule keeps one backup of each of the last periods that have any.
type rule struct {
	most   int
	period func(t time.Time) string
}

func (k Keep) rules() []rule {
	format := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.UTC().Format(layout) }
	}
	week := func(t time.Time) string {
		year, n := t.UTC().ISOWeek()
		return fmt.Sprintf("%d-%02d", year, n)
	}
	return []rule{
		{k.Daily, format("2006-01-02")}, {k.Weekly, week}, {k.Monthly, format("2006-01")}, {k.Yearly, format("2006")},
	}
}

// chosen returns which of the backups of one database stay. They are given the oldest first.
func (k Keep) chosen(infos []Info) map[string]bool {
	stay := map[string]bool{}
	for i, info := range slices.Backward(infos) {
		if len(infos)-i <= k.Last || k.Within > 0 && infos[len(infos)-1].Time.Sub(info.Time) <= k.Within {
			stay[info.ID] = true
		}
	}
	for _, r := range k.rules() {
		seen := map[string]bool{}
		for _, info := range slices.Backward(infos) {
			if p := r.period(info.Time); !seen[p] && len(seen) < r.most {
				seen[p] = true
				stay[info.ID] = true
			}
		}
	}
	return stay
}

// Deleted says what was deleted.
type Deleted struct {
	Backups []Info // those that are gone
	Kept    []Info // and those that are not
	// Chunks and Bytes are what nothing refers to any more, and was given back.
	Chunks int
	Bytes  int64
	// LogParts and LogBytes are what of the archived log led on from no backup that is left.
	LogParts int
	LogBytes int64
}

// PruneOptions are for Prune and Delete.
type PruneOptions struct {
	// DryRun says what would be deleted, and deletes nothing.
	DryRun bool
	// Database, if not empty, is the identity of the database of which backups are deleted: see Info.
	Database string

	clock clock.Clock // nil but in tests
}

// Prune deletes the backups that no rule keeps, the chunks that no other backup has, and what of the archived
// log leads on from none that is left. DB.Archive may be under way.
//
// While a backup is being made it fails with ErrTargetBusy, and while it is under way backups
// do. A kill leaves chunks to the next deletion, and never a backup without one of its
// chunks. If the manifest of a backup is damaged, nothing is deleted, because it is not known which
// chunks it has: see Delete.
func Prune(ctx context.Context, t Target, keep Keep, o PruneOptions) (Deleted, error) {
	if err := keep.check(); err != nil {
		return Deleted{}, err
	}
	return remove(ctx, t, o, keep.Log, func(all []*contents, damaged []string) (map[string]bool, error) {
		byDatabase := map[string][]Info{}
		for _, c := range all {
			byDatabase[c.Database] = append(byDatabase[c.Database], c.Info)
		}
		gone := map[string]bool{}
		for database, infos := range byDatabase {
			if o.Database != "" && o.Database != database {
				continue
			}
			stay := keep.chosen(infos)
			for _, info := range infos {
				if !stay[info.ID] {
					gone[info.ID] = true
				}
			}
		}
		return gone, nil
	})
}

// Delete deletes backups by their IDs, and what no other backup has or leads on from none. It also deletes one
// whose manifest is damaged. What Prune says holds.
func Delete(ctx context.Context, t Target, o PruneOptions, wanted ...string) (Deleted, error) {
	return remove(ctx, t, o, 0, func(all []*contents, damaged []string) (map[string]bool, error) {
		gone := map[string]bool{}
		for _, id := range wanted {
			isThere := slices.Contains(damaged, id) || slices.ContainsFunc(all, func(c *contents) bool {
				return c.ID == id && (o.Database == "" || o.Database == c.Database)
			})
			if !isThere {
				return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
			}
			gone[id] = true
		}
		return gone, nil
	})
}

// remove deletes the backups that choose returns, of those that are sound and those that are damaged.
func remove(ctx context.Context, t Target, o PruneOptions, logFor time.Duration,
	choose func(all []*contents, damaged []string) (map[string]bool, error)) (d Deleted, err error) {
	if ctx == nil {
		return d, errNilContext
	}
	if o.clock == nil {
		o.clock = clock.System
	}
	if err := checkFormat(ctx, t, false); err != nil {
		return d, err
	}
	held, ctx, err := acquire(ctx, t, o.clock, toDelete)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, held.release(ctx)) }()
	r := remover{PruneOptions: o, ctx: ctx, target: t, held: held, logFor: logFor}
	if r.with, err = newCodec(1); err != nil {
		return d, err
	}
	defer r.with.close()
	if err := r.read(); err != nil {
		return d, err
	}
	gone, err := choose(r.all, r.damaged)
	if err != nil {
		return d, err
	}
	err = r.run(gone)
	return r.deleted, err
}

// remover deletes backups, and chunks that nothing refers to.
type remover struct {
	PruneOptions
	ctx     context.Context
	target  Target
	held    *lease
	with    *codec
	all     []*contents
	damaged []string // IDs
	damage  error
	deleted Deleted
	logFor  time.Duration // see Keep
}

// read reads all manifests.
func (r *remover) read() error {
	found, err := listIDs(r.ctx, r.target)
	if err != nil {
		return err
	}
	for _, id := range found {
		c, err := load(r.ctx, r.target, r.with, id)
		switch {
		case isDamage(err):
			r.damaged = append(r.damaged, id)
			r.damage = errors.Join(r.damage, err)
		case err != nil:
			return err
		default:
			r.all = append(r.all, c)
		}
	}
	slices.SortStableFunc(r.all, func(a, b *contents) int { return a.Time.Compare(b.Time) })
	return nil
}

// run deletes.
func (r *remover) run(gone map[string]bool) error {
	stays := slices.DeleteFunc(slices.Clone(r.damaged), func(id string) bool { return gone[id] })
	if len(stays) > 0 {
		return fmt.Errorf("nothing is deleted, because it is not known which chunks this needs; delete it first: %w", r.damage)
	}
	used := map[sum]bool{}
	for _, c := range r.all {
		if gone[c.ID] {
			r.deleted.Backups = append(r.deleted.Backups, c.Info)
			continue
		}
		r.deleted.Kept = append(r.deleted.Kept, c.Info)
		for i := range c.List {
			for _, s := range c.List[i].Chunks {
				used[s] = true
			}
		}
	}
	unused, err := r.unusedLog(used)
	if err != nil {
		return err
	}
	// Manifests first: a backup never lacks chunks, or log.
	for id := range gone {
		if err := r.delete(backupPrefix + id); err != nil {
			return err
		}
	}
	for _, o := range unused {
		if err := r.delete(o.Name); err != nil {
			return err
		}
	}
	if err := r.sweep(used); err != nil {
		return err
	}
	if tidy, ok := r.target.(tidier); ok && !r.DryRun {
		return tidy.Tidy(r.ctx)
	}
	return nil
}

// tidier is a target on which writers that were killed leave something.
type tidier interface {
	Tidy(ctx context.Context) error
}

// sweep deletes the chunks that are not used.
func (r *remover) sweep(used map[sum]bool) error {
	var unused []Object
	err := listChunks(r.ctx, r.target, func(s sum, o Object) {
		if !used[s] {
			unused = append(unused, o)
		}
	})
	if err != nil {
		return err
	}
	for _, o := range unused {
		if err := r.delete(o.Name); err != nil {
			return err
		}
		r.deleted.Chunks++
		r.deleted.Bytes += o.SizeBytes
	}
	return nil
}

// delete deletes an object, as long as nobody can take the lease for lost.
func (r *remover) delete(name string) error {
	if r.DryRun {
		return nil
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if err := r.target.Delete(r.ctx, name); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}
