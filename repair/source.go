package repair

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
)

// source is what there is to read of the damaged database.
type source struct {
	names  []string // of its files
	id     base.DBID
	state  *manifest.State // as far as it is known
	tables []*store.Table
	// flushed is the newest sequence number that is known to be in tables.
	flushed base.SeqNum
}

// openFiles is how many files are open at once.
const openFiles = 64

// find finds out what there is: by the manifest, or by the files.
func (r *repairer) find() (err error) {
	if r.names, err = r.from.List(r.dir); err != nil {
		return fmt.Errorf("list %s: %w", r.dir, err)
	}
	if !slices.ContainsFunc(r.names, isOriginal) {
		return fmt.Errorf("%w: %s", directory.ErrNotDatabase, r.dir)
	}
	r.state, err = manifest.Load(r.from, r.dir, r.names)
	if err == nil {
		return r.findNamed()
	}
	if !errors.Is(err, base.ErrCorrupted) {
		return err
	}
	state, whole, salvageErr := manifest.Salvage(r.from, r.dir, r.names)
	if salvageErr != nil {
		return salvageErr
	}
	if whole && isOfCurrent(err) && r.hasAllOf(state) {
		r.state, r.report.CurrentLost = state, true
		return r.findNamed()
	}
	if state != nil {
		r.state, r.id = state, state.DBID
	}
	r.report.ManifestLost = true
	return r.findListed()
}

// isOriginal reports whether a file is one that holds something of a database.
func isOriginal(name string) bool {
	_, isLog := wal.ParseFileName(name)
	return isLog || isFile(name)
}

// isOfCurrent reports whether nothing but the file CURRENT is wrong.
func isOfCurrent(err error) bool {
	e, ok := err.(*base.CorruptionError)
	return ok && e.File == manifest.CurrentName
}

// hasAllOf reports whether the tables that a state names, and no others, are there: then it is
// hardly one of before.
func (r *repairer) hasAllOf(state *manifest.State) bool {
	named := map[base.FileNum]bool{}
	for _, level := range state.Version.Levels {
		for _, f := range level {
			named[f.Num] = true
		}
	}
	for _, f := range state.Version.Blobs() {
		named[f.Num] = true
	}
	kept := map[base.FileNum]bool{}
	for _, c := range state.Ingests {
		for _, f := range c.Tables {
			kept[f.Num] = true
			for _, use := range f.Blobs {
				kept[use.Num] = true
			}
		}
	}
	for _, name := range r.names {
		n, ok := store.ParseTableName(name)
		if ok && !named[n] && !kept[n] {
			return false
		}
		delete(named, n)
	}
	return len(named) == 0
}

// findNamed takes the tables that the manifest names.
func (r *repairer) findNamed() error {
	r.id, r.flushed = r.state.DBID, r.state.LastSeq
	var files []*manifest.FileMeta
	for _, level := range r.state.Version.Levels {
		files = append(files, level...)
	}
	r.hold(files)
	return nil
}

// hold makes tables of files.
func (r *repairer) hold(files []*manifest.FileMeta) {
	s := store.New(store.Config{
		FS: r.from, Dir: r.dir, Files: filepool.New(r.from, openFiles), DBID: r.id, Events: r.silent,
	})
	r.tables = s.Keep(files)
}

