package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/lightningdb/lightning"
)

func TestChanges(t *testing.T) { runScripts(t, "changes") }

// TestProgramKeepsHistory writes with the program to a database whose owner keeps
// history. The commands must not delete it, and go on with it.
func TestProgramKeepsHistory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := lightning.Open(dir, &lightning.Options{
		MemoryBudget: 4 << 20, History: lightning.HistoryOptions{SizeBytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	users, err := db.Keyspace("users", nil)
	if err != nil {
		t.Fatal(err)
	}
	batch := db.NewBatch()
	for _, err := range []error{
		batch.Put([]byte("a"), []byte("1")), batch.In(users).Put([]byte{0xff}, nil),
		batch.Commit(), users.DeleteRange([]byte("x"), nil), db.DropKeyspace("users"), db.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	lightningOK := func(args ...string) string {
		t.Helper()
		var out, complaint bytes.Buffer
		if code := run(t.Context(), args, bytes.NewReader(nil), &out, &complaint); code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, complaint.String())
		}
		return out.String()
	}
	lightningOK("put", dir, "b", "2")
	lightningOK("del", dir, "a")
	const want = `{"first":1,"last":2,"changes":[{"kind":"put","key":"a","value":"1"},` +
		`{"kind":"put","keyspace":"users","key_hex":"ff","value":""}]}
{"first":3,"last":3,"changes":[{"kind":"delete-range","keyspace":"users","key":"x"}]}
{"first":4,"last":5,"changes":[{"kind":"delete-range","keyspace":"users"},{"kind":"drop-keyspace","keyspace":"users"}]}
{"first":6,"last":6,"changes":[{"kind":"put","key":"b","value":"2"}]}
{"first":7,"last":7,"changes":[{"kind":"delete","key":"a"}]}
`
	if got := lightningOK("changes", dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const part = `{"first":6,"last":6,"changes":[{"kind":"put","key":"b","value":"2"}]}` + "\n"
	if got := lightningOK("changes", dir, "--from", "6", "-n", "1"); got != part {
		t.Errorf("from 6: %s", got)
	}
	if got := lightningOK("changes", dir, "--from", "8"); got != "" {
		t.Errorf("behind the last: %s", got)
	}
}
