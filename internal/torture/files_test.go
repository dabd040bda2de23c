package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/model"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Damage done to the files of a small database: bits that flip, and files that
// are cut, lost, exchanged, or put back from another time or another database.
// Whatever happens, the database says what was written, or that something is
// damaged. Only the newest group of a log that was not closed may go unnoticed:
// nothing that comes after it says that it was durable.

// A specimen is a database at rest: its files, and the stores it may show.
type specimen struct {
	files   map[string][]byte
	allowed []model.Store
}

// A life makes specimens that differ in keys' values only.
func life(t *testing.T, value string) (crashed, closed, older specimen) {
	t.Helper()
	ctx := context.Background()
	fs := memfs.New()
	db, err := lightning.Open("db", smallOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	var store, before model.Store
	do := func(steps ...scriptStep) {
		t.Helper()
		for _, s := range steps {
			if err := s.do(db); err != nil {
				t.Fatal(err)
			}
			if s.model != nil {
				before, store = store, s.model(store)
			}
		}
	}
	put := func(k string) scriptStep { return commitStep(k, value+k, lightning.Sync) }
	do(put("a"), put("b"), put("m"), put("x"), flushStep())
	if err := db.Compact(ctx, nil, nil); err != nil {
		t.Fatal(err)
	}
	do(put("b"), deleteRangeStep("m", "n"), put("y"), flushStep())
	do(put("c"), put("a"))
	older = takeSpecimen(t, fs.Crash(memfs.CrashOptions{}), store, before)
	do(flushStep(), put("d"), put("e"), put("b"))
	crashed = takeSpecimen(t, fs.Crash(memfs.CrashOptions{}), store, before)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	closed = takeSpecimen(t, fs, store)
	return crashed, closed, older
}

func takeSpecimen(t *testing.T, fs *memfs.FS, allowed ...model.Store) specimen {
	t.Helper()
	s := specimen{files: map[string][]byte{}, allowed: allowed}
	for _, name := range list(t, fs) {
		f, err := fs.Open(filepath.Join("db", name))
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		s.files[name] = make([]byte, size)
		if _, err := f.ReadAt(s.files[name], 0); err != nil && size > 0 {
			t.Fatal(err)
		}
		f.Close()
	}
	return s
}

// mount puts files on a disk.
func mount(t *testing.T, files map[string][]byte) *memfs.FS {
	t.Helper()
	fs := memfs.New()
	if err := fs.MkdirAll("db"); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		f, err := fs.Create(filepath.Join("db", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return fs
}

// inspect opens a database that may be damaged and returns what is wrong with
// its answers; nil if each is right, or an error that says damage.
func inspect(fs vfs.FS, readOnly bool, allowed []model.Store) error {
	opts := smallOptions(fs)
	opts.ReadOnly = readOnly
	db, err := lightning.Open("db", opts)
	if err != nil {
		return unlessDamage(err)
	}
	var wrong error
	for _, store := range allowed {
		if wrong = answers(db, store); wrong == nil {
			break
		}
	}
	return errors.Join(wrong, unlessDamage(db.Close()))
}

func unlessDamage(err error) error {
	if errors.Is(err, lightning.ErrCorrupted) {
		return nil
	}
	return err
}

func answers(db *lightning.DB, store model.Store) error {
	for _, key := range []string{"a", "b", "c", "d", "e", "m", "x", "y", "z"} {
		got, err := db.Get([]byte(key))
		want, found := store.Get(key)
		switch {
		case errors.Is(err, lightning.ErrCorrupted):
		case err == nil && found && string(got) == want:
		case errors.Is(err, lightning.ErrNotFound) && !found:
		default:
			return fmt.Errorf("%s is %q (%v), not %q", key, got, err, want)
		}
	}
	rows := store.Rows("", "")
	n := 0
	err := db.Scan(lightning.ScanOptions{}, func(seq iter.Seq2[[]byte, []byte]) error {
		for k, v := range seq {
			if n == len(rows) || string(k) != rows[n].Key || string(v) != rows[n].Value {
				return fmt.Errorf("row %d is %q: %q", n, k, v)
			}
			n++
		}
		return nil
	})
	if err == nil && n != len(rows) {
		err = fmt.Errorf("%d rows instead of %d", n, len(rows))
	}
	return unlessDamage(err)
}

// TestEveryByteFlips changes one bit in every byte of every file, but for the
// space of the log that was never written, where it takes samples.
func TestEveryByteFlips(t *testing.T) {
	crashed, closed, _ := life(t, "v")
	for name, s := range map[string]specimen{"crashed": crashed, "closed": closed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := mount(t, s.files)
			for file, b := range s.files {
				used := len(bytes.TrimRight(b, "\x00"))
				for i := 0; i < len(b); i++ {
					if i > used+64 {
						i += len(b) / 16
						if i >= len(b) {
							break
						}
					}
					fs := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
					flipBit(t, fs, file, int64(i), byte(1)<<(i%8))
					if err := inspect(fs, i%4 != 0, s.allowed); err != nil {
						t.Errorf("byte %d of %s: %v", i, file, err)
					}
				}
			}
		})
	}
}

func flipBit(t *testing.T, fs vfs.FS, name string, offset int64, bit byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(filepath.Join("db", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bit
	if _, err := f.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
}

// TestFilesGoAstray does to whole files what careless copying, restoring and
// repairing do.
func TestFilesGoAstray(t *testing.T) {
	crashed, closed, older := life(t, "v")
	foreignCrashed, foreignClosed, _ := life(t, "w")
	for name, c := range map[string]struct{ s, foreign specimen }{
		"crashed": {crashed, foreignCrashed}, "closed": {closed, foreignClosed},
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range slices.Sorted(maps.Keys(c.s.files)) {
				allowed := c.s.allowed
				if filepath.Ext(file) == ".manifest" {
					// Its last records can go without a trace when the log
					// segments that they name had their numbers before.
					allowed = append(slices.Clip(allowed), older.allowed[0])
				}
				for what, files := range strayed(c.s.files, older.files, c.foreign.files, file) {
					for _, readOnly := range []bool{true, false} {
						fs := mount(t, files)
						err := inspect(fs, readOnly, allowed)
						if err == nil && !readOnly { // opening made nothing worse
							err = inspect(fs, false, allowed)
						}
						if err != nil && !errors.Is(err, lightning.ErrNotDatabase) {
							t.Errorf("%s %s, read-only %v: %v", file, what, readOnly, err)
						}
					}
				}
			}
		})
	}
}

// strayed returns what can happen to one of the files.
func strayed(files, older, foreign map[string][]byte, file string) map[string]map[string][]byte {
	b := files[file]
	with := func(content []byte) map[string][]byte {
		m := maps.Clone(files)
		m[file] = content
		return m
	}
	missing := maps.Clone(files)
	delete(missing, file)
	out := map[string]map[string][]byte{"is missing": missing}
	ext := filepath.Ext(file)
	if file != "LOCK" {
		out["is empty"] = with(nil)
		out["is longer"] = with(append(slices.Clip(b), make([]byte, 100)...))
		if ext != ".wal" {
			out["lost its last byte"] = with(b[:len(b)-1])
			out["lost half"] = with(b[:len(b)/2])
		}
	}
	if o, ok := older[file]; ok && ext != ".wal" {
		out["is an older copy"] = with(o)
	}
	if f, ok := foreign[file]; ok {
		out["is that of another database"] = with(f)
	}
	for other := range files {
		if other > file && ext != "" && filepath.Ext(other) == ext {
			m := with(files[other])
			m[other] = b
			out["is exchanged with "+other] = m
			if ext == ".wal" {
				// A segment without content of its own counts as not begun.
				continue
			}
			out["is a copy of "+other] = with(files[other])
		}
	}
	if ext != "" {
		twice := maps.Clone(files)
		twice["000099"+ext] = b
		out["is there twice"] = twice
		renamed := maps.Clone(missing)
		renamed["000099"+ext] = b
		out["has another name"] = renamed
	}
	return out
}
