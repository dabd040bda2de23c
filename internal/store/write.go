package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
)

// Output says where the output of a merge goes.
type Output struct {
	Level     int
	Bottom    bool
	FileBytes int64 // at which a file ends; 0: never
	// GrowToBytes is what FileBytes becomes when there are many; 0: it stays.
	GrowToBytes int64
	// Spare, if given, says before each table why it must not be written, or returns
	// nil.
	Spare func() error
	// Pace, which may be nil, bounds how fast tables are written.
	Pace *Pace
	// Inline says that values stay with their keys: apart they take more space.
	Inline bool
	// LeftBlobs are the blob tables whose values are written anew; nil: none.
	LeftBlobs map[base.FileNum]bool
	// Temporary says that nobody needs the tables after a crash: they are not
	// synced, and not read back.
	Temporary bool
}

// Write merges it into new tables, makes them and their names durable, and reads them back to
// see that they hold what went in, each table while the next one is written. On an error no
// output is left. Of cfg it sets what is about output.
func (s *Store) Write(ctx context.Context, it compact.Source, out Output, cfg compact.Config) (
	outputs []*manifest.FileMeta, stats compact.Stats, err error) {
	var created []base.FileNum
	finishing := finishing{store: s, ctx: ctx}
	cfg.FileBytes, cfg.GrowToBytes = out.FileBytes, out.GrowToBytes
	cfg.Operators = s.cfg.Keyspaces
	cfg.SplitBefore = s.splitFunc(out)
	newTable := func(o sstable.WriterOptions) (base.FileNum, *sstable.Writer, error) {
		if out.Spare != nil {
			if err := out.Spare(); err != nil {
				return 0, nil, err
			}
		}
		o.FileNum = s.NewFileNum()
		created = append(created, o.FileNum)
		w, err := s.begin(o, out, &finishing)
		return o.FileNum, w, err
	}
	cfg.NewWriter = func(firstKey []byte) (base.FileNum, *sstable.Writer, error) {
		policy := s.cfg.Keyspaces.Codec(firstKey)(out.Level, out.Bottom)
		return newTable(sstable.WriterOptions{
			Compression:      policy.Codec,
			OrSmall:          policy.OrSmall,
			FilterBitsPerKey: s.cfg.FilterBits,
			Temporary:        out.Temporary,
		})
	}
	if !out.Temporary {
		loader := newBlobLoader(ctx, s)
		defer loader.close()
		cfg.Blobs = s.blobConfig(out, loader, newTable)
	}
	cfg.Finished = finishing.begin
	defer func() {
		if endErr := finishing.end(); err == nil {
			err = endErr
		}
		if err != nil {
			for _, num := range created {
				s.removeOutput(num)
			}
		}
	}()
	outputs, stats, err = compact.Run(ctx, it, cfg)
	if err != nil || len(outputs) == 0 || out.Temporary {
		return outputs, stats, err
	}
	if err = finishing.wait(); err != nil {
		return nil, stats, err
	}
	if err = finishing.syncDir(); err != nil {
		return nil, stats, err
	}
	finishing.announce()
	return outputs, stats, nil
}

// begin makes the file of a table.
func (s *Store) begin(o sstable.WriterOptions, out Output, finishing *finishing) (*sstable.Writer, error) {
	o.DBID, o.BlockSizeBytes = s.cfg.DBID, s.cfg.BlockBytes
	name := TableName(o.FileNum)
	f, err := s.cfg.FS.Create(filepath.Join(s.cfg.Dir, name))
	if err != nil {
		return nil, fmt.Errorf("create table %s: %w", name, err)
	}
	if !out.Temporary {
		f, o.ParityPercent = sendEarly(f), s.cfg.ParityPercent
	}
	if out.Pace != nil {
		f = &pacedFile{File: f, ctx: finishing.ctx, pace: out.Pace}
	}
	return sstable.NewWriter(&finishedLater{File: f, finishing: finishing}, o), nil
}

// splitMinBytes is how much a table must hold before a keyspace border alone
// ends it. A database with a thousand small keyspaces would otherwise write a
// thousand files at every flush.
const splitMinBytes = 1 << 20

// splitFunc returns the rule for ending a table between two keys: where the
// codec changes, and at keyspace borders in tables of some size, so that
// dropping a keyspace can drop whole files. What is temporary has no borders.
func (s *Store) splitFunc(out Output) func(prev, next []byte, fileBytes int64) bool {
	if out.Temporary {
		return func(_, _ []byte, _ int64) bool { return false }
	}
	return func(prev, next []byte, fileBytes int64) bool {
		prevID, _ := keyspace.SplitPrefix(prev)
		nextID, _ := keyspace.SplitPrefix(next)
		if prevID == nextID {
			return false
		}
		if out.Level > 0 && fileBytes >= splitMinBytes {
			return true
		}
		codec := s.cfg.Keyspaces.Codec
		return codec(prev)(out.Level, out.Bottom) != codec(next)(out.Level, out.Bottom)
	}
}

// ErrOutputDiffers says that a table read back is not what was written.
var ErrOutputDiffers = errors.New("table differs from what was written")

// verifyOutput re-reads a new table in full before anything depends on it.
func (s *Store) verifyOutput(ctx context.Context, meta *manifest.FileMeta) error {
	r, _, err := s.openPooled(meta, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	sum, err := r.Verify(ctx)
	if err != nil {
		return err
	}
	if uint64(sum.Count) != meta.Count || sum.EntryChecksum != meta.EntryChecksum ||
		!bytes.Equal(sum.DeletesLo, meta.DeletesLo) || !bytes.Equal(sum.DeletesHi, meta.DeletesHi) {
		return fmt.Errorf("%w: %s", ErrOutputDiffers, TableName(meta.Num))
	}
	return nil
}

// Unlisted returns the table of a file that no manifest names. It is its holder's
// alone, who disposes of it.
func (s *Store) Unlisted(meta *manifest.FileMeta) *Table {
	t := &Table{Meta: meta, store: s}
	t.obsolete.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs.hold(t, false)
	return t
}
