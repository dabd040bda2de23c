package lightning

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning/backup"
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

// takeCheckpoint is DB.CheckpointWith.
func takeCheckpoint(ctx context.Context, db *DB, dir string, o CheckpointOptions) (CheckpointInfo, error) {
	if err := db.usableWith(ctx); err != nil {
		return CheckpointInfo{}, err
	}
	r, err := db.engine.Checkpoints.Take(ctx, dir, o.progress())
	if err != nil {
		return CheckpointInfo{}, err
	}
	return CheckpointInfo{Seq: uint64(r.Seq), Files: r.Files, LinkedBytes: r.LinkedBytes, CopiedBytes: r.CopiedBytes}, nil
}

// takeBackup is DB.Backup.
func takeBackup(ctx context.Context, db *DB, t backup.Target, o backup.Options) (backup.Info, error) {
	if err := db.usableWith(ctx); err != nil {
		return backup.Info{}, err
	}
	_, dir, done, err := db.engine.Checkpoints.Temporary(ctx)
	if err != nil {
		return backup.Info{}, err
	}
	o.FS = db.opts.FS
	info, err := backup.Store(ctx, dir, t, o)
	return info, errors.Join(err, done())
}

// archiveLog is DB.Archive.
func archiveLog(ctx context.Context, db *DB, t backup.Target, o backup.ArchiveOptions) error {
	if err := db.usableWith(ctx); err != nil {
		return err
	}
	return backup.ArchiveLog(ctx, db.engine.Checkpoints.Archive, t, o)
}
