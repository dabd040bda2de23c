package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStats(t *testing.T) { runScripts(t, "stats") }

// Damage in a table is nothing that stats sees: it says that it has not looked, and a
// dump, to which it points, finds it.
func TestStatsSaysWhatItHasNotRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my.db")
	for _, args := range [][]string{{"put", dir, "key", strings.Repeat("value", 1000)}, {"compact", dir}} {
		if got := program(t.Context(), nil, args...); got.status != exitOK {
			t.Fatalf("%v: %+v", args, got)
		}
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatalf("tables %q, %v", tables, err)
	}
	content, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	content[bytes.Index(content, []byte("value"))]++
	if err := os.WriteFile(tables[0], content, 0o644); err != nil {
		t.Fatal(err)
	}
	got := program(t.Context(), nil, "stats", dir)
	want := "\nnot read     what is in the 1 table: 'lightning dump DIR > " + os.DevNull + "' reads all live records\n"
	if got.status != exitOK || !strings.Contains(got.stdout, want) {
		t.Errorf("stats: %+v", got)
	}
	got = program(t.Context(), nil, "stats", dir, "--json")
	if !strings.Contains(got.stdout, "\"unread_tables\": 1,\n") {
		t.Errorf("stats --json: %+v", got)
	}
	got = program(t.Context(), nil, "dump", dir)
	if got.status != exitError || !strings.Contains(got.stderr, filepath.Base(tables[0])) {
		t.Errorf("dump: %+v", got)
	}
}
