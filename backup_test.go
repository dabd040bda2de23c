package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// restored restores the backup of an ID, or the newest one, and returns its database.
func restored(t testing.TB, target backup.Target, fsys vfs.FS, dir, id string) *lightning.DB {
	t.Helper()
	_, err := backup.Restore(context.Background(), target, dir, backup.RestoreOptions{ID: id, FS: fsys})
	must(t, err)
	return openAt(t, dir, keeping(fsys))
}

// A backup brings all rows and all of the history back, and the database goes on from there;
// nothing of it stays beside the source.
func TestBackup(t *testing.T) {
	ctx := context.Background()
	onBothDisks(t, func(t *testing.T, fsys vfs.FS, dir string) {
		source, copied := filepath.Join(dir, "db"), filepath.Join(dir, "again")
		target := backup.DirOn(fsys, filepath.Join(dir, "target"))
		db, err := lightning.Open(source, keeping(fsys))
		must(t, err)
		defer db.Close()
		rich(t, db)
		want, history := everything(t, db), tale(t, db)
		var last backup.Progress
		info, err := db.Backup(ctx, target, backup.Options{Progress: func(p backup.Progress) {
			if p.DoneBytes < last.DoneBytes || p.Files < last.Files {
				t.Errorf("progress goes back from %+v to %+v", last, p)
			}
			last = p
		}})
		must(t, err)
		if info.Seq != db.Metrics().VisibleSeq || info.NewBytes == 0 || info.NewBytes > info.SizeBytes || info.StoredBytes == 0 {
			t.Errorf("backup says %+v", info)
		}
		if last.DoneBytes != info.SizeBytes || last.Files != info.Files || last.MovedBytes != info.StoredBytes {
			t.Errorf("the last progress was %+v, of %+v", last, info)
		}
		if _, err := fsys.Stat(source + ".backup"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something is left beside the database: %v", err)
		}
		must(t, db.DeleteRange(nil, nil))
		must(t, db.Compact(ctx, nil, nil))

		got, err := backup.Restore(ctx, target, copied, backup.RestoreOptions{FS: fsys})
		must(t, err)
		if got.ID != info.ID || got.Files != info.Files {
			t.Errorf("restored %+v, want %+v", got, info)
		}
		_, err = backup.Restore(ctx, target, copied, backup.RestoreOptions{FS: fsys})
		wantErr(t, err, lightning.ErrCheckpointExists)
		second := openAt(t, copied, keeping(fsys))
		if got := everything(t, second); !got.equal(want) {
			t.Errorf("restored %d rows, want %d", len(got[""]), len(want[""]))
		}
		if got := tale(t, second); !slices.Equal(got, history) {
			t.Errorf("restored %d changes, want %d", len(got), len(history))
		}
		rich(t, second)
		_, err = second.Backup(ctx, target, backup.Options{})
		must(t, err)
		must(t, second.Close())
	})
}

