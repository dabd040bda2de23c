package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// verifyBoth verifies an open database, and what a power cut would leave of it now.
func verifyBoth(t *testing.T, db *lightning.DB, disk *memfs.FS) (online, offline lightning.VerifyReport) {
	t.Helper()
	online, err := db.Verify(context.Background(), lightning.VerifyOptions{})
	must(t, err)
	crashed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	offline, err = lightning.Verify(context.Background(), "db", &lightning.Options{FS: crashed}, lightning.VerifyOptions{})
	must(t, err)
	return online, offline
}

// A database that nothing is wrong with has no finding, whatever is going on in it.
func TestVerifyFindsNothing(t *testing.T) {
	for name, archive := range map[string]int64{"archive": 1 << 30, "short archive": 64 << 10, "no archive": 0} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			o := keeping(disk)
			o.LogArchive.SizeBytes = archive
			db := open(t, o)
			ctx, stop := context.WithCancel(context.Background())
			var writers sync.WaitGroup
			writers.Go(func() {
				for ctx.Err() == nil {
					rich(t, db)
				}
			})
			var last lightning.VerifyProgress
			for range 3 {
				last = lightning.VerifyProgress{}
				r, err := db.Verify(context.Background(), lightning.VerifyOptions{Progress: func(p lightning.VerifyProgress) { last = p }})
				must(t, err)
				must(t, r.Err())
				if last.Files != r.Files || last.ReadBytes != r.ReadBytes || last.Files != last.TotalFiles {
					t.Errorf("the last progress was %+v, and the report is %+v", last, r)
				}
			}
			stop()
			writers.Wait()
			must(t, db.SyncLog(context.Background()))
			online, offline := verifyBoth(t, db, disk)
			must(t, errors.Join(online.Err(), offline.Err()))
			if online.Files == 0 || offline.Files == 0 {
				t.Error("nothing was read")
			}
			must(t, db.Close())
			r, err := lightning.Verify(context.Background(), "db", o, lightning.VerifyOptions{})
			must(t, errors.Join(err, r.Err()))
		})
	}
}

// Damage to a file of each kind is found, in the file and about where it is, online and
// offline; and sound files have no finding.
func TestVerifyFindsDamage(t *testing.T) {
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	must(t, db.SyncLog(context.Background()))
	must(t, db.Put([]byte("last"), nil)) // so that what is before it in the log is known to have been durable
	settle(t, db, disk)
	names, err := disk.List("db")
	must(t, err)
	kinds := map[string]int{}
	for _, name := range names {
		kind := filepath.Ext(name)
		if name == "LOCK" || name == "RESERVE" {
			continue
		}
		path := filepath.Join("db", name)
		if _, err := disk.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // a compaction was quicker
		}
		content := readAllOf(t, disk, path)
		for _, place := range []int64{0, 100, int64(len(content)) / 2, int64(len(content)) - 30} {
			if place < 0 || place >= int64(len(content)) {
				continue
			}
			if kind == ".wal" && place > 0 {
				continue // most of it is prepared space, see below
			}
			flip(t, disk, path, place)
			online, offline := verifyBoth(t, db, disk)
			flip(t, disk, path, place)
			for how, r := range map[string]lightning.VerifyReport{"online": online, "offline": offline} {
				if kind == ".wal" && how == "online" {
					continue // the header of a segment in use matters to the next open
				}
				checkFound(t, fmt.Sprintf("%s: %s at %d of %d", how, name, place, len(content)), r, name, place)
			}
			kinds[kind]++
		}
	}
	for _, kind := range []string{".sst", ".archive", ".wal", ".manifest", ""} {
		if kinds[kind] == 0 {
			t.Errorf("no file of kind %q was damaged: %v", kind, kinds)
		}
	}
	// A group in the middle of the log.
	for _, name := range names {
		path := filepath.Join("db", name)
		if filepath.Ext(name) != ".wal" {
			continue
		}
		place := int64(strings.Index(string(readAllOf(t, disk, path)), "late0010"))
		if place < 0 {
			continue
		}
		flip(t, disk, path, place)
		online, offline := verifyBoth(t, db, disk)
		flip(t, disk, path, place)
		checkFound(t, "online: log", online, name, place)
		checkFound(t, "offline: log", offline, name, place)
		kinds["group"]++
	}
	if kinds["group"] != 1 {
		t.Errorf("the group is in %d segments", kinds["group"])
	}
	online, offline := verifyBoth(t, db, disk)
	must(t, errors.Join(online.Err(), offline.Err()))
}

// settle waits until the tables are deleted that are not needed, and returns what a verification
// says then. What a compaction has replaced may be given up by the last reader some time later.
func settle(t *testing.T, db *lightning.DB, disk vfs.FS) lightning.VerifyReport {
	t.Helper()
	for {
		read := map[string]bool{}
		r, err := db.Verify(context.Background(), lightning.VerifyOptions{
			Progress: func(p lightning.VerifyProgress) { read[p.File] = true },
		})
		must(t, errors.Join(err, r.Err()))
		names, err := disk.List("db")
		must(t, err)
		if !slices.ContainsFunc(names, func(name string) bool { return filepath.Ext(name) == ".sst" && !read[name] }) {
			return r
		}
	}
}

