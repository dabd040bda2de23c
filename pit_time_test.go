package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/backup"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// archiveInBubble archives the log until stop is called, of which it knows the status all the time.
func archiveInBubble(t testing.TB, db *lightning.DB, target backup.Target, lag time.Duration) (now func() backup.ArchiveStatus, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	statuses := make(chan backup.ArchiveStatus, 1000)
	over := make(chan error, 1)
	go func() {
		over <- db.Archive(ctx, target, backup.ArchiveOptions{MaxLag: lag, Progress: func(s backup.ArchiveStatus) { statuses <- s }})
	}()
	var last backup.ArchiveStatus
	now = func() backup.ArchiveStatus {
		synctest.Wait()
		for len(statuses) > 0 {
			last = <-statuses
		}
		return last
	}
	return now, func() {
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("archiving: %v", err)
		}
	}
}

// restoredAt restores the database as it was at a time.
func restoredAt(t testing.TB, target backup.Target, at time.Time) (replica, backup.Restored) {
	t.Helper()
	fsys := memfs.New()
	r, err := backup.Restore(context.Background(), target, "again", backup.RestoreOptions{At: at, FS: fsys})
	if err != nil {
		t.Fatalf("restore of %v: %v", at, err)
	}
	back := openAt(t, "again", keeping(fsys))
	defer back.Close()
	return everything(t, back), r
}

// A restore to a time has what was written before, and nothing of after; also where nothing was written for long, and
// where the time is between a write and the part that it went into. A time that the log does not reach is refused.
func TestRestoreToTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		target := backup.DirOn(memfs.New(), "target")
		db, err := lightning.Open("db", keeping(memfs.New()))
		must(t, err)
		defer db.Close()
		must(t, db.Put([]byte("first"), []byte("row")))
		_, err = db.Backup(ctx, target, backup.Options{})
		must(t, err)
		begun := time.Now()
		status, stop := archiveInBubble(t, db, target, 5*time.Second)
		states := map[time.Time]replica{begun: everything(t, db)}
		for i, do := range smallHistory() {
			time.Sleep(time.Second)
			must(t, do(db))
			time.Sleep(500 * time.Millisecond)
			states[time.Now()] = everything(t, db)
			if s := status(); s.Lag > 5*time.Second || s.Err != nil || s.LagBytes < 0 {
				t.Errorf("step %d: %+v", i, s)
			}
		}
		time.Sleep(10 * time.Second)
		if got := db.Metrics().LogArchive.ArchivedSeq; got != db.Metrics().VisibleSeq {
			t.Errorf("archived is %d in the metrics", got)
		}
		if s := status(); s.ArchivedSeq != db.Metrics().VisibleSeq || s.NewestSeq != s.ArchivedSeq || s.Lag != 0 || s.LagBytes > 200 || s.Parts < 5 {
			t.Errorf("at the end the status is %v", s)
		}
		last := time.Now()
		_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{At: last, FS: memfs.New()})
		wantErr(t, err, backup.ErrNotCovered)
		time.Sleep(2 * time.Minute) // now it is known that there was nothing
		synctest.Wait()
		states[last], states[last.Add(30*time.Second)] = everything(t, db), everything(t, db)
		stop()
		if got := db.Metrics().LogArchive.ArchivedSeq; got != 0 {
			t.Errorf("archived is %d in the metrics, and nobody archives", got)
		}
		for _, at := range slices.SortedFunc(maps.Keys(states), time.Time.Compare) {
			got, r := restoredAt(t, target, at)
			if !got.equal(states[at]) {
				t.Errorf("at %v there is %v, want %v", at, got, states[at])
			}
			if r.Until.After(at) {
				t.Errorf("what was restored for %v is of %v", at, r.Until)
			}
		}
		_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{At: time.Now().Add(time.Hour), FS: memfs.New()})
		wantErr(t, err, backup.ErrNotCovered)
		_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{At: begun.Add(-time.Hour), FS: memfs.New()})
		wantErr(t, err, backup.ErrNotFound)
		_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{At: begun, Seq: 3, FS: memfs.New()})
		wantErr(t, err, backup.ErrOption)
		ranges, err := backup.Logs(ctx, target)
		if err != nil || len(ranges) != 1 || ranges[0].Last != db.Metrics().VisibleSeq || !ranges[0].Until.After(last) {
			t.Errorf("ranges are %+v, %v", ranges, err)
		}
	})
}