// Fifty backups of a database that changes and is compacted in between: each brings its own
// state back, also when others are gone, and costs what has changed.
func TestBackupsOneAfterAnother(t *testing.T) {
	ctx := context.Background()
	disk, away := memfs.New(), memfs.New()
	target := backup.DirOn(away, "target")
	db := open(t, keeping(disk))
	rich(t, db)
	rounds := 50
	if testing.Short() {
		rounds = 12
	}
	rng := rand.New(rand.NewPCG(1, 2))
	states := map[string]replica{}
	var order []string
	for i := range rounds {
		for range rng.IntN(40) {
			must(t, db.Put(fmt.Appendf(nil, "key%04d", rng.IntN(400)), fmt.Appendf(nil, "%d of %d", rng.Uint64(), i)))
		}
		switch rng.IntN(5) {
		case 0:
			must(t, db.Compact(ctx, nil, nil))
		case 1:
			must(t, db.Flush(ctx))
		case 2:
			must(t, loadRows(db, 30))
		case 3:
			must(t, db.DeleteRange(fmt.Appendf(nil, "key%04d", rng.IntN(400)), []byte("key0400")))
		}
		info, err := db.Backup(ctx, target, backup.Options{})
		must(t, err)
		states[info.ID] = everything(t, db)
		order = append(order, info.ID)
	}
	again, err := db.Backup(ctx, target, backup.Options{})
	must(t, err)
	if again.NewBytes > again.SizeBytes/4 {
		t.Errorf("a backup of what is there already has stored %d new bytes of %d", again.NewBytes, again.SizeBytes)
	}
	infos, err := backup.List(ctx, target)
	must(t, err)
	if len(infos) != rounds+1 {
		t.Fatalf("%d backups are listed, want %d", len(infos), rounds+1)
	}
	check := func(ids []string) {
		t.Helper()
		for i, id := range ids {
			dir := fmt.Sprint("again", i)
			fsys := memfs.New()
			back := restored(t, target, fsys, dir, id)
			if got := everything(t, back); !got.equal(states[id]) {
				t.Errorf("%s has %d rows, want %d", id, len(got[""]), len(states[id][""]))
			}
			must(t, back.Close())
		}
	}
	check(order)
	d, err := backup.Delete(ctx, target, backup.PruneOptions{}, order[:rounds/2]...)
	must(t, err)
	if len(d.Backups) != rounds/2 || d.Chunks == 0 || d.Bytes == 0 {
		t.Errorf("deleted %d backups, %d chunks, %d bytes", len(d.Backups), d.Chunks, d.Bytes)
	}
	check(order[rounds/2:])
	d, err = backup.Prune(ctx, target, backup.Keep{Last: 1}, backup.PruneOptions{})
	must(t, err)
	if len(d.Kept) != 1 || d.Kept[0].ID != again.ID {
		t.Errorf("kept %+v, want %s", d.Kept, again.ID)
	}
	states[again.ID] = everything(t, db)
	check([]string{again.ID})
	report, err := backup.Check(ctx, target, backup.CheckOptions{})
	must(t, err)
	if len(report.Backups) != 1 || len(report.Damage) != 0 {
		t.Errorf("check says %+v", report)
	}
	// Nothing is left that no backup needs.
	if used := objectsOf(t, target, "chunks/"); len(used) != report.Chunks {
		t.Errorf("%d chunks are there, %d are needed", len(used), report.Chunks)
	}
}

func objectsOf(t testing.TB, target backup.Target, prefix string) (names []string) {
	t.Helper()
	for o, err := range target.List(context.Background(), prefix) {
		must(t, err)
		names = append(names, o.Name)
	}
	return names
}

// What is stored again costs nothing, and tables that have not changed are not read.
func TestBackupReadsWhatHasChanged(t *testing.T) {
	ctx := context.Background()
	disk := faultfs.New(memfs.New())
	target := backup.DirOn(memfs.New(), "target")
	db, err := lightning.Open("db", keeping(disk))
	must(t, err)
	defer db.Close()
	rich(t, db)
	must(t, db.Compact(ctx, nil, nil))
	_, err = db.Backup(ctx, target, backup.Options{})
	must(t, err)
	must(t, db.Put([]byte("one"), []byte("more")))
	reads := disk.Add(faultfs.Rule{Kinds: vfs.OpRead, Name: "*.sst", Before: func(vfs.Op) {}})
	info, err := db.Backup(ctx, target, backup.Options{})
	must(t, err)
	if n := reads.Seen(); n > 0 {
		t.Errorf("tables that the last backup has were read %d times", n)
	}
	if info.NewBytes > 1<<20 {
		t.Errorf("one row more has cost %d bytes", info.NewBytes)
	}
}

