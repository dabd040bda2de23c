package lightning

import (
	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/directory"
)

// ErrCheckpointExists says that there is something where a checkpoint was to go.
var ErrCheckpointExists = directory.ErrTargetExists

// CheckpointOptions are for DB.CheckpointWith.
type CheckpointOptions struct {
	// Progress, if given, is called after each file and each megabyte that was copied, by
	// the goroutine that takes the checkpoint. It should be short, and must not call the
	// database: no file of that is deleted meanwhile.
	Progress func(CheckpointProgress)
}

// CheckpointProgress is how far a checkpoint has come.
type CheckpointProgress struct {
	Files       int   // that are there
	LinkedBytes int64 // which take no space of their own as long as the database has them too
	CopiedBytes int64
	TotalBytes  int64 // what both will come to, about; 0 while that is not known
}

// CheckpointInfo says what a checkpoint holds.
type CheckpointInfo struct {
	// Seq is the sequence number of the newest write in it. DB.Changes goes on behind it
	// with Seq+1, in the checkpoint as in the database.
	Seq         uint64
	Files       int
	LinkedBytes int64
	CopiedBytes int64
}

// progress returns the function of the options as the engine has it.
func (o *CheckpointOptions) progress() func(checkpoint.Progress) {
	if o.Progress == nil {
		return nil
	}
	return func(p checkpoint.Progress) { o.Progress(CheckpointProgress(p)) }
}