// A target that fails for a while, or is full, is asked again; the status says so and how far behind it is, and nothing
// is missing when it is back.
func TestArchiveAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		away := faultfs.New(memfs.New())
		target := backup.DirOn(away, "target")
		db, err := lightning.Open("db", keeping(memfs.New()))
		must(t, err)
		defer db.Close()
		_, err = db.Backup(ctx, target, backup.Options{})
		must(t, err)
		status, stop := archiveInBubble(t, db, target, time.Second)
		must(t, db.Put([]byte("a"), []byte("1")))
		time.Sleep(2 * time.Second)
		if s := status(); s.ArchivedSeq != 1 || s.Err != nil {
			t.Errorf("status is %v", s)
		}
		away.Add(faultfs.Rule{Kinds: vfs.OpMutations, Sticky: true, Err: lightning.ErrNoSpace})
		must(t, db.Put([]byte("b"), bytes.Repeat([]byte("2"), 1000)))
		must(t, loadRows(db, 20))
		time.Sleep(10 * time.Minute)
		s := status()
		if !errors.Is(s.Err, lightning.ErrNoSpace) || s.ArchivedSeq != 1 || s.NewestSeq != 3 || s.Lag < 8*time.Minute || s.LagBytes < 1000 {
			t.Errorf("status is %v", s)
		}
		if text := s.String(); !strings.Contains(text, "the target fails") || !strings.Contains(text, "1 of 3") {
			t.Errorf("status says %q", text)
		}
		away.Reset()
		time.Sleep(2 * time.Minute)
		if s := status(); s.ArchivedSeq != 3 || s.Err != nil {
			t.Errorf("status is %v", s)
		}
		want := everything(t, db)
		stop()
		back := restored(t, target, memfs.New(), "again", "")
		if got := everything(t, back); !got.equal(want) {
			t.Errorf("restored %d rows, want %d", len(got[""]), len(want[""]))
		}
		must(t, back.Close())
	})
}

// Where the log of the database was gone before it was archived there is a hole, which is told, and which no restore passes
// over. Behind it one goes on from the next backup.
func TestArchiveWithHole(t *testing.T) {
	ctx := context.Background()
	target := backup.DirOn(memfs.New(), "target")
	o := keeping(memfs.New())
	o.LogArchive = lightning.LogArchiveOptions{}
	db, err := lightning.Open("db", o)
	must(t, err)
	must(t, db.Put([]byte("a"), []byte("1")))
	_, err = db.Backup(ctx, target, backup.Options{})
	must(t, err)
	stop := archiving(t, db, target)
	must(t, db.Put([]byte("b"), []byte("2")))
	covered := everything(t, db)
	stop()
	must(t, db.Put([]byte("lost"), []byte("3")))
	must(t, db.Close()) // after which the log is gone
	db, err = lightning.Open("db", o)
	must(t, err)
	defer db.Close()
	var holes []backup.Hole
	archiveCtx, cancel := context.WithCancel(ctx)
	must(t, db.Put([]byte("c"), []byte("4")))
	err = db.Archive(archiveCtx, target, backup.ArchiveOptions{MaxLag: time.Millisecond, Progress: func(s backup.ArchiveStatus) {
		if s.Holes > len(holes) {
			holes = append(holes, s.Hole)
		}
		if s.Parts > 0 {
			cancel()
		}
	}})
	wantErr(t, err, context.Canceled)
	if want := []backup.Hole{{First: 3, Last: 3}}; !slices.Equal(holes, want) {
		t.Errorf("holes are %v, want %v", holes, want)
	}
	for _, o := range []backup.RestoreOptions{{}, {Seq: 4}, {Seq: 3}, {At: time.Now()}} {
		o.FS = memfs.New()
		_, err = backup.Restore(ctx, target, "again", o)
		wantErr(t, err, backup.ErrNotCovered)
		if err != nil && !strings.Contains(err.Error(), "3 to 3") {
			t.Errorf("the error does not name the hole: %v", err)
		}
	}
	fsys := memfs.New()
	_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys, Seq: 2})
	must(t, err)
	back := openAt(t, "again", keeping(fsys))
	if got := everything(t, back); !got.equal(covered) {
		t.Errorf("before the hole there is %v", got)
	}
	must(t, back.Close())
	if report, err := backup.Check(ctx, target, backup.CheckOptions{}); err != nil || len(report.LogDamage) > 0 {
		t.Errorf("a hole is no damage: %+v, %v", report, err)
	}
	_, err = db.Backup(ctx, target, backup.Options{})
	must(t, err)
	stop = archiving(t, db, target)
	must(t, db.Put([]byte("d"), []byte("5")))
	want := everything(t, db)
	stop()
	back = restored(t, target, memfs.New(), "again", "")
	must(t, back.Close())
	fsys = memfs.New()
	r, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys})
	must(t, err)
	back = openAt(t, "again", keeping(fsys))
	if got := everything(t, back); !got.equal(want) || r.ToSeq != 5 {
		t.Errorf("behind the hole there is %v", got)
	}
	must(t, back.Close())
	ranges, err := backup.Logs(ctx, target)
	if err != nil || len(ranges) != 2 || ranges[0].First != 2 || ranges[0].Last != 2 || ranges[1].First != 4 || ranges[1].Last != 5 {
		t.Errorf("ranges are %+v, %v", ranges, err)
	}
}

