package engine

import (
	"bytes"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// claimCovered returns the files that the new tombstones hide entirely from
// every reader, so that they can go without being read, and claims them. The
// caller holds db.mu.
func (db *DB) claimCovered(deletes *rangedel.List) []manifest.LevelNum {
	var out []manifest.LevelNum
	v := db.lockedState().tree.version
	snapshots := db.fields.snapshots.all()
	for _, f := range deletes.Fragments() {
		newest := f.Seqs[0]
		for level := range v.Levels {
			for _, meta := range v.Overlapping(level, f.Lo, f.Hi) {
				inside := bytes.Compare(meta.Lo, f.Lo) >= 0 && bytes.Compare(meta.Hi, f.Hi) <= 0
				if inside && meta.LargestSeq < newest && !db.fields.claimed[meta.Num] &&
					!seenBetween(snapshots, meta.SmallestSeq, newest) {
					db.fields.claimed[meta.Num] = true
					out = append(out, manifest.LevelNum{Level: level, Num: meta.Num})
				}
			}
		}
	}
	return out
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

// unclaim gives up the claims on files. The caller holds db.mu.
func (db *DB) unclaim(files []manifest.LevelNum) {
	for _, f := range files {
		delete(db.fields.claimed, f.Num)
	}
}
