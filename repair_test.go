package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/repair"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// ruin is what a power cut leaves of a database of all kinds of data, and what that has.
type ruin struct {
	disk *memfs.FS
	want replica
}

func newRuin(t *testing.T) ruin {
	t.Helper()
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	must(t, db.Delete([]byte("key0200")))
	must(t, db.DeleteRange([]byte("late0003"), []byte("late0005")))
	must(t, db.SyncLog(context.Background()))
	must(t, db.Put([]byte("last"), []byte("of all"))) // so that what is before it in the log is known to have been durable
	settle(t, db, disk)
	return ruin{disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll}), everything(t, db)}
}

// copied returns a disk of its own with the database.
func (r ruin) copied() *memfs.FS { return r.disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll}) }

// state returns the content and time of each file of a directory.
func state(t *testing.T, disk vfs.FS, dir string) map[string]string {
	t.Helper()
	names, err := disk.List(dir)
	must(t, err)
	all := map[string]string{}
	for _, name := range names {
		info, err := disk.Stat(filepath.Join(dir, name))
		must(t, err)
		all[name] = info.ModTime().Format(time.RFC3339Nano) + string(readAllOf(t, disk, filepath.Join(dir, name)))
	}
	return all
}

// repaired repairs the database on a disk and returns all that the new one has. Nothing of the
// old one may change.
func repaired(t *testing.T, disk vfs.FS) (repair.Report, replica) {
	t.Helper()
	before := state(t, disk, "db")
	report, err := repair.Repair(context.Background(), "db", "new", repair.Options{FS: disk})
	must(t, err)
	if !maps.Equal(state(t, disk, "db"), before) {
		t.Error("the original was changed")
	}
	r, err := lightning.Verify(context.Background(), "new", keeping(disk), lightning.VerifyOptions{})
	must(t, errors.Join(err, r.Err()))
	db := openAt(t, "new", keeping(disk))
	defer db.Close()
	return report, everything(t, db)
}

// names reports whether a report says that a key is lost or uncertain.
func names(r *repair.Report, id uint64, key string) bool {
	if len(r.LostSeqs) > 0 || r.LostLogEnd > 0 {
		return true
	}
	stored := string(append(keyspace.AppendPrefix(nil, id), key...))
	return slices.ContainsFunc(r.Lost, func(l repair.Loss) bool {
		return (l.Lo == nil || stored >= string(l.Lo)) && (l.Hi == nil || stored < string(l.Hi))
	})
}

// checkRepaired compares what was salvaged with what there was: all that the report does not
// name is the same.
func checkRepaired(t *testing.T, how string, r *repair.Report, got, want replica) (named int) {
	t.Helper()
	ids := map[string]uint64{"": 0, "second": 1}
	for space, id := range ids {
		keys := maps.Clone(want[space])
		maps.Copy(keys, got[space])
		for key := range keys {
			value, there := got[space][key]
			was, wasThere := want[space][key]
			if names(r, id, key) {
				named++
			} else if value != was || there != wasThere {
				t.Errorf("%s: %s/%s is there: %v, with %d bytes, was there: %v, with %d bytes, and is not named",
					how, space, key, there, len(value), wasThere, len(was))
			}
		}
	}
	return named
}

// Of a database that nothing is wrong with, all is there in the new one.
func TestRepairSound(t *testing.T) {
	r := newRuin(t)
	report, got := repaired(t, r.disk)
	if !report.Sound() || !got.equal(r.want) {
		t.Errorf("report %+v, %d rows of %d", report, len(got[""]), len(r.want[""]))
	}
	if report.Tables == 0 || report.LogGroups == 0 || report.Records == 0 {
		t.Errorf("report %+v", report)
	}
	if _, err := repair.Repair(context.Background(), "db", "new", repair.Options{FS: r.disk}); !errors.Is(err, lightning.ErrCheckpointExists) {
		t.Errorf("into a directory that is there: %v", err)
	}
}

