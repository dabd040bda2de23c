package mutant

import (
	"go/build"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// This file reads the repository.

// root is the root of the repository: the directory with go.work, at or above
// this package.
var root = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(".")
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
	return "", err
})

func rootDir(t testing.TB) string {
	t.Helper()
	dir, err := root()
	if err != nil {
		t.Fatalf("no go.work above this package: %v", err)
	}
	return dir
}

// notMutated are the directories whose code no mutant is made of.
var notMutated = map[string]bool{"internal/arch": true, "internal/torture": true}

// repository has the sources of the library as they are built for linux/amd64,
// without tests and other modules.
var repository = sync.OnceValues(func() (*Sources, error) {
	dir, err := root()
	if err != nil {
		return nil, err
	}
	platform := build.Default
	platform.GOOS, platform.GOARCH, platform.CgoEnabled, platform.BuildTags = "linux", "amd64", false, nil
	texts := map[string]string{}
	err = filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() {
			base := path.Base(relative)
			_, noModule := os.Stat(filepath.Join(name, "go.mod"))
			if relative != "." && (noModule == nil || base[0] == '.' || base[0] == '_' || base == "testdata" || notMutated[relative]) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(relative, ".go") || strings.HasSuffix(relative, "_test.go") {
			return nil
		}
		if ok, err := platform.MatchFile(filepath.Split(name)); !ok || err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		texts[relative] = string(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	return parseSources(texts)
})

func sourcesOf(t testing.TB) *Sources {
	t.Helper()
	s, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	return s
}
