package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// withPieces are options with which values of 16 KiB are in pieces of one.
func withPieces(fs *memfs.FS) *lightning.Options {
	o := small(fs)
	o.Tree.BlobBytes = 16
	return o
}

// noise returns bytes that do not compress.
func noise(rng *rand.Rand, n int) []byte {
	value := make([]byte, n)
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	return value
}

// streamed returns what a reader of the value of a key yields.
func streamed(t *testing.T, get func(key []byte) (*lightning.ValueReader, error), key string) (string, bool) {
	t.Helper()
	r, err := get([]byte(key))
	if errors.Is(err, lightning.ErrNotFound) {
		return "", false
	}
	must(t, err)
	var value strings.Builder
	_, err = io.Copy(&value, r)
	must(t, err)
	must(t, r.Close())
	if r.Size() != int64(value.Len()) {
		t.Errorf("%s: the size is %d, and %d bytes were read", key, r.Size(), value.Len())
	}
	return value.String(), true
}

// Values that were put or streamed, of all sizes around those of pieces, are what they should be
// in every way of reading, wherever they are, and so are they to those who have seen older ones
// and to those who read the changes.
func TestStreams(t *testing.T) {
	ctx := t.Context()
	fs := memfs.New()
	o := withPieces(fs)
	o.LogArchive.SizeBytes = 1 << 30
	db := open(t, o)
	rng := rand.New(rand.NewPCG(1, 1))
	want := map[string]string{}
	sizes := []int{0, 1, 100, 1 << 10, 16<<10 - 1, 16 << 10, 16<<10 + 1, 17 << 10, 50_000, 100 << 10}
	put := func() {
		for range 60 {
			key := fmt.Sprintf("k%02d", rng.IntN(40))
			value := noise(rng, sizes[rng.IntN(len(sizes))])
			var n int64
			var err error
			switch want[key] = string(value); rng.IntN(6) {
			case 0:
				delete(want, key)
				must(t, db.Delete([]byte(key)))
				continue
			case 1:
				n, err = db.PutReaderWithTTL(ctx, []byte(key), bytes.NewReader(value), time.Hour)
			case 2:
				n, err = int64(len(value)), db.PutWithTTL([]byte(key), value, time.Hour)
			case 3:
				n, err = int64(len(value)), db.Put([]byte(key), value)
			default:
				n, err = db.PutReader(ctx, []byte(key), iotest.OneByteReader(bytes.NewReader(value)))
			}
			must(t, err)
			if n != int64(len(value)) {
				t.Fatalf("%s: %d bytes were read of %d", key, n, len(value))
			}
		}
	}
	check := func(when string, get func(key []byte) (*lightning.ValueReader, error), scan func(lightning.ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error, want map[string]string) {
		t.Helper()
		if got := allRows(t, scan); !maps.Equal(got, want) {
			t.Fatalf("%s: the %d rows are not the %d that they should be", when, len(got), len(want))
		}
		for i := range 40 {
			key := fmt.Sprintf("k%02d", i)
			was, is := want[key]
			if got, found := streamed(t, get, key); found != is || got != was {
				t.Fatalf("%s: %s has %d bytes, %v; want %d", when, key, len(got), found, len(was))
			}
		}
	}
	now := func(when string) {
		t.Helper()
		check(when, db.GetReader, db.Scan, want)
		for key, was := range want {
			if got, err := db.Get([]byte(key)); err != nil || string(got) != was {
				t.Fatalf("%s: %s is %d bytes, %v; want %d", when, key, len(got), err, len(was))
			}
		}
	}
	put()
	now("in memory")
	snap, err := db.Snapshot()
	must(t, err)
	before := maps.Clone(want)
	for range 3 {
		put()
		must(t, db.Flush(ctx))
		now("flushed")
	}
	must(t, db.Compact(ctx, nil, nil))
	now("compacted")
	check("of the snapshot", snap.GetReader, snap.Scan, before)
	must(t, snap.Close())
	must(t, db.Compact(ctx, nil, nil))
	now("without the snapshot")

	copied := replica{}
	for batch, err := range db.Changes(ctx, 0) {
		must(t, err)
		copied.apply(t, batch)
		if batch.Last >= db.DurableSeq() {
			break
		}
	}
	if !copied.equal(replica{"": want}) {
		t.Error("the changes make something else")
	}
	must(t, db.Close())
	db = open(t, withPieces(fs))
	now("opened again")
	o = withPieces(fs)
	o.Tree.BlobBytes = -1
	must(t, db.Close())
	db = open(t, o)
	now("opened without")
	must(t, db.Compact(ctx, nil, nil))
	now("compacted without")
}

// A reader keeps the rules of readers, wherever its value is.
func TestValueReader(t *testing.T) {
	ctx := t.Context()
	value := noise(rand.New(rand.NewPCG(2, 2)), 700_000)
	for _, where := range []string{"memory", "a table", "pieces", "pieces that expire"} {
		t.Run(where, func(t *testing.T) {
			o := withPieces(memfs.New())
			if where == "a table" {
				o.Tree.BlobBytes = -1
			}
			db := open(t, o)
			key := []byte("key")
			var err error
			switch where {
			case "memory":
				err = db.Put(key, value)
			case "a table":
				err = errors.Join(db.Put(key, value), db.Flush(ctx))
			case "pieces":
				_, err = db.PutReader(ctx, key, bytes.NewReader(value))
			default:
				_, err = db.PutReaderWithTTL(ctx, key, bytes.NewReader(value), time.Hour)
			}
			must(t, err)
			r, err := db.GetReader(key)
			must(t, err)
			must(t, iotest.TestReader(r, value))
			must(t, db.Delete(key))
			must(t, db.Compact(ctx, nil, nil))
			for range 20 {
				at := int64(rand.IntN(len(value)))
				_, err := r.Seek(at, io.SeekStart)
				must(t, err)
				rest, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(rest, value[at:]) {
					t.Fatalf("from %d on there are %d bytes, %v", at, len(rest), err)
				}
			}
			if _, err := db.GetReader(key); !errors.Is(err, lightning.ErrNotFound) {
				t.Errorf("a reader of what was deleted: %v", err)
			}
			_, err = r.Seek(-1, io.SeekStart)
			if err == nil {
				t.Error("an offset before the value")
			}
			must(t, r.Close())
			_, err = r.Read(make([]byte, 1))
			wantErr(t, err, lightning.ErrHandleClosed)
			wantErr(t, r.Close(), lightning.ErrHandleClosed)
			wantErr(t, new(lightning.ValueReader).Close(), lightning.ErrClosed)
		})
	}
}

// errAt is a reader that fails after some bytes.
func errAt(n int, err error) io.Reader {
	return io.MultiReader(io.LimitReader(zeros{}, int64(n)), iotest.ErrReader(err))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A value that cannot be read to its end, or is too long, leaves what was there, and no file.
func TestStreamThatFails(t *testing.T) {
	fs := memfs.New()
	db := open(t, withPieces(fs))
	key := []byte("key")
	must(t, db.Put(key, []byte("before")))
	must(t, db.Flush(t.Context()))
	files := func() int {
		names, err := fs.List("db")
		must(t, err)
		return len(names)
	}
	was := files()
	for _, n := range []int{0, 100, 16 << 10, 40_000, 100_000} {
		// What a connection that was cut says is not an end.
		for _, errHere := range []error{errors.New("of the reader"), io.ErrUnexpectedEOF} {
			read, err := db.PutReader(t.Context(), key, errAt(n, errHere))
			if !errors.Is(err, errHere) || read != int64(n) {
				t.Errorf("after %d bytes: %d, %v", n, read, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	endless := io.MultiReader(io.LimitReader(zeros{}, 50_000), readFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	}))
	_, err := db.PutReader(ctx, key, endless)
	wantErr(t, err, context.Canceled)
	_, err = db.PutReader(ctx, key, strings.NewReader("short"))
	wantErr(t, err, context.Canceled)
	for name, reader := range map[string]io.Reader{
		"nothing":  io.MultiReader(io.LimitReader(zeros{}, 50_000), readFunc(func([]byte) (int, error) { return 0, nil })),
		"too much": io.MultiReader(io.LimitReader(zeros{}, 50_000), readFunc(func(p []byte) (int, error) { return len(p) + 1, nil })),
		"a panic":  io.MultiReader(io.LimitReader(zeros{}, 50_000), readFunc(func([]byte) (int, error) { panic("of the reader") })),
	} {
		func() {
			defer func() {
				if what := recover(); (what != nil) != (name == "a panic") {
					t.Errorf("%s: panic %v", name, what)
				}
			}()
			if _, err := db.PutReader(t.Context(), key, reader); err == nil {
				t.Errorf("a reader that yields %s", name)
			}
		}()
	}
	_, err = db.PutReader(t.Context(), key, nil)
	wantErr(t, err, lightning.ErrNilArgument)
	_, err = db.PutReaderWithTTL(t.Context(), key, zeros{}, -1)
	wantErr(t, err, lightning.ErrTTL)
	if got, err := db.Get(key); err != nil || string(got) != "before" {
		t.Errorf("the value is %.20q, %v", got, err)
	}
	if n := files(); n != was {
		t.Errorf("%d files, there were %d", n, was)
	}
	if !testing.Short() {
		_, err = db.PutReader(t.Context(), key, zeros{})
		wantErr(t, err, lightning.ErrValueTooLarge)
	}
	must(t, db.Close())
	_, err = db.PutReader(t.Context(), key, zeros{})
	wantErr(t, err, lightning.ErrClosed)
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A reader that has met damage does not say later that the value has ended.
func TestStreamOfDamagedValue(t *testing.T) {
	fs := memfs.New()
	db := open(t, withPieces(fs))
	key := []byte("key")
	_, err := db.PutReader(t.Context(), key, bytes.NewReader(noise(rand.New(rand.NewPCG(4, 4)), 50_000)))
	must(t, err)
	must(t, db.Close())
	names, err := fs.List("db")
	must(t, err)
	for _, name := range names {
		if f, err := fs.OpenReadWrite("db/" + name); err == nil && strings.HasSuffix(name, ".sst") {
			if size, _ := f.Size(); size > 30_000 {
				_, err = f.WriteAt([]byte("rot"), 30_000)
			}
			must(t, errors.Join(err, f.Close()))
		}
	}
	db = open(t, withPieces(fs))
	r, err := db.GetReader(key)
	must(t, err)
	n, err := io.Copy(io.Discard, r)
	wantErr(t, err, lightning.ErrCorrupted)
	for range 2 {
		if _, err := r.Read(make([]byte, 10)); !errors.Is(err, lightning.ErrCorrupted) {
			t.Errorf("behind %d bytes and damage: %v", n, err)
		}
	}
	end, err := r.Seek(-10, io.SeekEnd)
	if err != nil || end != 50_000-10 || r.Size() != 50_000 {
		t.Errorf("the end is at %d of %d, %v", end, r.Size(), err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 10 {
		t.Errorf("behind the damage there are %d bytes, %v", len(rest), err)
	}
	must(t, r.Close())
}

// What has expired, or was deleted with others, has no reader.
func TestStreamIsGone(t *testing.T) {
	db := open(t, withPieces(memfs.New()))
	put := func(key string, ttl time.Duration) {
		t.Helper()
		_, err := db.PutReaderWithTTL(t.Context(), []byte(key), io.LimitReader(zeros{}, 20_000), ttl)
		must(t, err)
	}
	put("expired", time.Nanosecond)
	put("gone", lightning.Forever)
	put("there", lightning.Forever)
	must(t, db.DeleteRange([]byte("g"), []byte("h")))
	for range 2 {
		for _, key := range []string{"expired", "gone"} {
			if value, found := streamed(t, db.GetReader, key); found {
				t.Errorf("%s is there, with %d bytes", key, len(value))
			}
		}
		if value, _ := streamed(t, db.GetReader, "there"); len(value) != 20_000 {
			t.Errorf("the other one has %d bytes", len(value))
		}
		must(t, db.Flush(t.Context()))
	}
}

// What streamed values leave behind is garbage as that of others.
func TestGarbageOfStreams(t *testing.T) {
	fs := memfs.New()
	db := open(t, withPieces(fs))
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range 200 {
		_, err := db.PutReader(t.Context(), fmt.Appendf(nil, "k%d", i%20), bytes.NewReader(noise(rng, 50_000)))
		must(t, err)
	}
	must(t, db.Compact(t.Context(), nil, nil))
	live := 20 * 50_000
	metrics := db.Metrics()
	files := metrics.Blobs.Files
	for _, level := range metrics.Levels {
		files += level.Files
	}
	must(t, db.Close())
	names, err := fs.List("db")
	must(t, err)
	tables := 0
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			tables++
		}
	}
	if tables != files {
		t.Errorf("%d tables on the disk, the database has %d", tables, files)
	}
	if m := metrics.Blobs; m.LiveBytes != uint64(live) || m.SizeBytes > uint64(live)*14/10 {
		t.Errorf("%+v for %d bytes of values", m, live)
	}
}
