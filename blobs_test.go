package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// withBlobs are options with which values of 100 bytes are kept apart from their keys.
func withBlobs(fs *memfs.FS) *lightning.Options {
	o := small(fs)
	o.Tree.BlobBytes = 100
	return o
}

// Values of all sizes are what was put, whether they are kept apart or not, in every way of
// reading, after flushes, compactions and an open, and also by who has seen an older one.
func TestBlobs(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	db := open(t, withBlobs(fs))
	rng := rand.New(rand.NewPCG(1, 1))
	want := map[string]string{}
	put := func(round int) {
		for range 3000 {
			key := fmt.Sprintf("k%04d", rng.IntN(2000))
			switch rng.IntN(6) {
			case 0:
				must(t, db.Delete([]byte(key)))
				delete(want, key)
			case 1:
				value := strings.Repeat(fmt.Sprint(round), 150)
				must(t, db.PutWithTTL([]byte(key), []byte(value), time.Hour))
				want[key] = value
			default:
				value := fmt.Sprint(round, string(bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(300))))
				must(t, db.Put([]byte(key), []byte(value)))
				want[key] = value
			}
		}
	}
	check := func(when string) {
		t.Helper()
		if got := allRows(t, db.Scan); !maps.Equal(got, want) {
			t.Fatalf("%s: %d rows, want %d", when, len(got), len(want))
		}
		keys := [][]byte{}
		for i := range 2000 {
			key := fmt.Appendf(nil, "k%04d", i)
			value, err := db.Get(key)
			if was, ok := want[string(key)]; ok != (err == nil) || was != string(value) {
				t.Fatalf("%s: %s is %.20q, %v; want %.20q", when, key, value, err, was)
			}
			keys = append(keys, key)
		}
		must(t, db.MultiGet(keys, func(i int, value []byte, err error) error {
			if was, ok := want[string(keys[i])]; ok != (err == nil) || was != string(value) {
				t.Fatalf("%s: %s of many is %.20q, %v; want %.20q", when, keys[i], value, err, was)
			}
			return nil
		}))
		it, err := db.Iterator(lightning.IterOptions{})
		must(t, err)
		n := 0
		for ok := it.Last(); ok; ok = it.Prev() {
			if n++; want[string(it.Key())] != string(it.Value()) {
				t.Fatalf("%s: backwards %s is %.20q", when, it.Key(), it.Value())
			}
		}
		must(t, it.Close())
		if n != len(want) {
			t.Fatalf("%s: %d rows backwards, want %d", when, n, len(want))
		}
	}
	put(1)
	check("in memory")
	must(t, db.Flush(ctx))
	check("flushed")
	if m := db.Metrics().Blobs; m.Files == 0 || m.LiveBytes == 0 {
		t.Errorf("nothing is kept apart: %+v", m)
	}
	snap, err := db.Snapshot()
	must(t, err)
	before := maps.Clone(want)
	for round := range 4 {
		put(round + 2)
		must(t, db.Flush(ctx))
	}
	must(t, db.Compact(ctx, nil, nil))
	check("compacted")
	if got := allRows(t, snap.Scan); !maps.Equal(got, before) {
		t.Fatalf("the snapshot has %d rows, want %d", len(got), len(before))
	}
	must(t, snap.Close())
	must(t, db.Compact(ctx, nil, nil))
	check("without the snapshot")
	must(t, db.Close())
	db = open(t, withBlobs(fs))
	check("opened again")
	must(t, db.Close())
	o := withBlobs(fs)
	o.Tree.BlobBytes = -1
	db = open(t, o)
	check("opened without")
	must(t, db.Compact(ctx, nil, nil))
	check("compacted without")
	must(t, db.Close())
}

// What nobody has any more goes, though nobody asks for it: blob tables take no more than 1.3
// times the values in them.
func TestBlobSpace(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	db := open(t, withBlobs(fs))
	for round := range 6 {
		for i := range 2000 {
			must(t, db.Put(fmt.Appendf(nil, "k%04d", (i*37)%2000), bytes.Repeat([]byte{byte(round)}, 500)))
		}
	}
	must(t, db.Flush(ctx))
	deadline := time.Now().Add(time.Minute)
	for {
		m := db.Metrics()
		if float64(m.Blobs.RawBytes) <= 1.31*float64(m.Blobs.LiveBytes) && m.Blobs.LiveBytes > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("there are %+v", m.Blobs)
		}
		must(t, db.Compact(ctx, nil, []byte{0})) // nothing, but it waits for its turn
	}
	must(t, db.DeleteRange(nil, nil))
	must(t, db.Compact(ctx, nil, nil))
	if m := db.Metrics().Blobs; m.Files != 0 {
		t.Errorf("after all was deleted there are %+v", m)
	}
	must(t, db.Close())
	for _, name := range tableFiles(t, fs) {
		t.Errorf("%s is left", name)
	}
}

