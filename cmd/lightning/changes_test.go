package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
)

func TestChanges(t *testing.T) { runScripts(t, "changes") }

// TestProgramKeepsHistory writes with the program to a database whose owner keeps
// history. The commands must not delete it, and go on with it.
func TestProgramKeepsHistory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := lightning.Open(dir, &lightning.Options{
		MemoryBudget: 4 << 20, LogArchive: lightning.LogArchiveOptions{SizeBytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	users, err := db.Keyspace(context.Background(), "users", &lightning.KeyspaceOptions{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	batch := db.NewBatch()
	for _, err := range []error{
		batch.Put([]byte("a"), []byte("1")), batch.In(users).PutWithTTL([]byte{0xff}, nil, lightning.Forever),
		batch.Commit(), users.DeleteRange([]byte("x"), nil), db.DropKeyspace(context.Background(), "users"), db.Close(),
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
	const want = `{"first":1,"last":1,"changes":[{"kind":"keyspace","keyspace":"users","ttl":"1h0m0s"}]}
{"first":2,"last":3,"changes":[{"kind":"put","key":"a","value":"1"},` +
		`{"kind":"put","keyspace":"users","key_hex":"ff","value":""}]}
{"first":4,"last":4,"changes":[{"kind":"delete-range","keyspace":"users","key":"x"}]}
{"first":5,"last":6,"changes":[{"kind":"delete-range","keyspace":"users"},{"kind":"drop-keyspace","keyspace":"users"}]}
{"first":7,"last":7,"changes":[{"kind":"put","key":"b","value":"2"}]}
{"first":8,"last":8,"changes":[{"kind":"delete","key":"a"}]}
`
	if got := lightningOK("changes", dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const part = `{"first":7,"last":7,"changes":[{"kind":"put","key":"b","value":"2"}]}` + "\n"
	if got := lightningOK("changes", dir, "--from", "7", "-n", "1"); got != part {
		t.Errorf("from 7: %s", got)
	}
	if got := lightningOK("changes", dir, "--from", "9"); got != "" {
		t.Errorf("behind the last: %s", got)
	}
}

// A transaction that was too large for memory is printed like any other, and the program
// knows how much is kept for it.
func TestChangesOfALargeTransaction(t *testing.T) {
	const rows, valueBytes = 3000, 1000
	dir := filepath.Join(t.TempDir(), "db")
	db, err := lightning.Open(dir, &lightning.Options{
		MemoryBudget: 4 << 20, LogArchive: lightning.LogArchiveOptions{SizeBytes: 1 << 30},
		Tree: lightning.TreeOptions{MemtableBytes: 1 << 20}, Compression: lightning.CompressionNone,
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *lightning.Tx) error {
		for i := range rows {
			if err := tx.Put(fmt.Appendf(nil, "%05d", i), make([]byte, valueBytes)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if size := transactionsBytes(dir); size < rows*valueBytes {
		t.Errorf("%d bytes are kept", size)
	}
	if bound := archiveToKeep(dir); bound != keptArchive {
		t.Errorf("the bound is %d", bound)
	}
	var out, complaint bytes.Buffer
	for _, args := range [][]string{{"put", dir, "a", "1"}, {"changes", dir}} {
		if code := run(t.Context(), args, bytes.NewReader(nil), &out, &complaint); code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, complaint.String())
		}
	}
	lines := strings.Split(out.String(), "\n")
	if n := strings.Count(lines[0], `"kind":"put"`); n != rows || len(lines) != 3 {
		t.Errorf("%d changes in the first of %d lines", n, len(lines))
	}
	var commit struct{ First, Last int }
	if err := json.Unmarshal([]byte(lines[0]), &commit); err != nil || commit.First != 1 || commit.Last != 1 {
		t.Errorf("%+v, %v", commit, err)
	}
}

// History that is larger than what the program keeps is somebody's who wants it;
// of what the program itself has kept, the oldest goes.
func TestHistoryToKeep(t *testing.T) {
	dir := t.TempDir()
	write := func(number int, size int64) {
		t.Helper()
		name := filepath.Join(dir, fmt.Sprintf("%06d.archive", number))
		if err := errors.Join(os.WriteFile(name, nil, 0o644), os.Truncate(name, size)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want int64) {
		t.Helper()
		if got := archiveToKeep(dir); got != want {
			t.Errorf("%d bytes, not %d", got, want)
		}
	}
	expect(keptArchive)
	for i := range keptArchiveFiles {
		write(i, 100)
	}
	expect(keptArchive)
	write(keptArchiveFiles, 70)
	write(keptArchiveFiles+1, 30)
	expect(100 * (keptArchiveFiles - 1))
	write(keptArchiveFiles+2, keptArchive)
	expect(math.MaxInt64)
	dir = filepath.Join(dir, "missing")
	expect(keptArchive)
}
