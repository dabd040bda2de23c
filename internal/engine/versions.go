package engine

import (
	"errors"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/ranked"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/vfs"
)

// versions edits the manifest. One edit at a time is made durable and then takes
// effect; the lock that sees to it is held while the file is synced, so nobody
// who only reads may take it.
type versions struct {
	fs       vfs.FS
	dir      string
	health   *health.Health
	timeline *timeline.Timeline
	changed  *signal.Changes

	mu       ranked.Mutex[ranked.ManifestEdit]
	log      *manifest.Log   // nil before begin, and in a read-only database
	loaded   *manifest.State // of a read-only database
	beginErr error           // what begin has failed with, after which it must not be tried again
	store    *store.Store    // gives out file numbers
	// archive knows which commits past the log the manifest is to forget.
	archive *feed.Archive
}

// create makes the manifest of a new database.
func (v *versions) create() (state *manifest.State, err error) {
	v.log, state, err = manifest.Create(v.fs, v.dir, base.NewDBID())
	return state, err
}

// begin goes on with what was loaded in a new manifest file, before the first edit. Where
// it fails without being refused, the new file may be in force: who begins again must
// load it first.
func (v *versions) begin(loaded *manifest.State) (err error) {
	if v.log != nil || v.beginErr != nil {
		return v.beginErr
	}
	if err = v.health.CheckLock(); err != nil {
		return err
	}
	if v.log, err = manifest.Open(v.fs, v.dir, loaded); !errors.Is(err, manifest.ErrRefused) {
		v.beginErr = err
	}
	return err
}

// look calls fn with the state of the manifest while nobody changes it or what follows from
// it. fn must not wait.
func (v *versions) look(fn func(state *manifest.State)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.log == nil {
		fn(v.loaded)
		return
	}
	fn(v.log.State())
}

// close closes the file.
func (v *versions) close() error {
	if v.log == nil {
		return nil
	}
	return v.log.Close()
}

// edit appends e to the manifest, durably, and then calls done with the new
// version, before anything else can change it. A failed append poisons the
// database; whether the disk has the edit is unknown then, so the caller leaves
// every file alone that the edit names, added or removed. The next open sees
// which of them are orphans. On a full disk an edit is refused without an effect
// (manifest.ErrRefused): the caller takes back what it did for it, and may try
// again.
func (v *versions) edit(e *manifest.Edit, done func(v *manifest.Version)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.health.CheckLock(); err != nil {
		return err
	}
	if err := v.health.Err(); err != nil {
		return err
	}
	e.NextFileNum = v.store.NextFileNum()
	e.ClockHighWater = v.timeline.ReadTime()
	e.ForgetIngests = v.archive.Forgotten()
	if err := v.log.Append(e); errors.Is(err, manifest.ErrRefused) {
		return err
	} else if err != nil {
		return v.health.Poison("manifest", err)
	}
	v.timeline.Saved(e.ClockHighWater)
	v.archive.NoteForgotten(e.ForgetIngests)
	done(v.log.State().Version)
	v.changed.Notify()
	return nil
}

// verify reads the manifest again.
func (v *versions) verify() error {
	v.mu.Lock()
	log := v.log
	v.mu.Unlock()
	if log == nil {
		return nil // it was read when the database was opened, and nobody writes to it
	}
	return log.Verify()
}

// saveTime brings the time that readers have seen into the manifest. A failure
// says so by itself; on a full disk the next reader has it tried again.
func (v *versions) saveTime() {
	if v.health.Writable() == nil {
		_ = v.edit(&manifest.Edit{}, func(*manifest.Version) {})
	}
}