// A keyspace has a rule of its own, which is kept and can be changed; one who asks for another
// is told.
func TestBlobsOfKeyspaces(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	db := open(t, withBlobs(fs))
	never, err := db.Keyspace(ctx, "never", &lightning.KeyspaceOptions{BlobBytes: -1})
	must(t, err)
	large, err := db.Keyspace(ctx, "large", &lightning.KeyspaceOptions{BlobBytes: 1000})
	must(t, err)
	_, err = db.Keyspace(ctx, "small", &lightning.KeyspaceOptions{BlobBytes: 3})
	var refused *lightning.OptionError
	if !errors.As(err, &refused) || refused.Field != "BlobBytes" {
		t.Errorf("%v", err)
	}
	_, err = db.Keyspace(ctx, "large", &lightning.KeyspaceOptions{BlobBytes: -1})
	wantErr(t, err, lightning.ErrKeyspaceDiffers)
	apart := func() uint64 { return db.Metrics().Blobs.LiveBytes }
	must(t, never.Put([]byte("a"), make([]byte, 5000)))
	must(t, large.Put([]byte("a"), make([]byte, 999)))
	must(t, db.Flush(ctx))
	if n := apart(); n != 0 {
		t.Errorf("%d bytes are apart", n)
	}
	must(t, large.Put([]byte("b"), make([]byte, 1000)))
	must(t, db.Put([]byte("c"), make([]byte, 100)))
	must(t, db.Flush(ctx))
	if n := apart(); n != 1100 {
		t.Errorf("%d bytes are apart, want 1100", n)
	}
	must(t, db.SetKeyspaceOptions(ctx, "never", lightning.KeyspaceOptions{BlobBytes: 16}))
	must(t, db.Close())
	db = open(t, withBlobs(fs))
	if never, err = db.Keyspace(ctx, "never", nil); err != nil {
		t.Fatal(err)
	}
	if o := never.Options(); o.BlobBytes != 16 {
		t.Errorf("options %+v", o)
	}
	must(t, db.Compact(ctx, nil, nil))
	if n := apart(); n != 6100 {
		t.Errorf("%d bytes are apart, want 6100", n)
	}
	must(t, db.DropKeyspace(ctx, "never"))
	must(t, db.Compact(ctx, nil, nil))
	if n := apart(); n != 1100 {
		t.Errorf("%d bytes are apart, want 1100", n)
	}
	must(t, db.Close())
}

