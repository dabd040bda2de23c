package damage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
)

// put writes an image to a directory of the machine.
func (m image) put(t *testing.T, at string) {
	t.Helper()
	for name, content := range m {
		if err := os.WriteFile(filepath.Join(at, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoDatabaseThere opens directories in which there is no database, or only
// a part of one.
func TestNoDatabaseThere(t *testing.T) {
	s := specimenOf(t, "live log")
	only := func(kinds ...string) image {
		m := image{}
		for name, b := range s.image {
			if slices.Contains(kinds, kind(name)) {
				m[name] = b
			}
		}
		return m
	}
	for what, c := range map[string]struct {
		files image
		fresh bool  // a new database may be made there
		err   error // of the other openings
	}{
		"nothing":                {image{}, true, lightning.ErrNotDatabase},
		"only a lock":            {only(kindLock), true, lightning.ErrNotDatabase},
		"only tables":            {only(kindTable), false, lightning.ErrNotDatabase},
		"only logs":              {only(kindLog), false, lightning.ErrNotDatabase},
		"tables and logs":        {only(kindTable, kindLog, kindLock), false, lightning.ErrNotDatabase},
		"only a manifest":        {only(kindManifest), false, lightning.ErrCorrupted},
		"only CURRENT":           {only(kindCurrent), false, lightning.ErrCorrupted},
		"all but CURRENT":        {only(kindManifest, kindTable, kindLog), false, lightning.ErrCorrupted},
		"CURRENT and manifest":   {only(kindCurrent, kindManifest), false, lightning.ErrCorrupted},
		"a stranger's files":     {image{"notes.txt": []byte("hello")}, false, lightning.ErrNotDatabase},
		"a stranger's and a log": {image{"notes.txt": nil, "000001.wal": nil}, false, lightning.ErrNotDatabase},
	} {
		for _, mode := range []lightning.Options{{ReadOnly: true}, {MustExist: true}, {}} {
			disk, err := c.files.mount()
			if err != nil {
				t.Fatal(err)
			}
			mode.FS = disk
			db, err := lightning.Open(dir, &mode)
			if c.fresh && !mode.ReadOnly && !mode.MustExist {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				} else if err := db.Close(); err != nil {
					t.Errorf("%s: close: %v", what, err)
				}
				continue
			}
			if !errors.Is(err, c.err) {
				t.Errorf("%s, read-only %v, must exist %v: %v", what, mode.ReadOnly, mode.MustExist, err)
			}
			if after, err := takeImage(disk); err != nil || !slices.Equal(after.others(), c.files.others()) {
				t.Errorf("%s: the files became %v: %v", what, after.names(), err)
			}
		}
	}
}

// others lists the names but those of the lock, which any opener may make, and
// of the manifest, which an open for writing continues under the next number
// before it looks at the tables.
func (m image) others() []string {
	return slices.DeleteFunc(m.names(), func(name string) bool {
		return kind(name) == kindLock || kind(name) == kindManifest
	})
}

// TestFileInsteadOfDirectory: what is called like the database is a file.
func TestFileInsteadOfDirectory(t *testing.T) {
	at := filepath.Join(t.TempDir(), dir)
	if err := os.WriteFile(at, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false} {
		db, err := lightning.Open(at, &lightning.Options{ReadOnly: readOnly})
		if !errors.Is(err, lightning.ErrNotDatabase) {
			t.Errorf("%v, %v", db, err)
		}
	}
	if b, err := os.ReadFile(at); err != nil || string(b) != "a file" {
		t.Errorf("the file became %q: %v", b, err)
	}
}

// TestSymlinks replaces files of a database on the machine's own file system by
// symbolic links, and adds links that are called like tables of ours.
func TestSymlinks(t *testing.T) {
	s := specimenOf(t, "live log")
	var table string
	for _, name := range s.image.names() {
		if kind(name) == kindTable {
			table = name
		}
	}
	for what, c := range map[string]struct {
		name, target string // the target is in the directory beside the database
		refused      bool
	}{
		"a table elsewhere":      {table, "moved", false},
		"CURRENT elsewhere":      {kindCurrent, "moved", false},
		"a table gone":           {table, "gone", true},
		"CURRENT gone":           {kindCurrent, "gone", true},
		"a table in a circle":    {table, "../" + dir + "/" + table, true},
		"a link like a table":    {"000888.sst", "foreign", false},
		"a link like a log":      {"notes.wal", "foreign", false},
		"a link like a manifest": {"000888.manifest", "foreign", false},
	} {
		t.Run(what, func(t *testing.T) {
			base := t.TempDir()
			at, beside := filepath.Join(base, dir), filepath.Join(base, "beside")
			for _, d := range []string{at, beside} {
				if err := os.Mkdir(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			foreign := []byte("not ours, and longer than the header of a table, so that it can be told from one")
			image{"foreign": foreign, "moved": s.image[c.name]}.put(t, beside)
			s.image.without(c.name).put(t, at)
			if err := os.Symlink(filepath.Join("..", "beside", c.target), filepath.Join(at, c.name)); err != nil {
				t.Skip(err)
			}
			for _, write := range []bool{false, true} {
				in := inspection{
					specimen: s, mount: func() (vfs.FS, error) { return below{vfs.OS, base}, nil }, write: write,
					damaged: []string{c.name}, folders: []string{c.name},
					allowed: []answers{s.truth()}, scope: s.truth().everything(),
				}
				got, err := in.run()
				if err != nil || (got == refusal) != c.refused {
					t.Errorf("opened for writing %v: %v, %v", write, got, err)
				}
			}
			if b, err := os.ReadFile(filepath.Join(beside, "foreign")); err != nil || string(b) != string(foreign) {
				t.Errorf("the file that the link names became %q: %v", b, err)
			}
			if _, err := os.Lstat(filepath.Join(at, c.name)); err != nil && c.target == "foreign" {
				t.Errorf("the link is gone: %v", err)
			}
		})
	}
}
