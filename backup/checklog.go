package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// This file has checks read the archived log: each part, with its chunks, and whether one is missing that a
// backup would need.

// logs reads the log of all databases.
func (c *checker) logs(backups []*contents) error {
	byDir, err := listParts(c.ctx, c.target, logPrefix)
	if err != nil {
		return err
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		parts := byDir[dir]
		last, err := getSeen(c.ctx, c.target, c.with, dir)
		if isDamage(err) {
			err = c.badLog(dir+seenName, err)
		}
		if err != nil {
			return err
		}
		if n := parts[len(parts)-1].last; last.Seq > n {
			c.report.LogDamage[dir] = damaged(dir, fmt.Errorf("the log went to write %d, and what is behind %d is missing", last.Seq, n))
		}
		next := c.oldest(dir, backups)
		for _, p := range parts {
			if err := c.part(dir, p, next); err != nil {
				return err
			}
			next = max(next, p.last+1)
		}
	}
	return nil
}

// oldest returns the number that follows the oldest backup of a history.
func (c *checker) oldest(dir string, backups []*contents) (next uint64) {
	for _, b := range backups {
		if logDir(b.Database, b.History) == dir && (next == 0 || b.Seq+1 < next) {
			next = b.Seq + 1
		}
	}
	return next
}

// part reads a part, which is to begin with number next or before, unless that is 0.
func (c *checker) part(dir string, p part, next uint64) error {
	if c.pace != nil && !c.pace.Await(c.ctx, int(p.sizeBytes)) {
		return context.Cause(c.ctx)
	}
	read, err := loadPart(c.ctx, c.target, c.with, p)
	if isDamage(err) {
		return c.badLog(p.name, err)
	}
	if err != nil {
		return err
	}
	if read.Continues && next > 0 && p.first > next {
		c.report.LogDamage[dir] = damaged(dir, fmt.Errorf("writes %d to %d are missing, which %s goes on from", next, p.first-1, p.name))
	}
	var damage error
	for i := range read.Files {
		f := &read.Files[i]
		err := f.each(read.ChunkBytes, func(i int, _, length int64) error {
			found, err := c.once(f.Chunks[i], length)
			damage = errors.Join(damage, found)
			return err
		})
		if err != nil {
			return err
		}
	}
	c.report.ReadBytes += int64(len(read.commits))
	if damage != nil {
		return c.badLog(p.name, damage)
	}
	c.report.LogParts++
	return nil
}

// badLog notes that an object of the log is of no use.
func (c *checker) badLog(name string, damage error) error {
	c.report.LogDamage[name] = damage
	if !c.Discard {
		return nil
	}
	return c.target.Delete(c.ctx, name)
}
