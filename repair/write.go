package repair

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
)

// How the new tables are written. The database rewrites them as its options say.
const (
	fileBytes     = 16 << 20
	fileMaxBytes  = 256 << 20
	filterBits    = 12
	blobBytes     = 4 << 10
	blobFileBytes = 64 << 20
)

// writer writes the new database. It is used by one goroutine.
type writer struct {
	*repairer
	staged *directory.Staged
	id     base.DBID // of the new one

	keyspaces map[uint64]*manifest.Keyspace // nil: dropped
	idMax     uint64                        // of all keyspaces

	// Of the log: the records of the run that is being gathered, the runs, and the range deletes.
	logged     []base.Record
	logBytes   int64
	runs       []*sstable.Reader
	tombstones []rangedel.Tombstone
	newest     base.SeqNum // that was met
}

func (r *repairer) newWriter(staged *directory.Staged, id base.DBID) *writer {
	w := &writer{repairer: r, staged: staged, id: id, keyspaces: map[uint64]*manifest.Keyspace{}}
	for i := range r.state.Keyspaces {
		k := &r.state.Keyspaces[i]
		w.keyspaces[k.ID], w.idMax = k, max(w.idMax, k.ID)
	}
	for _, k := range r.state.Dropped {
		w.keyspaces[k.ID], w.idMax = nil, max(w.idMax, k.ID)
	}
	return w
}

// act has an act of the log take effect.
func (w *writer) act(a keyspace.Act) {
	w.keyspaces[a.ID], w.idMax = a.Keyspace, max(w.idMax, a.ID)
}

// write writes everything.
func (w *writer) write() (err error) {
	defer func() {
		for _, run := range w.runs {
			err = errors.Join(err, run.Close())
		}
	}()
	if err := w.readLog(); err != nil {
		return err
	}
	if err := w.endRun(); err != nil {
		return err
	}
	files, next, err := w.merge()
	if err != nil {
		return err
	}
	for i, run := range w.runs {
		if err := run.Close(); err != nil {
			return err
		}
		if err := w.staged.Remove(store.TableName(base.FileNum(i + 1))); err != nil {
			return err
		}
	}
	w.runs = nil
	return w.writeManifest(files, next)
}

// merge writes the tables of all that was read, and returns a number above theirs.
func (w *writer) merge() (files []*manifest.FileMeta, next base.FileNum, err error) {
	registry := keyspace.NewRegistry(keyspace.Config{
		Codec:     func(int, bool) compress.Policy { return compress.Policy{Codec: compress.Fast} },
		CodecFor:  codecFor,
		BlobBytes: blobBytes,
	})
	for _, k := range w.live() {
		k.Merge = "" // operands are kept as they are
		if err := registry.Apply(keyspace.Act{ID: k.ID, Keyspace: &k}); err != nil {
			return nil, 0, err
		}
	}
	out := store.New(store.Config{
		FS: w.FS, Dir: w.staged.Path, Files: filepool.New(w.FS, openFiles), DBID: w.id, Events: w.silent,
		Keyspaces: registry, FilterBits: filterBits, BlobFileBytes: blobFileBytes,
	})
	out.SkipFileNums(base.FileNum(len(w.runs) + 1))
	records, tombstones := w.sources()
	defer func() { err = errors.Join(err, records.inner.Close()) }()
	files, stats, err := out.Write(w.ctx, records, store.Output{
		Level: manifest.NumLevels - 1, Bottom: true, FileBytes: fileBytes, GrowToBytes: fileMaxBytes,
	}, compact.Config{RangeDeletes: tombstones, Bottom: true})
	w.report.Records = stats.RecordsOut
	return files, out.NextFileNum(), err
}

// codecFor decodes the setting of a keyspace.
func codecFor(setting uint8) keyspace.CodecPolicy {
	codec := compress.Codec(setting - 1)
	if !codec.Valid() {
		codec = compress.Fast
	}
	return func(int, bool) compress.Policy { return compress.Policy{Codec: codec} }
}

// sources returns all records that can be read, and all range deletes.
func (w *writer) sources() (*seen, rangedel.Iterator) {
	var sources []iterate.Source
	for i := len(w.runs) - 1; i >= 0; i-- {
		it := w.runs[i].NewIter(sstable.IterOptions{NoFill: true})
		sources = append(sources, iterate.Source{Iter: it, MaxSeq: base.SeqNumMax})
	}
	for _, run := range runs(w.tables) {
		sources = append(sources, iterate.Source{Iter: &walk{repairer: w.repairer, tables: run}, MaxSeq: base.SeqNumMax})
	}
	all := []rangedel.Iterator{rangedel.Build(w.tombstones).Iter()}
	for _, t := range w.tables {
		w.begin(store.TableName(t.Meta.Num))
		if t.Meta.RangeDeletes == 0 {
			continue
		}
		if r, err := t.Reader(); err == nil { // else the walk says so
			all = append(all, &deletes{w.repairer, t, r.RangeDeletes()})
		}
	}
	return &seen{writer: w, inner: iterate.NewMerging(sources)}, rangedel.Union(all...)
}

// seen is a compact.Source that notes which keyspaces there are, and the newest number.
type seen struct {
	writer *writer
	inner  *iterate.Merging
}

// First implements compact.Source.
func (s *seen) First() *base.Record { return s.note(s.inner.First()) }

// Next implements compact.Source.
func (s *seen) Next() *base.Record { return s.note(s.inner.Next()) }

// Err implements compact.Source.
func (s *seen) Err() error { return s.inner.Err() }

func (s *seen) note(rec *base.Record) *base.Record {
	if rec == nil {
		return nil
	}
	w := s.writer
	w.newest = max(w.newest, rec.Trailer.Seq())
	id, _ := keyspace.SplitPrefix(rec.Key)
	if _, known := w.keyspaces[id]; known || id == 0 {
		return rec
	}
	w.keyspaces[id], w.idMax = nil, max(w.idMax, id)
	if w.report.ManifestLost {
		name := fmt.Sprintf("recovered-%d", id)
		w.keyspaces[id] = &manifest.Keyspace{ID: id, Name: name}
		w.report.Recovered = append(w.report.Recovered, name)
	}
	return rec
}

// live returns the keyspaces that are not dropped, by number.
func (w *writer) live() (list []manifest.Keyspace) {
	for _, k := range w.keyspaces {
		if k != nil {
			list = append(list, *k)
		}
	}
	slices.SortFunc(list, func(a, b manifest.Keyspace) int { return int(a.ID) - int(b.ID) })
	return list
}

// writeManifest makes the manifest that names the tables, whose names are durable already.
func (w *writer) writeManifest(files []*manifest.FileMeta, next base.FileNum) error {
	log, _, err := manifest.Create(w.FS, w.staged.Path, w.id)
	if err != nil {
		return err
	}
	edit := &manifest.Edit{
		NextFileNum: next, LastSeq: max(w.newest, w.state.LastSeq), ClockHighWater: w.state.ClockHighWater,
		NextKeyspaceID: max(w.idMax+1, w.state.NextKeyspaceID), AddKeyspaces: w.live(),
	}
	for _, f := range files {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: manifest.NumLevels - 1, Meta: f})
	}
	if err := log.Append(edit); err != nil {
		return errors.Join(err, log.Close())
	}
	return log.Close()
}
