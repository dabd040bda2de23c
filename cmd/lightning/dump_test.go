package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/table"
)

func TestDump(t *testing.T) { runScripts(t, "dump") }

type person struct{ Name, City string }

var people = table.Schema[person, string]{
	Name: "people",
	Key:  table.One("name", func(p person) string { return p.Name }),
	Indexes: []table.Index[person]{
		{Name: "by-city", On: []table.Column[person]{table.One("city", func(p person) string { return p.City })}},
	},
}

// fillForDump makes a database that has something of everything.
func fillForDump(t *testing.T, dir string) {
	t.Helper()
	db, err := lightning.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keyspace := func(name string, o lightning.KeyspaceOptions) *lightning.Keyspace {
		k, err := db.Keyspace(context.Background(), name, &o)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	sessions := keyspace("sessions", lightning.KeyspaceOptions{TTL: 1000 * time.Hour, Compression: lightning.CompressionSmall})
	hits := keyspace("hits", lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
	keyspace("empty", lightning.KeyspaceOptions{Compression: lightning.CompressionNone})
	bytewise := keyspace("\xff\n", lightning.KeyspaceOptions{})
	one := binary.LittleEndian.AppendUint64(nil, 1)
	err = errors.Join(
		db.Put([]byte(""), []byte("the empty key")), db.Put([]byte("\xff\x00"), nil), db.Put([]byte("replaced"), []byte("old")),
		db.Put([]byte("replaced"), []byte("new")), db.PutWithTTL([]byte("short"), []byte("v"), 1234567*time.Second+1),
		db.Put([]byte("gone"), nil), db.Delete([]byte("gone")), db.PutWithTTL([]byte("expired"), nil, 1),
		sessions.Put([]byte("s1"), []byte("by default")), sessions.PutWithTTL([]byte("s2"), nil, lightning.Forever),
		hits.Put([]byte("h"), one), hits.Merge([]byte("h"), one), hits.Merge([]byte("new"), one),
		bytewise.Put([]byte("\n\t\""), bytes.Repeat([]byte("\u2028<>"), 3000)),
	)
	if err != nil {
		t.Fatal(err)
	}
	all, err := table.Open(context.Background(), db, people)
	if err == nil {
		err = db.Update(func(tx *lightning.Tx) error { return all.In(tx).Insert(person{"Ada", "London"}) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// contents renders all that a database holds.
func contents(t *testing.T, dir string) string {
	t.Helper()
	db, err := lightning.Open(dir, &lightning.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	show := func(from store) {
		it, err := from.Iterator(lightning.IterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for it.Next() {
			fmt.Fprintf(&out, "%q=%q until %v\n", it.Key(), it.Value(), it.ExpiresAt().UTC())
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
	}
	show(db)
	for _, name := range db.Keyspaces() {
		k, err := db.Keyspace(context.Background(), name, &lightning.KeyspaceOptions{Reserved: true})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%q %+v\n", name, k.Options())
		show(k)
	}
	return out.String()
}

// What import makes of a dump is what was dumped: records, times of expiry to the
// nanosecond, keyspaces with their options, also those of package table. A second dump
// is the same, byte for byte.
func TestDumpRoundTrip(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from.db"), filepath.Join(dir, "to.db")
	fillForDump(t, from)
	dumped := program(t.Context(), nil, "dump", from)
	if dumped.status != exitOK || dumped.stderr != "" {
		t.Fatalf("got %+v", dumped)
	}
	// A batch of one record changes keyspaces between batches, one of many within.
	for i, batch := range []string{"1", "1000"} {
		if got := program(t.Context(), strings.NewReader(dumped.stdout), "import", to, "-", "-f", "jsonl", "--batch", batch); got.status != exitOK {
			t.Fatalf("got %+v", got)
		}
		if got, want := contents(t, to), contents(t, from); got != want {
			t.Errorf("import %d: got\n%s\nwant\n%s", i, got, want)
		}
		if again := program(t.Context(), nil, "dump", to); again != dumped {
			t.Errorf("the second dump:\n%s\nthe first:\n%s", again.stdout, dumped.stdout)
		}
	}
	db, err := lightning.Open(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, err := table.Open(context.Background(), db, people)
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *lightning.Tx) error {
		_, err := all.In(tx).Get("Ada")
		return err
	})
	if err != nil {
		t.Errorf("the table: %v", err)
	}
}

// Every dump that is cut off somewhere is refused, and so is one without a line.
func TestDumpCutOff(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from.db")
	fillForDump(t, from)
	dumped := program(t.Context(), nil, "dump", from).stdout
	lines := strings.SplitAfter(strings.TrimSuffix(dumped, "\n"), "\n")
	damaged := map[string]string{
		"cut in the last line": dumped[:len(dumped)-3],
		"twice":                dumped + dumped,
		"of another version":   strings.Replace(dumped, `:1}`, `:2}`, 1),
	}
	for i := 1; i < len(lines); i++ {
		damaged[fmt.Sprintf("cut behind line %d", i)] = strings.Join(lines[:i], "")
		damaged[fmt.Sprintf("without line %d", i+1)] = strings.Join(lines[:i], "") + strings.Join(lines[i+1:], "")
	}
	for name, text := range damaged {
		got := program(t.Context(), strings.NewReader(text), "import", filepath.Join(dir, name), "-", "-f", "jsonl")
		if got.status != exitError || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What is left of a dump whose first line is lost is no list of records, also for who
// skips bad lines; and nothing at all, from a dump that failed, is no success.
func TestDumpWithoutItsBeginning(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from.db")
	fillForDump(t, from)
	dumped := program(t.Context(), nil, "dump", from).stdout
	_, headless, _ := strings.Cut(dumped, "\n")
	for name, text := range map[string]string{"headless": headless, "late": "\n" + dumped, "empty": ""} {
		got := program(t.Context(), strings.NewReader(text),
			"import", filepath.Join(dir, name), "-", "-f", "jsonl", "--skip-bad")
		if got.status != exitError || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