// Loads and transactions past the log, and who follows them, see values that are apart.
func TestBlobsPastTheLog(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	o := withBlobs(fs)
	o.LogArchive.SizeBytes = 1 << 30
	db := open(t, o)
	load, err := db.BulkLoader()
	must(t, err)
	value := func(i int) string { return strings.Repeat(fmt.Sprintf("%06d", i), 40) }
	for i := range 3000 {
		must(t, load.Put(fmt.Appendf(nil, "k%06d", (i*7)%3000), []byte(value((i*7)%3000))))
	}
	must(t, load.Commit())
	must(t, db.Update(func(tx *lightning.Tx) error {
		for i := 3000; i < 6000; i++ {
			if err := tx.Put(fmt.Appendf(nil, "k%06d", i), []byte(value(i))); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, db.DeleteRange([]byte("k001"), []byte("k002")))
	must(t, db.Compact(ctx, nil, nil)) // the archive alone has what was deleted
	for _, reopened := range []bool{false, true} {
		if reopened {
			must(t, db.Close())
			db = open(t, o)
		}
		seen := 0
		for batch, err := range db.Changes(ctx, 1) {
			must(t, err)
			for c := range batch.All() {
				if c.Kind == lightning.ChangePut {
					var i int
					fmt.Sscanf(string(c.Key), "k%06d", &i)
					if seen++; string(c.Value) != value(i) {
						t.Fatalf("%s is %.20q", c.Key, c.Value)
					}
				}
			}
			must(t, batch.Err())
			if batch.Last == db.Metrics().VisibleSeq {
				break
			}
		}
		if seen != 6000 {
			t.Errorf("%d changes", seen)
		}
		if rows := allRows(t, db.Scan); len(rows) != 5000 || rows["k005999"] != value(5999) {
			t.Errorf("%d rows", len(rows))
		}
	}
	must(t, db.Close())
}

// Damage in a table of values is told by who needs the value, with its place; keys can be walked,
// and what lies elsewhere is not touched by it.
func TestDamagedBlob(t *testing.T) {
	ctx := context.Background()
	fs := memfs.New()
	db := open(t, withBlobs(fs))
	for i := range 200 {
		must(t, db.Put(fmt.Appendf(nil, "k%03d", i), bytes.Repeat([]byte{byte(i)}, 1000)))
	}
	must(t, db.Flush(ctx))
	must(t, db.Close())
	var largest string
	var content []byte
	for _, name := range tableFiles(t, fs) {
		if c := readAll(t, fs, "db/"+name); len(c) > len(content) {
			largest, content = name, c
		}
	}
	content[len(content)/2] ^= 1
	writeAll(t, fs, "db/"+largest, content)
	db = open(t, withBlobs(fs))
	damaged := map[int]bool{}
	for i := range 200 {
		value, err := db.Get(fmt.Appendf(nil, "k%03d", i))
		var damage *lightning.CorruptionError
		switch {
		case errors.As(err, &damage) && damage.File == largest && string(damage.Lo) <= fmt.Sprintf("\x00k%03d", i):
			damaged[i] = true
		case err != nil || len(value) != 1000 || value[0] != byte(i):
			t.Errorf("row %d: %v", i, err)
		}
	}
	if len(damaged) == 0 || len(damaged) > 20 {
		t.Errorf("%d rows are damaged", len(damaged))
	}
	// Most of it is garbage then, and would be written anew: what cannot be read stays, and
	// nothing else is held up.
	for i := range 200 {
		if i%10 > 0 && !damaged[i] {
			must(t, db.Delete(fmt.Appendf(nil, "k%03d", i)))
		}
		must(t, db.Put(fmt.Appendf(nil, "n%03d", i), bytes.Repeat([]byte{byte(i)}, 1000)))
	}
	must(t, db.Flush(ctx))
	err := error(nil)
	for tries := 0; err == nil && tries < 1000; tries++ { // the job that meets it comes by itself, soon
		err = db.Compact(ctx, nil, nil)
	}
	wantErr(t, err, lightning.ErrCorrupted)
	if n := db.Metrics().Health.QuarantinedFiles; n != 1 {
		t.Errorf("%d tables are left alone, want that of the values", n)
	}
	for i := range 200 {
		if _, err := db.Get(fmt.Appendf(nil, "n%03d", i)); err != nil {
			t.Errorf("row n%d: %v", i, err)
		}
	}
	must(t, db.Close())
}

// Keys are no garbage: where they are as long as their values nothing is written anew for ever.
func TestBlobsOfLongKeys(t *testing.T) {
	ctx := context.Background()
	db := open(t, withBlobs(memfs.New()))
	for i := range 500 {
		must(t, db.Put(fmt.Appendf(nil, "%090d", i), make([]byte, 100)))
	}
	must(t, db.Compact(ctx, nil, nil))
	m := db.Metrics()
	if m.Blobs.RawBytes != m.Blobs.LiveBytes || m.Blobs.LiveBytes != 50_000 {
		t.Errorf("%+v", m.Blobs)
	}
	must(t, db.Compact(ctx, nil, nil))
	if again := db.Metrics(); again.Compactions.Count != m.Compactions.Count {
		t.Errorf("%d compactions where there was nothing to do", again.Compactions.Count-m.Compactions.Count)
	}
	must(t, db.Close())
}

// Operands over a value that is lost hold up their own table alone, whatever is wrong with the file
// where the value was.
func TestOperandsOverDamagedBlob(t *testing.T) {
	ctx := context.Background()
	for name, ruin := range map[string]func(fs *memfs.FS, name string){
		"cut":     func(fs *memfs.FS, name string) { writeAll(t, fs, name, readAll(t, fs, name)[:100]) },
		"changed": func(fs *memfs.FS, name string) { c := readAll(t, fs, name); c[len(c)/3] ^= 1; writeAll(t, fs, name, c) },
	} {
		fs := memfs.New()
		db := open(t, withBlobs(fs))
		k, err := db.Keyspace(ctx, "merging", &lightning.KeyspaceOptions{Merge: lightning.MergeAppend})
		must(t, err)
		for i := range 100 {
			must(t, k.Put(fmt.Appendf(nil, "k%03d", i), bytes.Repeat([]byte{byte(i)}, 1000)))
		}
		must(t, db.Flush(ctx))
		var largest string
		size := 0
		for _, name := range tableFiles(t, fs) {
			if n := len(readAll(t, fs, "db/"+name)); n > size {
				largest, size = name, n
			}
		}
		for i := range 100 {
			must(t, k.Merge(fmt.Appendf(nil, "k%03d", i), []byte("more")))
		}
		must(t, db.Flush(ctx))
		must(t, db.Put([]byte("other"), []byte("1")))
		ruin(fs, "db/"+largest)
		if err := db.Compact(ctx, nil, nil); err != nil {
			wantErr(t, err, lightning.ErrCorrupted)
		}
		for i := range 40 { // more than level 0 may have
			must(t, db.Put(fmt.Appendf(nil, "o%03d", i), make([]byte, 50)))
			must(t, db.Flush(ctx))
		}
		if value, err := db.Get([]byte("other")); string(value) != "1" {
			t.Errorf("%s: %q, %v", name, value, err)
		}
		must(t, db.Close())
	}
}
