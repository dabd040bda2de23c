package backup

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/wal"
)

// This file brings a database forward that was restored from a backup, while nobody can see it: the commits
// of the archived log become log again, in segments behind those of the backup, and the next open replays
// them as after a crash. The tables of a transaction past the log are put beside it, and the
// manifest has it as pending. Last, the manifest is written anew, with these, and with another history.

// forwarder is that under way. It is used by one goroutine.
type forwarder struct {
	*restorer
	cfg     wal.Config
	state   *manifest.State
	last    base.SeqNum // of what is there so far
	log     *wal.Extension
	pending []manifest.IngestCommit
}

// forward brings the database to the moment that is wanted.
func (r *restorer) forward() (err error) {
	names, err := r.FS.List(r.path)
	if err != nil {
		return fmt.Errorf("list %s: %w", r.path, err)
	}
	f := forwarder{restorer: r}
	if f.state, err = manifest.Load(r.FS, r.path, names); err != nil {
		return err
	}
	f.cfg = wal.Config{FS: r.FS, Dir: r.path, DBID: f.state.DBID}
	last, end, err := endOf(f.cfg, f.state)
	if err != nil {
		return err
	}
	if f.last = last; uint64(last) != r.contents.Seq {
		return damaged(backupPrefix+r.contents.ID, fmt.Errorf("it goes to write %d, not %d", last, r.contents.Seq))
	}
	f.log = wal.Extend(f.cfg, checkpoint.NextFileNum(max(f.state.NextFileNum, r.route.nextNum), names), end, last)
	defer func() {
		_, closeErr := f.log.Close()
		err = errors.Join(err, closeErr)
	}()
	for _, p := range r.route.parts {
		if err := f.part(p); err != nil {
			return err
		}
	}
	return f.finish(names)
}

// part adds what is wanted of a part.
func (f *forwarder) part(p part) error {
	if f.ctx.Err() != nil {
		return fmt.Errorf("restore the log: %w", f.ctx.Err())
	}
	read, err := loadPart(f.ctx, f.target, f.with, p)
	if err != nil {
		return err
	}
	switch {
	case read.ingest != nil:
		err = f.ingest(read)
	case len(read.Files) > 0:
		var batch []byte
		if batch, err = read.batch(f.ctx, f.target, f.with); err == nil {
			err = f.commit(read.First, read.Last, read.Time, batch)
		}
	default:
		err = read.each(f.commit)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", p.name, err)
	}
	f.meter.add(int64(len(read.commits)), 0, 1)
	return nil
}

// commit adds a commit of the log, if it is wanted.
func (f *forwarder) commit(first, last uint64, at time.Time, batch []byte) error {
	if base.SeqNum(last) <= f.last || !f.isWanted(last, at) {
		return nil
	}
	if f.pace != nil && !f.pace.Await(f.ctx, len(batch)) {
		return f.ctx.Err()
	}
	if err := f.log.Append(base.SeqNum(first), base.SeqNum(last), batch); err != nil {
		return err
	}
	f.last = base.SeqNum(last)
	return nil
}

// ingest adds a commit past the log.
func (f *forwarder) ingest(p *logPart) error {
	if base.SeqNum(p.Last) <= f.last || !f.isWanted(p.Last, p.Time) {
		return nil
	}
	if err := f.files(p.Files, p.ChunkBytes); err != nil {
		return err
	}
	f.log.Cut()
	f.pending = append(f.pending, *p.ingest)
	f.last = base.SeqNum(p.Last)
	return nil
}

// finish writes the manifest, in the place of that of the backup.
func (f *forwarder) finish(names []string) error {
	if uint64(f.last) != f.route.toSeq {
		return damaged(logDir(f.contents.Database, f.contents.History),
			fmt.Errorf("its commits lead to write %d, not %d", f.last, f.route.toSeq))
	}
	segments, err := f.log.Close()
	if err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	logs := f.state.Logs
	for _, s := range segments {
		logs = append(logs[:len(logs):len(logs)], manifest.LogSegment(s))
	}
	state, err := f.state.Fork(base.NewDBID(), f.pending)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := manifest.ParseFileName(name); !ok && !strings.HasPrefix(name, manifest.CurrentName) {
			continue
		}
		if err := f.FS.Remove(filepath.Join(f.path, name)); err != nil {
			return err
		}
	}
	if err := state.Copy(f.FS, f.path, logs, state.Ingests, 0); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	state, err = manifest.Load(f.FS, f.path, []string{manifest.CurrentName})
	if err != nil {
		return err
	}
	last, _, err := endOf(f.cfg, state)
	if err == nil && last != f.last {
		err = fmt.Errorf("what was restored goes to write %d, not %d", last, f.last)
	}
	return err
}