// flip changes a byte, and back.
func flip(t testing.TB, disk vfs.FS, path string, at int64) {
	t.Helper()
	f, err := disk.OpenReadWrite(path)
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	must(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], at)
	must(t, errors.Join(err, f.Close()))
}

// checkFound looks whether a report names a file, and a place that is not behind the damage.
func checkFound(t *testing.T, what string, r lightning.VerifyReport, file string, at int64) {
	t.Helper()
	if len(r.Damage) == 0 {
		t.Errorf("%s is not found", what)
		return
	}
	for _, e := range r.Damage {
		if e.File != file {
			t.Errorf("%s is found in another file: %v", what, e)
		}
		if e.Offset > at || e.Length > 0 && e.Offset >= 0 && e.Offset+e.Length+64 < at {
			t.Errorf("%s is found at %d and %d bytes behind it: %v", what, e.Offset, e.Length, e)
		}
	}
	wantErr(t, r.Err(), lightning.ErrCorrupted)
	if len(lightning.Corruptions(r.Err())) != len(r.Damage) {
		t.Errorf("%s: the error has %d of %d findings", what, len(lightning.Corruptions(r.Err())), len(r.Damage))
	}
}

// Tables that are missing, or whose disk cannot read them, are reported with their keys, and the
// others are read all the same. A value that is gone from a blob table is reported too.
func TestVerifyFindsLoss(t *testing.T) {
	disk := memfs.New()
	faulty := faultfs.New(disk)
	db, err := lightning.Open("db", keeping(faulty))
	must(t, err)
	defer db.Close()
	rich(t, db)
	must(t, db.Compact(context.Background(), nil, nil))
	whole := settle(t, db, disk)
	names, err := disk.List("db")
	must(t, err)
	blob := errors.New("bad sector")
	for _, name := range names {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		rule := faulty.Add(faultfs.Rule{Kinds: vfs.OpRead, Name: name, Sticky: true, Err: blob})
		r, err := db.Verify(context.Background(), lightning.VerifyOptions{})
		must(t, err)
		rule.Disarm()
		found := lightning.Corruptions(r.Err())
		if len(found) == 0 || r.Files != whole.Files || !errors.Is(r.Err(), blob) {
			t.Errorf("%s cannot be read: %v", name, r.Err())
		}
		for _, e := range found {
			if e.File != name || e.Lo == nil {
				t.Errorf("%s cannot be read: %+v", name, e)
			}
		}

		path := filepath.Join("db", name)
		must(t, disk.Rename(path, "aside"))
		r, err = db.Verify(context.Background(), lightning.VerifyOptions{})
		must(t, err)
		must(t, disk.Rename("aside", path))
		if found := lightning.Corruptions(r.Err()); len(found) != 1 || found[0].File != name || found[0].Lo == nil || r.Files != whole.Files {
			t.Errorf("%s is missing: %v", name, r.Err())
		}
	}
}

// A verification fills no cache, reads no faster than it may, and ends with its context and
// with the database.
func TestVerifyIsModest(t *testing.T) {
	ctx := context.Background()
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	must(t, db.Compact(ctx, nil, nil))
	settle(t, db, disk)
	before := db.Metrics()
	r, err := db.Verify(ctx, lightning.VerifyOptions{})
	must(t, errors.Join(err, r.Err()))
	after := db.Metrics()
	if before.Cache.Blocks != after.Cache.Blocks || before.Cache.Misses != after.Cache.Misses || before.Files != after.Files {
		t.Errorf("before it %+v %+v, and then %+v %+v", before.Cache, before.Files, after.Cache, after.Files)
	}
	reason := errors.New("enough")
	cancelled, cancel := context.WithCancelCause(ctx)
	r, err = db.Verify(cancelled, lightning.VerifyOptions{
		BytesPerSecond: 1, // it would take days
		Progress: func(p lightning.VerifyProgress) {
			if p.ReadBytes > 0 {
				cancel(reason)
			}
		},
	})
	wantErr(t, err, reason)
	must(t, r.Err())
	var option *lightning.OptionError
	if _, err = db.Verify(ctx, lightning.VerifyOptions{BytesPerSecond: -1}); !errors.As(err, &option) {
		t.Errorf("a negative rate: %v", err)
	}
	_, err = db.Verify(nil, lightning.VerifyOptions{})
	wantErr(t, err, lightning.ErrNilArgument)
	_, err = lightning.Verify(ctx, "db", keeping(disk), lightning.VerifyOptions{})
	wantErr(t, err, lightning.ErrLocked)
	closing := make(chan error)
	once := sync.OnceFunc(func() { go func() { closing <- db.Close() }() })
	_, err = db.Verify(ctx, lightning.VerifyOptions{BytesPerSecond: 1, Progress: func(lightning.VerifyProgress) { once() }})
	wantErr(t, err, lightning.ErrClosed)
	must(t, <-closing)
	_, err = db.Verify(ctx, lightning.VerifyOptions{})
	wantErr(t, err, lightning.ErrClosed)
	_, err = lightning.Verify(ctx, "nowhere", keeping(disk), lightning.VerifyOptions{})
	wantErr(t, err, lightning.ErrNotDatabase)
}
