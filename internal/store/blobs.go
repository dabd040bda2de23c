package store

import (
	"errors"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// This file is about the tables that hold values apart from their keys, the blob tables. A
// blob table is held by the tables that have values in it, and its file is deleted when the last
// of them goes, if the manifest names none of them any more.

// errNoValue says that a blob table lacks what a table has there.
var errNoValue = errors.New("value of a record of another table is not there")

// blobTables are the blob tables of all tables that anybody holds. Store.mu guards them.
type blobTables map[base.FileNum]*Table

// hold has a new table hold its blob tables. named says that the manifest names it.
func (b blobTables) hold(t *Table, named bool) {
	for _, use := range t.Meta.Blobs {
		blob := b[use.Num]
		if blob == nil {
			blob = &Table{Meta: use.Table, store: t.store}
			b[use.Num] = blob
		}
		blob.refs.Add(1)
		if named {
			blob.named++
		}
		t.blobs = append(t.blobs, blob)
	}
}

// unname notes that the manifest has given a table up.
func (b blobTables) unname(t *Table) {
	for _, blob := range t.blobs {
		blob.named--
	}
}

// release gives back what a table holds, and returns the blob tables that nobody holds any
// more.
func (b blobTables) release(t *Table) (unused []*Table) {
	for _, blob := range t.blobs {
		unused = b.giveBack(blob, unused)
	}
	return unused
}

// giveBack gives a reference on a blob table back, and appends it to those that nobody holds any
// more if that was the last.
func (b blobTables) giveBack(blob *Table, unused []*Table) []*Table {
	if blob.refs.Add(-1) > 0 {
		return unused
	}
	blob.obsolete.Store(blob.named == 0)
	delete(b, blob.Meta.Num)
	return append(unused, blob)
}

// fresh returns the numbers of the blob tables of files that no table holds.
func (b blobTables) fresh(files []*manifest.FileMeta) (nums []base.FileNum) {
	for _, meta := range files {
		for _, use := range meta.Blobs {
			if b[use.Num] == nil && !slices.Contains(nums, use.Num) {
				nums = append(nums, use.Num)
			}
		}
	}
	return nums
}

// heldBlob returns a blob table that somebody holds.
func (s *Store) heldBlob(num base.FileNum) (*Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.blobs[num]; b != nil {
		return b, nil
	}
	return nil, &base.CorruptionError{File: TableName(num), Offset: -1, Kind: "blob table", Err: errUnlisted}
}

// blobConfig says what a write keeps apart.
func (s *Store) blobConfig(
	out Output, loader *blobLoader, newTable func(o sstable.WriterOptions) (base.FileNum, *sstable.Writer, error),
) *compact.Blobs {
	return &compact.Blobs{
		Apart:      apartRule(s.cfg.Keyspaces, out.Inline),
		PieceBytes: pieceRule(s.cfg.Keyspaces),
		FileBytes:  max(s.cfg.BlobFileBytes, out.GrowToBytes), // a feed opens all of a commit
		Split: func(prev, next []byte) bool {
			return differs(prev, next) && blobCodec(s.cfg.Keyspaces, prev) != blobCodec(s.cfg.Keyspaces, next)
		},
		NewWriter: func(firstKey []byte) (base.FileNum, *sstable.Writer, error) {
			return newTable(sstable.WriterOptions{Compression: blobCodec(s.cfg.Keyspaces, firstKey)}) // without a filter: who looks there knows that it is
		},
		Left: out.LeftBlobs,
		Find: func(num base.FileNum) (*manifest.FileMeta, error) {
			b, err := s.heldBlob(num)
			if err != nil {
				return nil, err
			}
			return b.Meta, nil
		},
		Load:   loader.load,
		Pieces: loader.pieces,
	}
}

// blobCodec returns the codec of the blob tables for a key. They are written once, when a flush waits
// for it, and settle where they are written.
func blobCodec(keyspaces *keyspace.Registry, key []byte) compress.Codec {
	return keyspaces.Codec(key)(blobLevel, true).Codec
}

// apartRule returns the rule for which values are kept apart, none if they are to be inline: those
// of some length, which is that of their keys at least. It asks once for the neighbours of one
// keyspace.
func apartRule(keyspaces *keyspace.Registry, inline bool) func(key []byte, storedBytes int) bool {
	if inline {
		return func([]byte, int) bool { return false }
	}
	asked, last, from := false, uint64(0), 0
	return func(key []byte, storedBytes int) bool {
		if id, _ := keyspace.SplitPrefix(key); !asked || id != last {
			asked, last, from = true, id, keyspaces.BlobBytes(key)
		}
		return from > 0 && storedBytes >= max(from, len(key))
	}
}

// pieceRule returns the rule for the length of pieces; 0: the value is one.
func pieceRule(keyspaces *keyspace.Registry) func(key []byte, storedBytes int) int {
	return func(key []byte, storedBytes int) int {
		if storedBytes < keyspace.PiecesMin { // most are
			return 0
		}
		if n, from := keyspaces.PieceBytes(key); from > 0 && storedBytes >= from {
			return n
		}
		return 0
	}
}

// blobLevel is the level whose codec blob tables have: they are written once.
const blobLevel = 1

// differs reports whether two keys are of different keyspaces.
func differs(a, b []byte) bool {
	idA, _ := keyspace.SplitPrefix(a)
	idB, _ := keyspace.SplitPrefix(b)
	return idA != idB
}
