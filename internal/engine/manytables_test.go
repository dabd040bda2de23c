package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// This file is about databases of many tables: what opening one costs, and how many
// files are open.

func manyTables(fs vfs.FS) Options {
	opts := testOptions(fs)
	opts.OpenFiles = 64
	return opts
}

// someRows is a compact.Source of n rows.
type someRows struct{ i, n int }

// someRow is the key of a row, with the prefix of the default keyspace.
func someRow(i int) []byte { return binary.BigEndian.AppendUint64([]byte{0}, uint64(i)) }

func (s *someRows) First() *base.Record { return s.Next() }

// someValue is large enough for a table of one row: those with less are not worth their
// bounds in memory.
var someValue = make([]byte, 2<<10)

func (s *someRows) Next() *base.Record {
	if s.i == s.n {
		return nil
	}
	s.i++
	return &base.Record{Key: someRow(s.i - 1), Trailer: base.MakeTrailer(0, base.KindSet), Value: someValue}
}

func (s *someRows) Err() error { return nil }

// makeManyTables makes a database of so many tables, each of one row.
func makeManyTables(t testing.TB, fs vfs.FS, tables int) {
	t.Helper()
	db := openTest(t, manyTables(fs))
	out := store.Output{Level: manifest.NumLevels - 1, Bottom: true, FileBytes: 1}
	outputs, _, err := db.store.Write(context.Background(), &someRows{n: tables}, out, compact.Config{Bottom: true})
	must(t, err)
	edit := &manifest.Edit{}
	for _, meta := range outputs {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: out.Level, Meta: meta})
	}
	must(t, db.versions.edit(edit, func(v *manifest.Version) {
		db.reads.Update(func(next *view.Change) { next.Tree = db.store.NewTree(v) })
	}))
	must(t, db.Close())
}

// getSomeRows reads n random rows of a database of so many tables.
func getSomeRows(t testing.TB, db *DB, tables, n int) {
	t.Helper()
	for range n {
		if _, err := db.Reads().AppendGet(nil, someRow(rand.IntN(tables))); err != nil {
			t.Fatal(err)
		}
	}
}

// Opening looks whether the tables are there, and opens none of them: that is for
// those who read them, and no more are open at once than may be.
func TestOpenOpensNoTable(t *testing.T) {
	const tables = 3000
	fs := memfs.New()
	makeManyTables(t, fs, tables)
	var looks, opens, lists atomic.Int64
	fs.SetHook(func(op vfs.Op) error {
		switch isTable := strings.HasSuffix(op.Name, ".sst"); {
		case op.Kind == vfs.OpStat && isTable:
			looks.Add(1)
		case op.Kind == vfs.OpOpen && isTable:
			opens.Add(1)
		case op.Kind == vfs.OpList:
			lists.Add(1)
		}
		return nil
	})
	db := openTest(t, manyTables(fs))
	if looks.Load() != tables || opens.Load() > 0 || lists.Load() > 1 {
		t.Errorf("opening %d tables looked %d times for one, opened %d, and listed the directory %d times",
			tables, looks.Load(), opens.Load(), lists.Load())
	}
	getSomeRows(t, db, tables, 5000)
	if m := db.Metrics(); m.OpenFiles > m.OpenFilesMax || m.OpenFilesMax != 64 || opens.Load() < 1000 {
		t.Errorf("%d tables are open after %d opens, %d may be", m.OpenFiles, opens.Load(), m.OpenFilesMax)
	}
	must(t, db.Close())
}

// All of the damage is told at once, in the order of the keys, however many look.
func TestOpenTellsOfAllTables(t *testing.T) {
	const tables = 3000
	fs := memfs.New()
	makeManyTables(t, fs, tables)
	names := fileNames(t, fs, ".sst")
	gone := []string{names[0], names[tables/2], names[tables-1]}
	for _, name := range gone {
		must(t, fs.Remove(filepath.Join("db", name)))
	}
	_, err := Open("db", manyTables(fs))
	joined, _ := err.(interface{ Unwrap() []error })
	if joined == nil || len(joined.Unwrap()) != len(gone) {
		t.Fatalf("without %v: %v", gone, err)
	}
	for i, err := range joined.Unwrap() {
		var damage *base.CorruptionError
		if !errors.As(err, &damage) || damage.File != gone[i] {
			t.Errorf("without %s: %v", gone[i], err)
		}
	}
}

// Tables become larger with the tree.
func TestTablesGrow(t *testing.T) {
	opts := testOptions(memfs.New())
	opts.FileBytes = 4 << 10
	db := openTest(t, opts)
	value := make([]byte, 1000)
	for i := range 16_000 {
		must(t, db.Commits().Set(nil, []byte{0}, binary.BigEndian.AppendUint64(nil, uint64(i)), value, commit.Async))
	}
	must(t, db.Compact(context.Background(), nil, nil))
	level := db.Metrics().Levels[manifest.NumLevels-1]
	want := compact.TableBytes(level.Bytes, opts.FileBytes)
	if mean := int64(level.Bytes) / int64(level.Files); want < 7<<10 || mean < want*3/4 || mean > want*3/2 {
		t.Errorf("%d tables have %d bytes, want %d each", level.Files, level.Bytes, want)
	}
	must(t, db.Close())
}

// BenchmarkOpenManyTables opens a database of 20,000 tables. It reports how many files
// are open after 100,000 random gets.
func BenchmarkOpenManyTables(b *testing.B) {
	const tables = 20_000
	disk := memfs.New()
	makeManyTables(b, disk, tables)
	dir := b.TempDir()
	copyOut(b, disk, dir)
	for _, c := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{{"memfs", disk, "db"}, {"files", vfs.OS, dir}} {
		b.Run(c.name, func(b *testing.B) {
			open := func() *DB {
				db, err := Open(c.dir, manyTables(c.fs))
				must(b, err)
				return db
			}
			b.ReportAllocs()
			for b.Loop() {
				db := open()
				b.StopTimer()
				must(b, db.Close())
				b.StartTimer()
			}
			db := open()
			getSomeRows(b, db, tables, 100_000)
			b.ReportMetric(float64(db.Metrics().OpenFiles), "open-files")
			must(b, db.Close())
		})
	}
}

// copyOut copies the database to a directory of the operating system.
func copyOut(t testing.TB, from vfs.FS, to string) {
	t.Helper()
	names, err := from.List("db")
	must(t, err)
	for _, name := range names {
		f, err := from.Open(filepath.Join("db", name))
		must(t, err)
		size, err := f.Size()
		must(t, err)
		content := make([]byte, size)
		if _, err := f.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		must(t, f.Close())
		must(t, os.WriteFile(filepath.Join(to, name), content, 0o600))
	}
}
