package engine

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sort"

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
	// damagedBlobs are the blob tables whose values no job writes anew.
	damagedBlobs map[base.FileNum]error
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

// takeCovered returns the files that new tombstones, in memory, hide entirely from every
// reader, so that they can go without being read: a delete-only compaction. It
// claims them.
func (c *claims) takeCovered(deletes rangedel.Source) (out []manifest.LevelNum) {
	c.covered(deletes, base.SeqNumMax, func(level int, f *manifest.FileMeta) {
		c.claimed[f.Num] = true
		out = append(out, manifest.LevelNum{Level: level, Num: f.Num})
	})
	return out
}

// coveredBytes is the size of what takeCovered would take, if those that seq sees were all.
func (c *claims) coveredBytes(deletes rangedel.Source, seq base.SeqNum) (n uint64) {
	c.covered(deletes, seq, func(_ int, f *manifest.FileMeta) { n += f.SizeBytes })
	return n
}

// covered calls fn, under the lock, with the files that nobody has claimed and that
// tombstones which seq sees hide entirely from every reader.
func (c *claims) covered(deletes rangedel.Source, seq base.SeqNum, fn func(level int, f *manifest.FileMeta)) {
	if p, _ := deletes.Around(nil, seq); p.Seq == 0 && p.Hi == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	snapshots := c.reads.SnapshotSeqs()
	for level, files := range c.reads.State().Tree.Version.Levels {
		for i := 0; i < len(files); i++ {
			f := files[i]
			oldest, newest, next := coverOf(deletes, seq, f)
			if f.LargestSeq < oldest && !c.claimed[f.Num] && !seenBetween(snapshots, f.SmallestSeq, newest) {
				fn(level, f)
			}
			if level > 0 && oldest == 0 && next == nil {
				break // no tombstone comes behind the begin of the file
			}
			if level > 0 && oldest == 0 {
				// What begins before the next tombstone is not covered either.
				i += sort.Search(len(files)-i-1, func(j int) bool { return bytes.Compare(files[i+1+j].Lo, next) >= 0 })
			}
		}
	}
}

// coverPieces is how many tombstones that lie side by side are looked at to see whether
// they cover a file.
const coverPieces = 64

// coverOf returns the oldest and the newest of the tombstones that cover a file entirely,
// side by side, as seq sees them. If they do not: zeroes, and where the next one begins,
// nil if nowhere.
func coverOf(deletes rangedel.Source, seq base.SeqNum, f *manifest.FileMeta) (oldest, newest base.SeqNum, next []byte) {
	at := f.Lo
	for range coverPieces {
		p, err := deletes.Around(at, seq)
		if err != nil || p.Seq == 0 {
			return 0, 0, p.Hi
		}
		if oldest == 0 || p.Seq < oldest {
			oldest = p.Seq
		}
		newest = max(newest, p.Seq)
		if bytes.Compare(p.Hi, f.Hi) >= 0 {
			return oldest, newest, p.Hi
		}
		at = p.Hi
	}
	return 0, 0, at
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

// leaveBlob notes that a blob table is damaged: its values stay where they are. It reports
// whether that is new.
func (c *claims) leaveBlob(n base.FileNum, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.damagedBlobs[n] != nil {
		return false
	}
	damaged := maps.Clone(c.damagedBlobs) // others look at this one
	if damaged == nil {
		damaged = map[base.FileNum]error{}
	}
	damaged[n] = err
	c.damagedBlobs = damaged
	return true
}

// leftBlobs are the damaged blob tables; nobody writes into what it returns.
func (c *claims) leftBlobs() map[base.FileNum]error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.damagedBlobs
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
	return len(c.damaged) + len(c.damagedBlobs)
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
			for _, use := range f.Blobs {
				if err := c.damagedBlobs[use.Num]; err != nil && !slices.Contains(found, err) {
					found = append(found, err)
				}
			}
		}
	}
	return errors.Join(found...)
}