// A database that was restored, and a checkpoint, have histories of their own: what they write does not go into the log
// of the one that they are from. Of a copy that was made by other means it is found out.
func TestArchiveOfCopies(t *testing.T) {
	ctx := context.Background()
	s := newPITSource(t)
	_, target := s.archived(t)
	fsys := memfs.New()
	_, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys, Seq: s.newest - 3})
	must(t, err)
	back := openAt(t, "again", keeping(fsys))
	defer back.Close()
	must(t, back.Put([]byte("other"), []byte("way")))
	wantErr(t, back.Archive(ctx, target, backup.ArchiveOptions{}), backup.ErrNotFound)
	info, err := back.Backup(ctx, target, backup.Options{})
	must(t, err)
	if info.History == "" {
		t.Error("a restored database has the history of the first one")
	}
	stop := archiving(t, back, target)
	for i := range 10 {
		must(t, back.Put(fmt.Appendf(nil, "other%d", i), []byte("way")))
	}
	want := everything(t, back)
	wantErr(t, back.Archive(ctx, target, backup.ArchiveOptions{}), lightning.ErrLocked)
	stop()
	again := restored(t, target, memfs.New(), "third", "")
	must(t, again.Close())
	fsys = memfs.New()
	_, err = backup.Restore(ctx, target, "third", backup.RestoreOptions{FS: fsys})
	must(t, err)
	third := openAt(t, "third", keeping(fsys))
	if got := everything(t, third); !got.equal(want) {
		t.Errorf("the history of the restored one is %v", got)
	}
	must(t, third.Checkpoint(ctx, "fourth"))
	must(t, third.Close())
	fourth := openAt(t, "fourth", keeping(fsys))
	wantErr(t, fourth.Archive(ctx, target, backup.ArchiveOptions{}), backup.ErrNotFound)
	must(t, fourth.Close())

	// The source, put back to a copy of its files from the middle: it is behind, and then another one.
	copied := memfs.New()
	db, err := lightning.Open("db", keeping(copied))
	must(t, err)
	must(t, db.Put([]byte("first"), []byte("row")))
	away := backup.DirOn(memfs.New(), "target")
	_, err = db.Backup(ctx, away, backup.Options{})
	must(t, err)
	must(t, db.Put([]byte("second"), []byte("row")))
	older := copied.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	stop = archiving(t, db, away)
	must(t, db.Put([]byte("third"), []byte("row")))
	stop()
	must(t, db.Close())
	db = openAt(t, "db", keeping(older))
	wantErr(t, db.Archive(ctx, away, backup.ArchiveOptions{}), backup.ErrForked)
	must(t, db.Put([]byte("another"), []byte("third")))
	wantErr(t, db.Archive(ctx, away, backup.ArchiveOptions{}), backup.ErrForked)
	must(t, db.Close())
}

