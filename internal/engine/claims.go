package engine

import (
	"bytes"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/view"
)

// claims know which tables somebody is about to take out of the tree, so that
// nobody else does, and which are damaged, so that no job reads them.
//
// A claim is taken under the lock together with a look at the current tree, and
// given up after the edit that takes the file out has been installed: whoever
// finds a file in the tree and not claimed may have it.
//
// All methods are safe for concurrent use. The lock is never held during I/O.
type claims struct {
	reads *view.Reader

	mu      ranked.Mutex[ranked.Claims]
	claimed map[base.FileNum]bool
	damaged map[base.FileNum]error // and how
}

// takeJob calls pick with the current version, under the lock, and claims the
// inputs of the job that it returns. A job one of whose inputs is claimed is not
// to be had now: nil.
func (c *claims) takeJob(pick func(v *manifest.Version, damaged func(*manifest.FileMeta) bool) *compact.Job) *compact.Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	job := pick(c.reads.State().Tree.Version, c.isDamaged)
	if job == nil {
		return nil
	}
	for _, files := range job.Inputs {
		for _, f := range files {
			if c.claimed[f.Num] {
				return nil
			}
		}
	}
	for _, files := range job.Inputs {
		for _, f := range files {
			c.claimed[f.Num] = true
		}
	}
	return job
}

// releaseJob gives up the claims of a job.
func (c *claims) releaseJob(job *compact.Job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, files := range job.Inputs {
		for _, f := range files {
			delete(c.claimed, f.Num)
		}
	}
}

// takeCovered returns the files that new tombstones hide entirely from every
// reader, so that they can go without being read: a delete-only compaction. It
// claims them.
func (c *claims) takeCovered(deletes *rangedel.List) (out []manifest.LevelNum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.covered(deletes, func(level int, meta *manifest.FileMeta) {
		c.claimed[meta.Num] = true
		out = append(out, manifest.LevelNum{Level: level, Num: meta.Num})
	})
	return out
}

// coveredBytes is the size of what takeCovered would take.
func (c *claims) coveredBytes(deletes *rangedel.List) (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.covered(deletes, func(_ int, meta *manifest.FileMeta) { n += meta.SizeBytes })
	return n
}

// covered calls fn with the files that nobody has claimed and that tombstones hide
// entirely from every reader. The caller holds the lock.
func (c *claims) covered(deletes *rangedel.List, fn func(level int, meta *manifest.FileMeta)) {
	if deletes.Empty() {
		return
	}
	fragments := deletes.Fragments()
	lo, hi := fragments[0].Lo, fragments[len(fragments)-1].Hi
	v := c.reads.State().Tree.Version
	snapshots := c.reads.SnapshotSeqs()
	for level := range v.Levels {
		for _, meta := range v.Overlapping(level, lo, hi) {
			oldest, newest := coverOf(deletes, meta)
			if meta.LargestSeq < oldest && !c.claimed[meta.Num] && !seenBetween(snapshots, meta.SmallestSeq, newest) {
				fn(level, meta)
			}
		}
	}
}

// coverOf returns the oldest and the newest number of the tombstones that are the newest
// ones over some key of a file, 0 if there is a key without.
func coverOf(deletes *rangedel.List, meta *manifest.FileMeta) (oldest, newest base.SeqNum) {
	oldest = base.SeqNumMax
	at := meta.Lo
	for _, f := range deletes.Truncate(meta.Lo, meta.Hi).Fragments() {
		if !bytes.Equal(f.Lo, at) {
			return 0, 0
		}
		oldest, newest, at = min(oldest, f.Seqs[0]), max(newest, f.Seqs[0]), f.Hi
	}
	if !bytes.Equal(at, meta.Hi) {
		return 0, 0
	}
	return oldest, newest
}

// seenBetween reports whether a snapshot sees seq but not until.
func seenBetween(snapshots []base.SeqNum, seq, until base.SeqNum) bool {
	for _, s := range snapshots {
		if s >= seq && s < until {
			return true
		}
	}
	return false
}

// release gives up the claims on files.
func (c *claims) release(files []manifest.LevelNum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		delete(c.claimed, f.Num)
	}
}

// quarantine notes that a file is damaged: no job reads it again. Merging a file
// that cannot be read in full would lose what is readable of it.
func (c *claims) quarantine(n base.FileNum, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.damaged[n] = err
}

// forget takes files off that the tree no longer has.
func (c *claims) forget(files []manifest.LevelNum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range files {
		delete(c.damaged, f.Num)
	}
}

// isDamaged reports whether a file is. The caller holds the lock.
func (c *claims) isDamaged(f *manifest.FileMeta) bool { return c.damaged[f.Num] != nil }

// damagedFiles returns how many files of the tree are damaged.
func (c *claims) damagedFiles() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.damaged)
}

// damageIn returns what is wrong with the damaged files in [lo, hi), which no
// compaction can settle.
func (c *claims) damageIn(lo, hi []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []error
	v := c.reads.State().Tree.Version
	for level := range v.Levels {
		for _, f := range v.Overlapping(level, lo, hi) {
			if err := c.damaged[f.Num]; err != nil {
				found = append(found, err)
			}
		}
	}
	return errors.Join(found...)
}
