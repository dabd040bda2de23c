package engine

import (
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/view"
)

// This file has recovery go on with what a restore to a moment has left: the log that was
// archived behind the backup, and commits past that log, which the manifest names as pending.
// Each is newer than the groups before it and older than those behind. So when the replay
// comes to one, what was replayed before goes to tables, and one edit of the manifest makes
// the commit part of the tree. A crash leaves it pending, or in the tree.

// installPending makes the pending commits part of the tree that come before a number. A database that is not
// written to has its log in memory, and so above all tables: there it cannot be done.
func (r *recovery) installPending(before base.SeqNum) error {
	for len(r.state.Pending) > 0 && r.state.Pending[0].First < before {
		if r.opts.ReadOnly {
			return fmt.Errorf("%w: it was restored with large transactions in its log, and has to be opened for writing once",
				base.ErrReadOnly)
		}
		if err := r.flushReplayed(); err != nil {
			return err
		}
		if err := r.withSpace(r.beginManifest); err != nil {
			return err
		}
		if err := r.withSpace(func() error { return r.install(&r.state.Pending[0]) }); err != nil {
			return err
		}
		r.state = r.versions.log.State()
	}
	return nil
}

// install is DB.installIngest for a commit that has its numbers already.
func (r *recovery) install(c *manifest.IngestCommit) error {
	edit := &manifest.Edit{LastSeq: c.Last, IngestedSeq: c.Last, AddFiles: level0(c.Tables)}
	if r.archive.Enabled() {
		edit.AddIngests = []manifest.IngestCommit{*c}
	}
	if expire(c.Tables) {
		r.timeline.Use()
	}
	return r.versions.edit(edit, func(v *manifest.Version) {
		r.reads.NoteFlushed(c.Last)
		r.reads.Update(func(u *view.Change) { u.Tree, u.Visible = r.store.NewTree(v), c.Last })
	})
}