// Deletions take the log that no backup needs any more, and never what a kept one does, also while the log
// grows.
func TestPruneBesideArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		target := backup.DirOn(memfs.New(), "target")
		db, err := lightning.Open("db", keeping(memfs.New()))
		must(t, err)
		defer db.Close()
		var infos []backup.Info
		add := func() {
			info, err := db.Backup(ctx, target, backup.Options{})
			must(t, err)
			infos = append(infos, info)
		}
		add()
		_, stop := archiveInBubble(t, db, target, time.Second)
		states := map[uint64]replica{}
		for i := range 6 {
			for j := range 5 {
				must(t, db.Put(fmt.Appendf(nil, "key%d", j), fmt.Appendf(nil, "%d", i)))
				must(t, loadRows(db, 3+i))
				states[db.Metrics().VisibleSeq] = everything(t, db)
				time.Sleep(12 * time.Minute)
			}
			add()
			d, err := backup.Prune(ctx, target, backup.Keep{Last: 3, Log: 90 * time.Minute}, backup.PruneOptions{})
			must(t, err)
			if i > 2 && d.LogParts == 0 {
				t.Errorf("round %d: no log was deleted: %+v", i, d)
			}
		}
		// What is only in the log stays as well.
		must(t, loadRows(db, 40))
		states[db.Metrics().VisibleSeq] = everything(t, db)
		time.Sleep(time.Minute)
		_, err = backup.Prune(ctx, target, backup.Keep{Last: 3, Log: 90 * time.Minute}, backup.PruneOptions{})
		must(t, err)
		stop()
		kept := infos[len(infos)-3:]
		needed := kept[0].Seq // the newest that is old enough
		for _, info := range kept {
			if !info.Time.After(kept[2].Time.Add(-90 * time.Minute)) {
				needed = info.Seq
			}
		}
		for seq := needed; seq <= db.Metrics().VisibleSeq; seq++ {
			fsys := memfs.New()
			r, err := backup.Restore(ctx, target, "again", backup.RestoreOptions{Seq: seq, FS: fsys})
			must(t, err)
			if states[r.ToSeq] == nil {
				continue
			}
			back := openAt(t, "again", keeping(fsys))
			if got := everything(t, back); !got.equal(states[r.ToSeq]) {
				t.Errorf("%d is not what it was", seq)
			}
			must(t, back.Close())
		}
		for _, name := range objectsOf(t, target, "log/") {
			if path.Base(name) == "seen" {
				continue
			}
			var first, last uint64
			if _, err := fmt.Sscanf(path.Base(name), "%016x-%016x", &first, &last); err != nil || last <= needed {
				t.Errorf("%s is there, and needed is what is behind %d (%v)", name, needed, err)
			}
		}
		// Without a backup the log is of no use.
		var all []string
		for _, info := range kept {
			all = append(all, info.ID)
		}
		d, err := backup.Delete(ctx, target, backup.PruneOptions{}, all...)
		must(t, err)
		if left := objectsOf(t, target, "log/"); len(left) > 0 || d.LogParts == 0 {
			t.Errorf("left is %q", left)
		}
		if left := objectsOf(t, target, "chunks/"); len(left) > 0 {
			t.Errorf("left is %q", left)
		}
	})
}

// Batches of megabytes are in chunks, and what is read in one open without writing is refused until large transactions
// are at their places.
func TestArchiveLargeCommits(t *testing.T) {
	ctx := context.Background()
	target := backup.DirOn(memfs.New(), "target")
	o := &lightning.Options{FS: memfs.New(), LogArchive: lightning.LogArchiveOptions{SizeBytes: 1 << 30}}
	db, err := lightning.Open("db", o)
	must(t, err)
	defer db.Close()
	_, err = db.Backup(ctx, target, backup.Options{})
	must(t, err)
	stop := archiving(t, db, target)
	b := db.NewBatch()
	for i := range 20 {
		must(t, b.Put(fmt.Appendf(nil, "large%d", i), bytes.Repeat([]byte{byte(i)}, 1<<19)))
	}
	must(t, b.Commit())
	must(t, db.Put([]byte("small"), []byte("behind")))
	want := everything(t, db)
	stop()
	fsys := memfs.New()
	_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys, Seq: db.Metrics().VisibleSeq})
	must(t, err)
	readOnly := keeping(fsys)
	readOnly.ReadOnly = true
	back, err := lightning.Open("again", readOnly)
	must(t, err)
	if got := everything(t, back); !got.equal(want) {
		t.Error("rows are missing")
	}
	must(t, back.Close())

	s := newPITSource(t)
	_, target = s.archived(t)
	fsys = memfs.New()
	_, err = backup.Restore(ctx, target, "again", backup.RestoreOptions{FS: fsys})
	must(t, err)
	readOnly.FS = fsys
	_, err = lightning.Open("again", readOnly)
	wantErr(t, err, lightning.ErrReadOnly)
	report, err := lightning.Verify(ctx, "again", readOnly, lightning.VerifyOptions{})
	if err != nil || len(report.Damage) > 0 {
		t.Errorf("verification: %+v, %v", report, err)
	}
	names, err := fsys.List("again")
	must(t, err)
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		left := fsys.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
		must(t, left.Remove("again/"+name))
		writing := keeping(left)
		if _, err := lightning.Open("again", writing); !errors.Is(err, lightning.ErrCorrupted) && !errors.Is(err, fs.ErrNotExist) {
			// A table that only the log archive needs is no part of the database.
			back := openAt(t, "again", writing)
			if got := everything(t, back); !got.equal(s.states[s.newest]) {
				t.Errorf("without %s there is %v", name, got)
			}
			must(t, back.Close())
		}
	}
}
