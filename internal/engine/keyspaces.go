package engine

import (
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
)

// Keyspace returns the keyspace called name, making it if it does not exist.
// With an existing one, the settings that are not zero must agree.
func (db *DB) Keyspace(name string, settings keyspace.Settings) (*keyspace.Info, error) {
	if info := db.keyspaces.ByName(name); info != nil {
		return info, info.Agree(settings)
	}
	if err := db.keyspaces.CheckOperator(name, settings.Merge); err != nil {
		return nil, err
	}
	if err := db.health.Writable(); err != nil {
		return nil, err
	}
	var info *keyspace.Info
	err := db.commits.Alone(func() error {
		if info = db.keyspaces.ByName(name); info != nil { // someone else was first
			return info.Agree(settings)
		}
		if err := db.health.Writable(); err != nil { // Close may have been first
			return err
		}
		k := manifest.Keyspace{
			ID: db.versions.nextKeyspaceID(), Name: name,
			Compression: settings.Compression, TTLNS: uint64(settings.TTL), Merge: settings.Merge,
		}
		return db.versions.edit(&manifest.Edit{AddKeyspaces: []manifest.Keyspace{k}}, func(*manifest.Version) {
			info = db.keyspaces.Add(k)
		})
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// Keyspaces returns the named keyspaces, in no order.
func (db *DB) Keyspaces() []*keyspace.Info { return db.keyspaces.All() }

// MergeOperator returns the operator of the keyspace that an internal key
// belongs to; nil if it has none.
func (db *DB) MergeOperator(key []byte) *merge.Operator { return db.keyspaces.MergeOperator(key) }

// DropKeyspace removes a keyspace and all its keys. Iterators and snapshots
// that exist keep what they see. The keys are hidden by one range tombstone
// first, which commits in order with other writes; the name goes after that,
// so that a crash between the two leaves an empty keyspace. With the tombstone
// goes the deletion of the empty key, which no other write has: it tells feeds
// that this is a drop.
func (db *DB) DropKeyspace(name string) error {
	info := db.keyspaces.ByName(name)
	if info == nil {
		return fmt.Errorf("%w: %q", keyspace.ErrNotFound, name)
	}
	// Commits look at the mark, so none comes after the tombstone.
	err := db.commits.Alone(func() error {
		if err := db.health.Writable(); err != nil {
			return err
		}
		if info.MarkDropped(true) {
			return fmt.Errorf("%w: %q", keyspace.ErrNotFound, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	prefix := keyspace.AppendPrefix(nil, info.ID)
	var last batch.Batch
	err = errors.Join(last.DeleteRange(prefix, keyspace.PrefixEnd(prefix)), last.Delete(prefix, nil))
	if err == nil {
		err = db.Commit(&last, commit.Sync)
	}
	if err == nil {
		err = db.commits.Alone(func() error { return db.dropName(info) })
	}
	if err != nil {
		info.MarkDropped(false) // it is still there, and may be empty
	}
	return err
}

// dropName takes a keyspace, all of whose keys are hidden, out of the manifest.
// Called by the leader.
func (db *DB) dropName(info *keyspace.Info) error {
	if err := db.health.Writable(); err != nil {
		return err
	}
	dropped := manifest.DroppedKeyspace{ID: info.ID, Name: info.Name, LastSeq: db.commits.LastSeq()}
	return db.versions.edit(&manifest.Edit{
		DropKeyspaces: []uint64{info.ID}, AddDropped: []manifest.DroppedKeyspace{dropped},
	}, func(*manifest.Version) { db.keyspaces.Drop(info, dropped) })
}
