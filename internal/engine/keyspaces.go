package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/keyspace"
)

// Keyspace returns the keyspace called name, making it if it does not exist.
// With an existing one, the settings that are not zero must agree.
func (db *DB) Keyspace(ctx context.Context, name string, settings keyspace.Settings) (*keyspace.Info, error) {
	if info := db.keyspaces.ByName(name); info != nil {
		return info, info.Agree(settings)
	}
	if err := db.keyspaces.CheckOperator(name, settings.Merge); err != nil {
		return nil, err
	}
	if err := db.health.Writable(); errors.Is(err, base.ErrReadOnly) {
		return nil, fmt.Errorf("%w: %q, and the %w", keyspace.ErrNotFound, name, err)
	} else if err != nil {
		return nil, err
	}
	var info *keyspace.Info
	err := db.commits.Alone(ctx, func() error {
		if info = db.keyspaces.ByName(name); info != nil { // someone else was first
			return info.Agree(settings)
		}
		k := settings.In(db.keyspaces.NextID(), name)
		if err := db.commitAct(keyspace.Act{ID: k.ID, Keyspace: &k}); err != nil {
			return err
		}
		info = db.keyspaces.ByName(name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// commitAct commits an act on a keyspace durably. Called by the leader.
func (db *DB) commitAct(a keyspace.Act) error {
	var b batch.Batch
	if a.Keyspace == nil {
		prefix := keyspace.AppendPrefix(nil, a.ID)
		if err := b.DeleteRange(prefix, keyspace.PrefixEnd(prefix)); err != nil {
			return err
		}
	}
	if err := b.Keyspace(a); err != nil {
		return err
	}
	return db.commits.CommitAsLeader(&b, commit.Sync)
}

// SetKeyspace changes the compression and the TTL of a keyspace to those of
// settings, for what is written from now on. The merge operator must be the same.
func (db *DB) SetKeyspace(ctx context.Context, name string, settings keyspace.Settings) error {
	return db.commits.Alone(ctx, func() error {
		info := db.keyspaces.ByName(name)
		if info == nil {
			return fmt.Errorf("%w: %q", keyspace.ErrNotFound, name)
		}
		if has := info.Settings(); has.Merge != settings.Merge {
			return info.Agree(keyspace.Settings{Merge: cmp.Or(settings.Merge, "none")})
		}
		k := settings.In(info.ID, name)
		return db.commitAct(keyspace.Act{ID: info.ID, Keyspace: &k})
	})
}

// Registry knows the keyspaces there are, and their merge operators.
func (db *DB) Registry() *keyspace.Registry { return db.keyspaces }

// DropKeyspace removes a keyspace and all its keys. Iterators and snapshots
// that exist keep what they see. One commit hides the keys under a range tombstone
// and takes the name away, in order with other writes: a crash leaves both or
// neither.
func (db *DB) DropKeyspace(ctx context.Context, name string) error {
	return db.commits.Alone(ctx, func() error {
		info := db.keyspaces.ByName(name)
		if info == nil {
			return fmt.Errorf("%w: %q", keyspace.ErrNotFound, name)
		}
		return db.commitAct(keyspace.Act{ID: info.ID})
	})
}