// A database that is in use, and what is none, is refused.
func TestRepairRefuses(t *testing.T) {
	ctx, disk := context.Background(), memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	_, err := repair.Repair(ctx, "db", "new", repair.Options{FS: disk})
	wantErr(t, err, lightning.ErrLocked)
	must(t, disk.MkdirAll("empty"))
	for _, dir := range []string{"", "absent", "empty"} {
		if _, err := repair.Repair(ctx, dir, "new", repair.Options{FS: disk}); !errors.Is(err, lightning.ErrNotDatabase) {
			t.Errorf("%q: %v", dir, err)
		}
	}
	must(t, db.Close())
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := repair.Repair(stopped, "db", "new", repair.Options{FS: disk}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context has ended: %v", err)
	}
	for _, name := range []string{"new", "new.partial"} {
		if _, err := disk.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
}

// Each file of a database is damaged in turn, in each way: what the report does not name is as it
// was, and damage to one table names a part of the keys only.
func TestRepairDamaged(t *testing.T) {
	r := newRuin(t)
	files, err := r.disk.List("db")
	must(t, err)
	partly := 0
	for _, name := range files {
		if name == "LOCK" || name == "RESERVE" {
			continue
		}
		path := filepath.Join("db", name)
		size := int64(len(readAllOf(t, r.disk, path)))
		ways := map[string]func(disk *memfs.FS){
			"removed":   func(disk *memfs.FS) { must(t, disk.Remove(path)) },
			"cut":       func(disk *memfs.FS) { cut(t, disk, path, size/2) },
			"cut short": func(disk *memfs.FS) { cut(t, disk, path, min(size, 10)) },
		}
		for _, at := range []int64{0, 100, 700, size / 3, size / 2, size - 30} {
			if at >= 0 && at < size {
				ways[fmt.Sprintf("flipped at %d", at)] = func(disk *memfs.FS) { flip(t, disk, path, at) }
			}
		}
		for _, way := range slices.Sorted(maps.Keys(ways)) {
			disk := r.copied()
			ways[way](disk)
			how := name + " " + way
			report, got := repaired(t, disk)
			named := checkRepaired(t, how, &report, got, r.want)
			if filepath.Ext(name) == ".sst" {
				if report.ManifestLost || report.LostLogEnd > 0 {
					t.Errorf("%s: %+v", how, report)
				}
				if named > 0 && named < len(r.want[""])/2 {
					partly++
				}
			}
			if name == "CURRENT" && (report.ManifestLost || !report.CurrentLost || !got.equal(r.want)) {
				t.Errorf("%s: %+v", how, report)
			}
		}
	}
	if partly < 10 {
		t.Errorf("damage to a table named a part of the keys %d times", partly)
	}
}

func cut(t *testing.T, disk vfs.FS, path string, sizeBytes int64) {
	t.Helper()
	f, err := disk.OpenReadWrite(path)
	must(t, err)
	must(t, errors.Join(f.Truncate(sizeBytes), f.Close()))
}

// Without any manifest, all tables and the log are found, and nothing is certain.
func TestRepairWithoutManifest(t *testing.T) {
	r := newRuin(t)
	files, err := r.disk.List("db")
	must(t, err)
	for _, name := range files {
		if name == "CURRENT" || filepath.Ext(name) == ".manifest" {
			must(t, r.disk.Remove(filepath.Join("db", name)))
		}
	}
	report, got := repaired(t, r.disk)
	checkRepaired(t, "no manifest", &report, replica{"": got[""], "second": r.want["second"]}, r.want)
	if !report.ManifestLost || len(report.Recovered) == 0 {
		t.Errorf("report %+v", report)
	}
	if n := len(got[""]); n < len(r.want[""]) {
		t.Errorf("%d rows of %d", n, len(r.want[""]))
	}
}

// A repair that ends at any operation leaves nothing under its name or a whole database, and can be
// done again.
func TestRepairFails(t *testing.T) {
	r := newRuin(t)
	failure := errors.New("the disk is gone")
	for n := int64(1); ; n++ {
		under := r.copied()
		fsys := faultfs.New(under)
		fsys.Add(faultfs.Rule{Kinds: vfs.OpMutations, Nth: n, Sticky: true, Err: failure})
		_, err := repair.Repair(context.Background(), "db", "new", repair.Options{FS: fsys})
		if err != nil {
			wantErr(t, err, failure)
		}
		for _, keep := range []memfs.Policy{memfs.KeepNone, memfs.KeepAll, memfs.KeepRandom} {
			left := under.Crash(memfs.CrashOptions{Keep: keep, Seed: uint64(n)})
			if _, statErr := left.Stat("new"); errors.Is(statErr, fs.ErrNotExist) {
				if err == nil {
					t.Fatal("a database that was repaired is gone")
				}
				_, err := repair.Repair(context.Background(), "db", "new", repair.Options{FS: left})
				must(t, err)
			}
			back := openAt(t, "new", keeping(left))
			if got := everything(t, back); !got.equal(r.want) {
				t.Fatalf("after a failure at operation %d rows are missing", n)
			}
			must(t, back.Close())
		}
		if err == nil {
			if n < 10 {
				t.Errorf("%d operations are too few", n)
			}
			return
		}
		if testing.Short() {
			n += 2
		}
	}
}
