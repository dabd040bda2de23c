package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
)

func TestRoot(t *testing.T) { runScripts(t, "root") }

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my.db")
	db, err := lightning.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := program(t.Context(), nil, "put", dir, "key", "value")
	want := outcome{exitError, "", "lightning put: " + dir + " is in use by another process\n"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// tables makes a database with tables and returns their names.
func tables(t *testing.T, dir string, count int) []string {
	t.Helper()
	for i := range count {
		if got := program(t.Context(), nil, "put", dir, fmt.Sprint("key", i), "value"); got.status != exitOK {
			t.Fatalf("%+v", got)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(names) != count {
		t.Fatalf("tables %q, %v", names, err)
	}
	return names
}

func TestDamageIsToldInOneLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my.db")
	name := tables(t, dir, 1)[0]
	table, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	table[70] ^= 1 // in the first data block
	if err := os.WriteFile(name, table, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"get", dir, "key0"}, {"scan", dir}} {
		got := program(t.Context(), nil, args...)
		want := "lightning " + args[0] + ": corruption in " + filepath.Base(name) + ": data block at offset 64: "
		if got.status != exitError || !strings.HasPrefix(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: got %+v, want %q", args[0], got, want)
		}
	}
}

func TestAllDamageIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my.db")
	names := tables(t, dir, 2)
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	got := program(t.Context(), nil, "get", dir, "key0")
	lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
	if got.status != exitError || len(lines) != 3 || lines[0] != "lightning get: the database is damaged in 2 places:" {
		t.Fatalf("got %+v", got)
	}
	for _, name := range names {
		if !strings.Contains(got.stderr, "  corruption in "+filepath.Base(name)+": ") {
			t.Errorf("%s is not told of in %q", name, got.stderr)
		}
	}
}

// The commands and the dump that docs/cookbook.md shows are those that keyspaces.txtar runs.
func TestCookbookCommandsAreRun(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "cookbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "script", "root", "keyspaces.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(page)) {
		shown := strings.TrimPrefix(line, "    ")
		command := strings.HasPrefix(shown, "lightning ")
		if shown == line || !command && !strings.HasPrefix(shown, `{"`) {
			continue
		}
		if command {
			shown = "exec " + shown
		}
		if found++; !strings.Contains("\n"+string(script), "\n"+shown) {
			t.Errorf("keyspaces.txtar does not have %q", shown)
		}
	}
	if found < 10 {
		t.Errorf("only %d lines were found; the search is broken", found)
	}
}
