package compact

import (
	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// This file says which blob tables are to be left, because too much of them is garbage. Their
// values are written anew by whoever rewrites a table that has some there, and where nobody
// does, there are jobs for that alone.

const (
	// blobSpace is how many times the values that tables have in blob tables these may take.
	blobSpace = 1.3
	// leftShare is the part of a blob table in use below which it is left where they take more.
	leftShare = 0.8
	// passingShare is that below which it is left by who passes by in any case.
	passingShare = 0.5
)

// BlobTables is what blob tables hold.
type BlobTables struct {
	Files     int
	SizeBytes uint64 // of the files
	RawBytes  uint64 // of the values in them, before compression
	LiveBytes uint64 // of the values that tables of the version have there
}

// blobLives returns what the tables of a version have in each blob table.
func blobLives(v *manifest.Version) (lives map[*manifest.FileMeta]uint64) {
	for _, files := range v.Levels {
		for _, f := range files {
			for _, use := range f.Blobs {
				if lives == nil {
					lives = map[*manifest.FileMeta]uint64{}
				}
				lives[use.Table] += use.StoredBytes
			}
		}
	}
	return lives
}

// SumBlobs returns what the blob tables of a version hold.
func SumBlobs(v *manifest.Version) (sum BlobTables) {
	for table, live := range blobLives(v) {
		sum.Files++
		sum.SizeBytes += table.SizeBytes
		sum.RawBytes += table.RawBytes
		sum.LiveBytes += live
	}
	return sum
}

// LeftBlobs returns the blob tables of a version that are to be left, and whether that is worth
// a job of its own. Of those that are damaged, which may be nil, the values stay where they are.
func LeftBlobs(v *manifest.Version, damaged map[base.FileNum]error) (left map[base.FileNum]bool, due bool) {
	lives := blobLives(v)
	var raw, live float64
	for table, bytes := range lives {
		raw += float64(table.RawBytes)
		live += float64(bytes)
	}
	due = raw > blobSpace*live
	share := passingShare
	if due {
		share = leftShare
	}
	for table, bytes := range lives {
		if float64(bytes) < share*float64(table.RawBytes) && damaged[table.Num] == nil {
			if left == nil {
				left = map[base.FileNum]bool{}
			}
			left[table.Num] = true
		}
	}
	return left, due && left != nil
}

// LeftBytes is how much a job writes anew of what its inputs have in blob tables.
func (j *Job) LeftBytes(left map[base.FileNum]bool) (n uint64) {
	for _, files := range j.Inputs {
		for _, f := range files {
			n += leftBytes(f, left)
		}
	}
	return n
}

func leftBytes(f *manifest.FileMeta, left map[base.FileNum]bool) (n uint64) {
	for _, use := range f.Blobs {
		if left[use.Num] {
			n += use.StoredBytes
		}
	}
	return n
}

// PickBlobs returns the job that rewrites the table with the most values in blob tables that are
// to be left, if there is enough garbage. Level 0 is left to jobs that are due there anyway: the
// order of its tables is that in which they were written.
func PickBlobs(v *manifest.Version, l Limits) *Job {
	left, due := LeftBlobs(v, l.DamagedBlobs)
	if !due {
		return nil
	}
	var best *Job
	var most uint64
	for level := 1; level < manifest.NumLevels; level++ {
		for _, f := range v.Levels[level] {
			if n := leftBytes(f, left); n > most && (l.Damaged == nil || !l.Damaged(f)) {
				most = n
				best = &Job{Level: level, OutputLevel: level, Inputs: [2][]*manifest.FileMeta{{f}}}
			}
		}
	}
	if best == nil {
		return nil
	}
	best = finishJob(v, best)
	best.Move = false
	return best
}