// Each object of a target, damaged or gone: the restore is refused, and leaves nothing. A check
// tells the same, and after --discard the next backup is whole.
func TestBackupDamage(t *testing.T) {
	ctx := context.Background()
	away := memfs.New()
	target := backup.DirOn(away, "target")
	db := open(t, keeping(memfs.New()))
	rich(t, db)
	info, err := db.Backup(ctx, target, backup.Options{})
	must(t, err)
	change := func(name string, with func(b []byte) []byte) (undo func()) {
		path := filepath.Join("target", filepath.FromSlash(name))
		before := readAllOf(t, away, path)
		must(t, target.Put(ctx, name, with(slices.Clone(before))))
		return func() { must(t, target.Put(ctx, name, before)) }
	}
	changes := map[string]func(b []byte) []byte{
		"a flipped bit":    func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"the first bit":    func(b []byte) []byte { b[0] ^= 1; return b },
		"the last bit":     func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"a torn end":       func(b []byte) []byte { return b[:len(b)*2/3] },
		"nothing":          func(b []byte) []byte { return nil },
		"something longer": func(b []byte) []byte { return append(b, 7) },
	}
	names := objectsOf(t, target, "")
	if len(names) < 5 {
		t.Fatalf("%d objects are too few", len(names))
	}
	for _, name := range names {
		for what, with := range changes {
			undo := change(name, with)
			fsys := memfs.New()
			_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys})
			if err == nil {
				t.Fatalf("%s with %s was restored", name, what)
			}
			if name != "FORMAT" && !errors.Is(err, lightning.ErrCorrupted) {
				t.Errorf("%s with %s: %v", name, what, err)
			}
			if left, _ := fsys.List("."); len(left) != 0 {
				t.Errorf("%s with %s: %q is left", name, what, left)
			}
			if report, err := backup.Check(ctx, target, backup.CheckOptions{}); name != "FORMAT" && (err != nil || report.Damage[info.ID] == nil) {
				t.Errorf("%s with %s: check says %+v, %v", name, what, report, err)
			}
			undo()
		}
	}
	for _, name := range objectsOf(t, target, "chunks/") {
		undo := change(name, func(b []byte) []byte { return b })
		must(t, target.Delete(ctx, name))
		fsys := faultfs.New(memfs.New())
		_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys})
		wantErr(t, err, lightning.ErrCorrupted)
		if n := fsys.Count(vfs.OpMutations); n > 0 {
			t.Errorf("without %s there were %d writes before it was refused", name, n)
		}
		undo()
	}
	chunks := objectsOf(t, target, "chunks/")
	other := readAllOf(t, away, filepath.Join("target", filepath.FromSlash(chunks[1])))
	undo := change(chunks[0], func([]byte) []byte { return other })
	_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: memfs.New()})
	wantErr(t, err, lightning.ErrCorrupted)
	undo()
	damaged := chunks[0]
	change(damaged, changes["a flipped bit"])
	report, err := backup.Check(ctx, target, backup.CheckOptions{Discard: true})
	must(t, err)
	if len(report.Damage) != 1 {
		t.Errorf("check says %+v", report)
	}
	_, err = db.Backup(ctx, target, backup.Options{})
	must(t, err)
	back := restored(t, target, memfs.New(), "again", "")
	if got := everything(t, back); !got.equal(everything(t, db)) {
		t.Error("rows are missing")
	}
}

// A backup that ends at any operation, because the target fails, is full or the machine goes
// down, is none; what was there before stays whole, and the next one succeeds.
func TestBackupFails(t *testing.T) {
	ctx := context.Background()
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	first := memfs.New()
	_, err := db.Backup(ctx, backup.DirOn(first, "target"), backup.Options{})
	must(t, err)
	before := everything(t, db)
	rich(t, db)
	must(t, db.Put([]byte("new"), []byte("row")))
	after := everything(t, db)
	errs := map[string]error{"fails": errors.New("the network is down"), "is full": lightning.ErrNoSpace}
	for n := int64(1); ; n++ {
		done := false
		for what, failure := range errs {
			under := first.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
			away := faultfs.New(under)
			away.Add(faultfs.Rule{Kinds: vfs.OpMutations, Nth: n, Sticky: true, Err: failure})
			_, err := db.Backup(ctx, backup.DirOn(away, "target"), backup.Options{})
			if err == nil {
				done = true
			} else {
				wantErr(t, err, failure)
			}
			// The power fails as well.
			left := under.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
			target := backup.DirOn(left, "target")
			infos, listErr := backup.List(ctx, target)
			must(t, listErr)
			for i, info := range infos {
				back := restored(t, target, memfs.New(), "again", info.ID)
				if got := everything(t, back); !got.equal([]replica{before, after}[i]) {
					t.Fatalf("after a target that %s at operation %d, backup %d of %d is wrong", what, n, i, len(infos))
				}
				must(t, back.Close())
			}
			if err == nil && len(infos) != 2 {
				t.Fatalf("a backup that was made at operation %d is gone", n)
			}
			// A lease may be left, which minds no backup.
			_, err = db.Backup(ctx, target, backup.Options{})
			must(t, err)
			back := restored(t, target, memfs.New(), "again", "")
			if got := everything(t, back); !got.equal(after) {
				t.Fatalf("the backup after one that failed at operation %d is wrong", n)
			}
			must(t, back.Close())
		}
		if done {
			if n < 15 {
				t.Errorf("%d operations are too few", n)
			}
			return
		}
		if testing.Short() {
			n += 4
		}
	}
}

