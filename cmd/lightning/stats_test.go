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
	if err != nil || len(tables) != 2 { // that of the key, and that of the value, which is large
		t.Fatalf("tables %q, %v", tables, err)
	}
	ruined := ""
	for _, table := range tables {
		content, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(content, []byte("value"))
		if at < 0 {
			continue
		}
		content[at]++
		if ruined = filepath.Base(table); os.WriteFile(table, content, 0o644) != nil {
			t.Fatal(table)
		}
	}
	got := program(t.Context(), nil, "stats", dir)
	for _, want := range []string{
		"\nnot read     what is in the 2 tables: 'lightning check DIR' reads all of it\n",
		"in 1 table of large values, 100 % of them in use\n",
	} {
		if got.status != exitOK || !strings.Contains(got.stdout, want) {
			t.Errorf("stats: %+v, want %q", got, want)
		}
	}
	got = program(t.Context(), nil, "stats", dir, "--json")
	for _, want := range []string{"\"unread_tables\": 2,\n", "\"blob_tables\": 1,\n", "\"blob_live_share\": 1,\n"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("stats --json: %+v, want %q", got, want)
		}
	}
	got = program(t.Context(), nil, "dump", dir)
	if got.status != exitError || !strings.Contains(got.stderr, ruined) {
		t.Errorf("dump: %+v", got)
	}
}
