package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dgraph-io/badger/v4"
	"github.com/syndtr/goleveldb/leveldb"
	"go.etcd.io/bbolt"

	"github.com/lightningdb/lightning"
)

// foreignRows is how many records the databases of other engines have here.
func foreignRows() int {
	if testing.Short() {
		return 20_000
	}
	return 1_000_000
}

func foreignKey(i int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15)
}

func foreignValue(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, i%40) }

// The writers of each engine, which put n records that foreignKey and foreignValue make.
var foreignWriters = map[string]func(t *testing.T, path string, n int){
	"bbolt": func(t *testing.T, path string, n int) {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
		must(t, err)
		for from := 0; from < n; from += 50_000 {
			must(t, db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte("rows"))
				if err != nil {
					return err
				}
				for i := from; i < min(n, from+50_000); i++ {
					if err := b.Put(foreignKey(i), foreignValue(i)); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		must(t, db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("rows"))
			inner, err := b.CreateBucket([]byte("inner"))
			if err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte("empty")); err != nil {
				return err
			}
			return inner.Put([]byte("k"), []byte("v"))
		}))
		must(t, db.Close())
	},
	"badger": func(t *testing.T, path string, n int) {
		db, err := badger.Open(badger.DefaultOptions(path).WithLogger(nil))
		must(t, err)
		b := db.NewWriteBatch()
		for i := range n {
			must(t, b.Set(foreignKey(i), foreignValue(i)))
		}
		must(t, b.Flush())
		must(t, db.Update(func(txn *badger.Txn) error {
			if err := txn.Delete(foreignKey(n - 1)); err != nil {
				return err
			}
			return txn.SetEntry(badger.NewEntry([]byte("brief"), []byte("v")).WithTTL(100 * time.Hour))
		}))
		must(t, db.Close())
	},
	"leveldb": func(t *testing.T, path string, n int) {
		db, err := leveldb.OpenFile(path, nil)
		must(t, err)
		b := new(leveldb.Batch)
		for i := range n {
			b.Put(foreignKey(i), foreignValue(i))
			if b.Len() == 1000 || i == n-1 {
				must(t, db.Write(b, nil))
				b.Reset()
			}
		}
		must(t, db.Close())
	},
	"pebble": func(t *testing.T, path string, n int) {
		db, err := pebble.Open(path, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: noLog{}})
		must(t, err)
		b := db.NewBatch()
		for i := range n {
			must(t, b.Set(foreignKey(i), foreignValue(i), nil))
			if b.Count() == 1000 || i == n-1 {
				must(t, b.Commit(pebble.NoSync))
				b = db.NewBatch()
			}
		}
		must(t, db.Close())
	},
}

type noLog struct{}

func (noLog) Infof(string, ...any)  {}
func (noLog) Errorf(string, ...any) {}
func (noLog) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// Databases that the real engines have written come over with all their records.
func TestImportForeign(t *testing.T) {
	n := foreignRows()
	for engine, write := range foreignWriters {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			old, dbDir := filepath.Join(dir, "old"), filepath.Join(dir, "new.db")
			write(t, old, n)
			var out, notes bytes.Buffer
			if code := run(t.Context(), []string{"import", dbDir, old, "--from", engine, "--json"}, strings.NewReader(""), &out, &notes); code != exitOK {
				t.Fatalf("exit code %d: %s", code, notes.String())
			}
			var result foreignResult
			must(t, json.Unmarshal(out.Bytes(), &result))
			t.Logf("%d records of %d bytes in %.2f s: %.0f a second", result.Records, result.Bytes, result.Seconds, float64(result.Records)/result.Seconds)
			db, err := lightning.Open(dbDir, &lightning.Options{ReadOnly: true})
			must(t, err)
			defer db.Close()
			var rows store = db
			want := int64(n)
			switch engine {
			case "bbolt":
				want++
				rows, err = db.Keyspace(t.Context(), "rows", nil)
				must(t, err)
				inner, err := db.Keyspace(t.Context(), "rows/inner", nil)
				must(t, err)
				if v, err := inner.Get([]byte("k")); err != nil || string(v) != "v" {
					t.Errorf("in the inner bucket: %q, %v", v, err)
				}
				if names := db.Keyspaces(); len(names) != 3 {
					t.Errorf("keyspaces are %q", names)
				}
			case "badger":
				at, err := rows.ExpiresAt([]byte("brief"))
				if left := time.Until(at); err != nil || left < 99*time.Hour || left > 100*time.Hour {
					t.Errorf("expires in %v, %v", left, err)
				}
				if has, err := rows.Has(foreignKey(n - 1)); has || err != nil {
					t.Errorf("what was deleted is there: %v, %v", has, err)
				}
			}
			if result.Records != want {
				t.Errorf("%d records were loaded, want %d", result.Records, want)
			}
			for i := range n - 1 {
				v, err := rows.Get(foreignKey(i))
				if err != nil || !bytes.Equal(v, foreignValue(i)) {
					t.Fatalf("record %d: %q, %v", i, v, err)
				}
			}
			// Nothing is loaded over what is there.
			if code := run(t.Context(), []string{"import", dbDir, old, "--from", engine}, strings.NewReader(""), &out, &notes); code != exitError {
				t.Errorf("exit code %d of a second import: %s", code, notes.String())
			}
		})
	}
}

// What is no database of the engine, or of none, has an error that says so, and makes nothing.
func TestImportForeignRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	must(t, os.WriteFile(text, []byte("some text that is no database of anybody, and long enough"), 0o600))
	for engine := range foreignWriters {
		for _, path := range []string{text, filepath.Join(dir, "missing")} {
			var notes bytes.Buffer
			code := run(t.Context(), []string{"import", filepath.Join(dir, "new.db"), path, "--from", engine}, strings.NewReader(""), &notes, &notes)
			if code != exitError || !strings.Contains(notes.String(), path) {
				t.Errorf("%s from %s: exit code %d: %s", engine, path, code, notes.String())
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new.db")); err == nil {
		t.Error("a database was made")
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); err == nil {
		t.Error("a database of another engine was made")
	}
	var notes bytes.Buffer
	if code := run(t.Context(), []string{"import", filepath.Join(dir, "new.db"), text, "--from", "oracle"}, strings.NewReader(""), &notes, &notes); code != exitUsage {
		t.Errorf("exit code %d: %s", code, notes.String())
	}
	if code := run(t.Context(), []string{"import", filepath.Join(dir, "new.db"), text, "--from", "bbolt", "--key", "1"}, strings.NewReader(""), &notes, &notes); code != exitUsage {
		t.Errorf("exit code %d: %s", code, notes.String())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