// A restore that ends at any operation leaves nothing under its name or a whole database, and
// can be done again.
func TestRestoreFails(t *testing.T) {
	ctx := context.Background()
	db := open(t, keeping(memfs.New()))
	rich(t, db)
	want := everything(t, db)
	target := backup.DirOn(memfs.New(), "target")
	_, err := db.Backup(ctx, target, backup.Options{})
	must(t, err)
	failure := errors.New("the disk is gone")
	for n := int64(1); ; n++ {
		under := memfs.New()
		fsys := faultfs.New(under)
		fsys.Add(faultfs.Rule{Kinds: vfs.OpMutations, Nth: n, Sticky: true, Err: failure})
		_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys})
		if err != nil {
			wantErr(t, err, failure)
		}
		for _, keep := range []memfs.Policy{memfs.KeepNone, memfs.KeepAll, memfs.KeepRandom} {
			left := under.Crash(memfs.CrashOptions{Keep: keep, Seed: uint64(n)})
			if _, statErr := left.Stat("again"); errors.Is(statErr, fs.ErrNotExist) {
				if err == nil {
					t.Fatal("a database that was restored is gone")
				}
				_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: left})
				must(t, err)
			}
			back := openAt(t, "again", keeping(left))
			if got := everything(t, back); !got.equal(want) {
				t.Fatalf("after a failure at operation %d rows are missing", n)
			}
			must(t, back.Close())
		}
		if err == nil {
			if n < 15 {
				t.Errorf("%d operations are too few", n)
			}
			return
		}
		if testing.Short() {
			n += 2
		}
	}
}

// A backup ends with its context, and what it has stored by then is not stored again.
func TestBackupEnds(t *testing.T) {
	disk := memfs.New()
	target := backup.DirOn(memfs.New(), "target")
	db := open(t, keeping(disk))
	rich(t, db)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	_, err := db.Backup(ctx, target, backup.Options{Parallel: 1, Progress: func(p backup.Progress) {
		if p.DoneBytes > p.TotalBytes/2 {
			cancel(enough)
		}
	}})
	wantErr(t, err, enough)
	if infos, err := backup.List(context.Background(), target); err != nil || len(infos) != 0 {
		t.Errorf("listed %+v, %v", infos, err)
	}
	if left, _ := disk.List("."); slices.ContainsFunc(left, func(name string) bool { return strings.Contains(name, ".backup") }) {
		t.Errorf("left are %q", left)
	}
	info, err := db.Backup(context.Background(), target, backup.Options{})
	must(t, err)
	if info.NewBytes == info.SizeBytes {
		t.Errorf("all was stored again: %+v", info)
	}
	_, err = db.Backup(nil, target, backup.Options{})
	wantErr(t, err, lightning.ErrNilArgument)
	_, err = db.Backup(context.Background(), target, backup.Options{Parallel: -1})
	wantErr(t, err, backup.ErrOption)
	_, err = db.Backup(context.Background(), nil, backup.Options{})
	wantErr(t, err, backup.ErrOption)
	must(t, db.Close())
	_, err = db.Backup(context.Background(), target, backup.Options{})
	wantErr(t, err, lightning.ErrClosed)
}