// findListed takes all tables that are in the directory, without a manifest: any of them may be one
// that a compaction had replaced, so that whatever they have is uncertain.
func (r *repairer) findListed() error {
	if err := r.identify(); err != nil {
		return err
	}
	if r.state == nil {
		r.state = &manifest.State{DBID: r.id, NextKeyspaceID: 1, NextFileNum: 1, Version: &manifest.Version{}}
	}
	found := map[base.FileNum]*manifest.FileMeta{}
	for _, name := range r.names {
		n, ok := store.ParseTableName(name)
		if !ok {
			continue
		}
		r.begin(name)
		if meta, err := r.describe(n); err != nil {
			r.lose(lossOf(err, name, nil, nil))
		} else {
			found[n] = meta
		}
	}
	for _, meta := range found {
		for i := range meta.Blobs {
			use := &meta.Blobs[i]
			if use.Table = found[use.Num]; use.Table == nil {
				use.Table = &manifest.FileMeta{Num: use.Num, Lo: meta.Lo, Hi: meta.Hi}
			}
		}
	}
	files := maps.Clone(found)
	for _, meta := range found {
		for _, use := range meta.Blobs {
			delete(files, use.Num) // it holds values, and is in no level
		}
	}
	ordered := slices.SortedFunc(maps.Values(files), func(a, b *manifest.FileMeta) int { return cmp.Compare(a.Num, b.Num) })
	for _, f := range ordered {
		r.flushed = max(r.flushed, f.LargestSeq)
		r.lose(Loss{
			File: store.TableName(f.Num), Offset: -1, Kind: "table of a lost manifest", Lo: f.Lo, Hi: f.Hi,
			Reason: "it may be one that was replaced, or lack what replaced it",
		})
	}
	r.hold(ordered)
	return nil
}

// identify learns which database it is, from the first file that says it.
func (r *repairer) identify() error {
	for _, name := range r.names {
		if r.id != (base.DBID{}) {
			return nil
		}
		if n, ok := wal.ParseFileName(name); ok {
			id, ok, err := wal.Owner(wal.Config{FS: r.from, Dir: r.dir}, n)
			if err == nil && ok {
				r.id = id
			}
			continue
		}
		if _, ok := store.ParseTableName(name); !ok {
			continue
		}
		f, err := r.from.Open(filepath.Join(r.dir, name))
		if err != nil {
			continue // it is met again
		}
		if id, _, ok := sstable.Owner(f); ok {
			r.id = id
		}
		_ = f.Close() // reads alone
	}
	return nil
}

// describe returns what the manifest would say of a table, by its file.
func (r *repairer) describe(n base.FileNum) (*manifest.FileMeta, error) {
	name := store.TableName(n)
	f, err := r.from.Open(filepath.Join(r.dir, name))
	if err != nil {
		return nil, err
	}
	reader, err := sstable.OpenReader(f, sstable.ReaderOptions{Name: name, DBID: r.id, FileNum: n})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	p := reader.Properties()
	meta := &manifest.FileMeta{
		Num: n, SizeBytes: p.SizeBytes, Lo: p.Lo, Hi: p.Hi, SmallestSeq: p.SmallestSeq, LargestSeq: p.LargestSeq,
		Count: p.Count, Deletes: p.Deletes, RangeDeletes: p.RangeDeletes, EntryChecksum: p.EntryChecksum,
	}
	if known := r.known(n); known != nil {
		meta.SeqBase = known.SeqBase
	}
	uses := map[base.FileNum]uint64{}
	it := reader.NewIter(sstable.IterOptions{NoFill: true})
	defer it.Close()
	for rec := it.First(); ; rec = it.Next() {
		if rec == nil {
			// What is damaged is noted when the table is read.
			e, damaged := errors.AsType[*base.CorruptionError](it.Err())
			if !damaged || e.Hi == nil {
				break
			}
			if rec = it.SeekGE(e.Hi); rec == nil {
				break
			}
		}
		if r.ctx.Err() != nil {
			return nil, r.ctx.Err()
		}
		if rec.Trailer.Kind() == base.KindBlob {
			if ref, err := base.DecodeBlobRef(rec.Value); err == nil {
				uses[ref.File] += ref.StoredBytes
			}
		}
	}
	for _, num := range slices.Sorted(maps.Keys(uses)) {
		meta.Blobs = append(meta.Blobs, manifest.BlobUse{Num: num, StoredBytes: uses[num]})
	}
	return meta, nil
}

// known returns what a manifest that was read in part says of a table.
func (r *repairer) known(n base.FileNum) *manifest.FileMeta {
	for _, level := range r.state.Version.Levels {
		for _, f := range level {
			if f.Num == n {
				return f
			}
		}
	}
	return nil
}