// One backup of a database is made at a time, and what a kill has left beside it goes with
// the next one; a target of something else is left alone.
func TestBackupBeside(t *testing.T) {
	ctx := context.Background()
	disk := memfs.New()
	target := backup.DirOn(memfs.New(), "target")
	db := open(t, keeping(disk))
	rich(t, db)
	must(t, disk.MkdirAll("db.backup"))
	must(t, db.Checkpoint(ctx, "db.backup/checkpoint"))
	_, err := db.Backup(ctx, target, backup.Options{})
	must(t, err)
	must(t, disk.MkdirAll("db.backup"))
	lock, err := disk.Lock("db.backup/LOCK")
	must(t, err)
	_, err = db.Backup(ctx, target, backup.Options{})
	wantErr(t, err, lightning.ErrLocked)
	must(t, lock.Close())
	other := memfs.New()
	must(t, other.MkdirAll("photos"))
	f, err := other.Create("photos/cat.jpg")
	must(t, err)
	must(t, f.Close())
	_, err = db.Backup(ctx, backup.DirOn(other, "photos"), backup.Options{})
	wantErr(t, err, backup.ErrNotBackups)
	_, err = backup.List(ctx, backup.DirOn(other, "nothing"))
	wantErr(t, err, backup.ErrNotBackups)
}

// A target has the backups of several databases: which one is meant must be said.
func TestBackupsOfSeveralDatabases(t *testing.T) {
	ctx := context.Background()
	target := backup.DirOn(memfs.New(), "target")
	states := map[string]replica{}
	for i := range 2 {
		db := open(t, keeping(memfs.New()))
		must(t, db.Put([]byte("which"), fmt.Append(nil, i)))
		info, err := db.Backup(ctx, target, backup.Options{})
		must(t, err)
		states[info.Database] = everything(t, db)
	}
	_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: memfs.New()})
	wantErr(t, err, backup.ErrOption)
	for database, want := range maps.All(states) {
		fsys := memfs.New()
		_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys, Database: database})
		must(t, err)
		if got := everything(t, openAt(t, "again", keeping(fsys))); !got.equal(want) {
			t.Errorf("restored %v, want %v", got, want)
		}
	}
}

// A database and a copy that was restored from its backup go different ways, with tables of the same
// names and sizes, and share a target.
func TestBackupOfACopy(t *testing.T) {
	ctx := context.Background()
	target := backup.DirOn(memfs.New(), "target")
	source := open(t, keeping(memfs.New()))
	rich(t, source)
	_, err := source.Backup(ctx, target, backup.Options{})
	must(t, err)
	// Both from the backup, so that they number their files alike.
	db, second := restored(t, target, memfs.New(), "first", ""), restored(t, target, memfs.New(), "second", "")
	ids, states := []string{}, []replica{}
	for i, d := range []*lightning.DB{db, second} {
		must(t, d.Put([]byte("way"), fmt.Append(nil, i)))
		must(t, d.Flush(ctx))
	}
	for range 2 { // of the copy, what is known is the other one's
		for _, d := range []*lightning.DB{db, second} {
			info, err := d.Backup(ctx, target, backup.Options{})
			must(t, err)
			ids, states = append(ids, info.ID), append(states, everything(t, d))
		}
	}
	for i, id := range ids {
		back := restored(t, target, memfs.New(), fmt.Sprint("back", i), id)
		if got := everything(t, back); !got.equal(states[i]) {
			t.Errorf("backup %d has %q, want %q", i, got[""]["way"], states[i][""]["way"])
		}
	}
}

// A directory that cannot be read as a database is an error that says why, and is let go of.
func TestStoreOfWhatIsNone(t *testing.T) {
	fs := memfs.New()
	target := backup.DirOn(fs, "target")
	store := func() error {
		_, err := backup.Store(t.Context(), "db", target, backup.Options{FS: fs})
		return err
	}
	must(t, fs.MkdirAll("db"))
	if err := store(); err == nil {
		t.Error("an empty directory was stored")
	}
	must(t, fs.Remove("db"))
	db, err := lightning.Open("db", small(fs))
	must(t, err)
	wantErr(t, store(), lightning.ErrLocked)
	must(t, db.Close())
	must(t, store())
	names, err := fs.List("db")
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".manifest") {
			f, err := fs.Create(filepath.Join("db", name))
			must(t, err)
			must(t, f.Close())
		}
	}
	if err := store(); err == nil {
		t.Error("a database without a manifest was stored")
	}
}
