package lightning_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// keeping are options with which files of all kinds come soon, and the log is kept.
func keeping(fsys vfs.FS) *lightning.Options {
	return &lightning.Options{
		FS: fsys, MemoryBudget: 4 << 20,
		Tree: lightning.TreeOptions{
			MemtableBytes: 64 << 10, FileBytes: 16 << 10, BlockBytes: 512, BlobBytes: 1000,
		},
		LogArchive: lightning.LogArchiveOptions{SizeBytes: 1 << 30},
	}
}

// rich writes a bit of everything: values of all sizes, in two keyspaces, flushed, compacted,
// committed past the log, and in the log alone.
func rich(t testing.TB, db *lightning.DB) {
	t.Helper()
	ctx := context.Background()
	k, err := db.Keyspace(ctx, "second", &lightning.KeyspaceOptions{Merge: lightning.MergeAppend})
	must(t, err)
	for i := range 300 {
		must(t, db.Put(fmt.Appendf(nil, "key%04d", i), bytes.Repeat([]byte{byte(i)}, i*9)))
		must(t, k.Merge(fmt.Appendf(nil, "list%d", i%7), fmt.Appendf(nil, "%d,", i)))
	}
	must(t, db.Flush(ctx))
	loader, err := db.BulkLoader()
	must(t, err)
	for i := range 100 {
		must(t, loader.Put(fmt.Appendf(nil, "load%04d", i), bytes.Repeat([]byte("b"), 2000)))
	}
	must(t, loader.Commit())
	must(t, db.DeleteRange([]byte("key0100"), []byte("key0150")))
	must(t, db.PutWithTTL([]byte("brief"), []byte("gone soon"), time.Nanosecond))
	must(t, db.PutWithTTL([]byte("long"), []byte("stays"), time.Hour))
	_, err = db.Keyspace(ctx, "dropped", nil)
	must(t, err)
	must(t, db.DropKeyspace(ctx, "dropped"))
	must(t, db.Compact(ctx, nil, nil))
	for i := range 20 {
		must(t, db.Put(fmt.Appendf(nil, "late%04d", i), bytes.Repeat([]byte("l"), i*100)))
	}
}

// everything returns all rows of all keyspaces.
func everything(t testing.TB, db *lightning.DB) replica {
	t.Helper()
	all := replica{}
	read := func(name string, scan func(lightning.ScanOptions, func(iter.Seq2[[]byte, []byte]) error) error) {
		must(t, scan(lightning.ScanOptions{}, func(rows iter.Seq2[[]byte, []byte]) error {
			for key, value := range rows {
				all.space(name)[string(key)] = string(value)
			}
			return nil
		}))
	}
	read("", db.Scan)
	for _, name := range db.Keyspaces() {
		k, err := db.Keyspace(context.Background(), name, nil)
		must(t, err)
		read(name, k.Scan)
	}
	return all
}

// openAt opens the database in a directory, which must be there.
func openAt(t testing.TB, dir string, o *lightning.Options) *lightning.DB {
	t.Helper()
	there := *o
	there.MustExist = !o.ReadOnly
	db, err := lightning.Open(dir, &there)
	must(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, lightning.ErrClosed) {
			t.Errorf("close of %s: %v", dir, err)
		}
	})
	return db
}

// tale returns the changes of a database as text, one a line.
func tale(t testing.TB, db *lightning.DB) (lines []string) {
	t.Helper()
	newest := db.Metrics().VisibleSeq
	if newest == 0 {
		return nil
	}
	for batch, err := range db.Changes(context.Background(), 1) {
		must(t, err)
		for c := range batch.All() {
			lines = append(lines, fmt.Sprintf("%d..%d %v %s %q %q %x", batch.First, batch.Last, c.Kind, c.Keyspace, c.Key, c.End, c.Value))
		}
		must(t, batch.Err())
		if batch.Last >= newest {
			break
		}
	}
	return lines
}

// onBothDisks runs a test in memory and on a disk, in a directory of its own.
func onBothDisks(t *testing.T, fn func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Run("memory", func(t *testing.T) { fn(t, memfs.New(), "") })
	t.Run("disk", func(t *testing.T) { fn(t, vfs.OS, t.TempDir()) })
}

// A checkpoint has all rows of all keyspaces, and all of the history, whether that is in the
// log, in its archive or in tables; and it is a database of its own.
func TestCheckpoint(t *testing.T) {
	ctx := context.Background()
	onBothDisks(t, func(t *testing.T, fsys vfs.FS, dir string) {
		o := keeping(fsys)
		source, copied := filepath.Join(dir, "db"), filepath.Join(dir, "backups", "one")
		db, err := lightning.Open(source, o)
		must(t, err)
		defer db.Close()
		rich(t, db)
		want, history := everything(t, db), tale(t, db)
		info, err := db.CheckpointWith(ctx, copied, lightning.CheckpointOptions{})
		must(t, err)
		if info.Seq != db.Metrics().VisibleSeq || info.Files == 0 || info.LinkedBytes == 0 || info.CopiedBytes > 1<<20 {
			t.Errorf("checkpoint says %+v; the newest write is %d", info, db.Metrics().VisibleSeq)
		}
		must(t, db.DeleteRange(nil, nil))
		must(t, db.Compact(ctx, nil, nil))

		second := openAt(t, copied, o)
		if got := everything(t, second); !got.equal(want) {
			t.Errorf("checkpoint holds %d rows, want %d", len(got[""]), len(want[""]))
		}
		if got := tale(t, second); !slices.Equal(got, history) {
			t.Errorf("checkpoint tells %d changes, want %d", len(got), len(history))
		}
		if got := second.Metrics().VisibleSeq; got != info.Seq {
			t.Errorf("newest write of the checkpoint is %d, want %d", got, info.Seq)
		}
		// Neither is disturbed by the other.
		rich(t, db)
		want = everything(t, db)
		must(t, second.DeleteRange([]byte("key"), nil))
		must(t, second.Compact(ctx, nil, nil))
		must(t, second.Close())
		if got := everything(t, db); !got.equal(want) {
			t.Error("the source has changed with the checkpoint")
		}
		must(t, db.Close())
		again := openAt(t, source, o)
		if got := everything(t, again); !got.equal(want) {
			t.Error("the source has changed with the checkpoint, as an open shows")
		}
	})
}

// sums returns a sum over each file of a directory.
func sums(t testing.TB, fsys vfs.FS, dir string) map[string]string {
	t.Helper()
	names, err := fsys.List(dir)
	must(t, err)
	all := map[string]string{}
	for _, name := range names {
		if name != "LOCK" {
			all[name] = string(readAllOf(t, fsys, filepath.Join(dir, name)))
		}
	}
	return all
}

func readAllOf(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if size > 0 {
		if n, err := f.ReadAt(b, 0); n < len(b) {
			t.Fatal(err)
		}
	}
	return b
}

// What is linked is written to by neither database, whatever they do.
func TestCheckpointFilesStayAsTheyAre(t *testing.T) {
	ctx := context.Background()
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	must(t, db.Checkpoint(ctx, "one"))
	must(t, db.Checkpoint(ctx, "two"))
	before := sums(t, disk, "one")
	rich(t, db)
	must(t, db.Compact(ctx, nil, nil))
	must(t, db.Close())
	second := openAt(t, "two", keeping(disk))
	rich(t, second)
	must(t, second.Compact(ctx, nil, nil))
	must(t, second.Close())
	// Without an archive a log is used again and again.
	third := openAt(t, "two", small(disk))
	rich(t, third)
	must(t, third.Close())
	if after := sums(t, disk, "one"); !maps.Equal(before, after) {
		t.Error("a file of a checkpoint has changed that nobody had opened")
	}
}

// Writers go on while checkpoints are taken, as do flushes, compactions, bulk loads and
// drops; each checkpoint holds a beginning of the commits, with all that were acknowledged
// before it was asked for.
func TestCheckpointUnderWriters(t *testing.T) {
	for name, archive := range map[string]int64{"archive": 1 << 30, "short archive": 64 << 10, "no archive": 0} {
		t.Run(name, func(t *testing.T) {
			o := keeping(memfs.New())
			o.LogArchive.SizeBytes = archive
			o.Durability = lightning.DurabilityAsync
			checkpointUnderWriters(t, o)
		})
	}
}

func checkpointUnderWriters(t *testing.T, o *lightning.Options) {
	ctx, stop := context.WithCancel(context.Background())
	db := open(t, o)
	var writers sync.WaitGroup
	var mu sync.Mutex
	rows, checkpoints := 8000, 6
	if testing.Short() {
		rows, checkpoints = 1500, 4
	}
	acknowledged := 0
	writers.Go(func() {
		for i := 1; i <= rows && ctx.Err() == nil; i++ {
			b := db.NewBatch()
			key := fmt.Appendf(nil, "row%06d", i)
			if err := errors.Join(b.Put(key, bytes.Repeat(key, i%300)), b.Put([]byte("first"), fmt.Append(nil, i)),
				b.Put([]byte("second"), fmt.Append(nil, i)), b.Commit()); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			acknowledged = i
			mu.Unlock()
		}
	})
	writers.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			var err error
			switch i % 4 {
			case 0:
				err = db.Flush(context.Background())
			case 1:
				err = db.Compact(context.Background(), nil, nil)
			case 2:
				var k *lightning.Keyspace
				if k, err = db.Keyspace(context.Background(), "passing", nil); err == nil {
					err = errors.Join(k.Put([]byte("k"), []byte("v")), db.DropKeyspace(context.Background(), "passing"))
				}
			case 3:
				err = loadRows(db, 50)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range checkpoints {
		mu.Lock()
		least := acknowledged
		mu.Unlock()
		dir := fmt.Sprint("copy", i)
		must(t, db.Checkpoint(context.Background(), dir))
		checkPrefix(t, dir, o, least)
	}
	stop()
	writers.Wait()
}

func loadRows(db *lightning.DB, n int) error {
	loader, err := db.BulkLoader()
	if err != nil {
		return err
	}
	defer loader.Close()
	for i := range n {
		if err := loader.Put(fmt.Appendf(nil, "load%04d", i), bytes.Repeat([]byte("x"), 1500)); err != nil {
			return err
		}
	}
	return loader.Commit()
}

// checkPrefix looks whether a checkpoint holds the first commits, as many as least or more.
func checkPrefix(t *testing.T, dir string, o *lightning.Options, least int) {
	t.Helper()
	db := openAt(t, dir, o)
	defer db.Close()
	rows := everything(t, db)[""]
	n := 0
	fmt.Sscan(rows["first"], &n)
	if rows["first"] != rows["second"] || n < least {
		t.Fatalf("%s holds %q and %q, and %d commits were acknowledged before", dir, rows["first"], rows["second"], least)
	}
	for i := 1; i <= n; i++ {
		if key := fmt.Sprintf("row%06d", i); rows[key] != strings.Repeat(key, i%300) {
			t.Fatalf("%s lacks row %d of %d", dir, i, n)
		}
	}
	if got := maps.Keys(rows); n > 0 && slices.Max(slices.Collect(got)) != "second" {
		t.Fatalf("%s has a row too many", dir)
	}
	if o.LogArchive.SizeBytes != 1<<30 {
		return
	}
	if told := tale(t, db); n > 0 && !slices.ContainsFunc(told, func(line string) bool { return strings.Contains(line, `"row000001"`) }) {
		t.Fatalf("%s does not tell of the first commit", dir)
	}
}

// What is there already is never touched, and an unfinished checkpoint goes.
func TestCheckpointTarget(t *testing.T) {
	ctx := context.Background()
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	write := func(name string) {
		f, err := disk.Create(name)
		must(t, err)
		must(t, f.Close())
	}
	write("file")
	must(t, disk.MkdirAll("full"))
	write("full/file")
	must(t, disk.MkdirAll("empty"))
	for _, target := range []string{"file", "full", "db"} {
		wantErr(t, db.Checkpoint(ctx, target), lightning.ErrCheckpointExists)
		wantErr(t, db.Checkpoint(ctx, target), fs.ErrExist)
	}
	wantErr(t, db.Checkpoint(ctx, ""), fs.ErrInvalid)
	must(t, db.Checkpoint(ctx, "empty"))
	must(t, openAt(t, "empty", keeping(disk)).Close())

	must(t, disk.MkdirAll("left.partial"))
	write("left.partial/000001.sst")
	write("left.partial/CURRENT.tmp")
	must(t, db.Checkpoint(ctx, "left"))
	must(t, openAt(t, "left", keeping(disk)).Close())
	must(t, disk.MkdirAll("foreign.partial"))
	write("foreign.partial/notes.txt")
	wantErr(t, db.Checkpoint(ctx, "foreign"), lightning.ErrCheckpointExists)
	if names, _ := disk.List("foreign.partial"); !slices.Contains(names, "notes.txt") {
		t.Error("a file of somebody is gone")
	}
	lock, err := disk.Lock("foreign.partial/LOCK")
	must(t, err)
	defer lock.Close()
	wantErr(t, db.Checkpoint(ctx, "foreign"), lightning.ErrLocked)
}

// Where there are no links, files are copied. A file system that makes a link and reports
// a failure all the same must not have the source written over.
func TestCheckpointCopies(t *testing.T) {
	ctx := context.Background()
	for name, rule := range map[string]faultfs.Rule{
		"no links":             {Kinds: vfs.OpLink, Sticky: true, Err: errors.ErrUnsupported},
		"links that are lost":  {Kinds: vfs.OpLink, Sticky: true, Err: errors.New("stale handle"), Done: true},
		"links to other files": {Kinds: vfs.OpLink, Sticky: true, Ignore: true},
	} {
		t.Run(name, func(t *testing.T) {
			disk := faultfs.New(memfs.New())
			db, err := lightning.Open("db", keeping(disk))
			must(t, err)
			defer db.Close()
			rich(t, db)
			before := everything(t, db)
			disk.Add(rule)
			var last lightning.CheckpointProgress
			info, err := db.CheckpointWith(ctx, "copy", lightning.CheckpointOptions{
				Progress: func(p lightning.CheckpointProgress) {
					if p.CopiedBytes < last.CopiedBytes || p.Files < last.Files {
						t.Errorf("progress goes back from %+v to %+v", last, p)
					}
					last = p
				},
			})
			must(t, err)
			if info.LinkedBytes != 0 || info.CopiedBytes == 0 || last.CopiedBytes != info.CopiedBytes {
				t.Errorf("checkpoint says %+v, and the last progress was %+v", info, last)
			}
			second := openAt(t, "copy", keeping(disk))
			for _, d := range []*lightning.DB{db, second} {
				if got := everything(t, d); !got.equal(before) {
					t.Error("rows are missing")
				}
			}
			must(t, db.Compact(ctx, nil, nil)) // reads all past the cache
		})
	}
}

// A checkpoint that ends in the middle, for whatever reason, leaves nothing under its name,
// and the database as it was.
func TestCheckpointEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	reason := errors.New("enough")
	_, err := db.CheckpointWith(ctx, "copy", lightning.CheckpointOptions{
		Progress: func(lightning.CheckpointProgress) { cancel(reason) },
	})
	wantErr(t, err, reason)
	for _, name := range []string{"copy", "copy.partial"} {
		if _, err := disk.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	rich(t, db)
	must(t, db.Checkpoint(context.Background(), "copy"))
	_, err = db.CheckpointWith(nil, "other", lightning.CheckpointOptions{})
	wantErr(t, err, lightning.ErrNilArgument)

	// Close ends a checkpoint, and waits for it.
	began, closed := make(chan struct{}), make(chan error)
	first := sync.OnceFunc(func() { close(began) })
	go func() {
		<-began
		closed <- db.Close()
	}()
	_, err = db.CheckpointWith(context.Background(), "third", lightning.CheckpointOptions{
		Progress: func(lightning.CheckpointProgress) {
			first()
			for { // until it notices
				if _, err := db.Has([]byte("key")); errors.Is(err, lightning.ErrClosed) {
					return
				}
			}
		},
	})
	if err != nil { // or it was quicker
		wantErr(t, err, lightning.ErrClosed)
	}
	must(t, <-closed)
	wantErr(t, db.Checkpoint(context.Background(), "fourth"), lightning.ErrClosed)
}

// A database that was opened for reading, after a crash, has what a checkpoint needs.
func TestCheckpointOfReadOnly(t *testing.T) {
	ctx := context.Background()
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	want, history := everything(t, db), tale(t, db)
	must(t, db.SyncLog(ctx))
	crashed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: 3})
	before := sums(t, crashed, "db")
	o := keeping(crashed)
	o.ReadOnly = true
	reader := openAt(t, "db", o)
	must(t, reader.Checkpoint(ctx, "copy"))
	must(t, reader.Close())
	if after := sums(t, crashed, "db"); !maps.Equal(before, after) {
		t.Error("the database has changed")
	}
	second := openAt(t, "copy", keeping(crashed))
	if got := everything(t, second); !got.equal(want) {
		t.Error("rows are missing")
	}
	if got := tale(t, second); !slices.Equal(got, history) {
		t.Errorf("checkpoint tells %d changes, want %d", len(got), len(history))
	}
}

// Whatever a crash leaves of a checkpoint, the source opens, and so does what has the name
// of the checkpoint, if anything has.
func TestCheckpointCrashes(t *testing.T) {
	ctx := context.Background()
	for name, links := range map[string]bool{"links": true, "copies": false} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			db := open(t, keeping(disk))
			rich(t, db)
			must(t, db.SyncLog(ctx))
			want, history := everything(t, db), tale(t, db)
			n := 0
			disk.SetHook(func(op vfs.Op) error {
				if !vfs.OpMutations.Has(op.Kind) || !strings.Contains(op.Name+op.NewName, "copy") {
					return nil
				}
				n++
				policies := []memfs.Policy{memfs.KeepNone, memfs.KeepAll, memfs.KeepRandom, memfs.KeepRandom}
				if testing.Short() {
					policies = policies[n%3:][:2]
				}
				for i, keep := range policies {
					crashed := disk.Crash(memfs.CrashOptions{Keep: keep, Seed: uint64(n*10 + i), Stale: i == 3})
					checkCrashed(t, crashed, op, want, history, op.Kind == vfs.OpRename || n%7 == 0)
				}
				if op.Kind == vfs.OpLink && !links {
					return errors.ErrUnsupported
				}
				return nil
			})
			must(t, db.Checkpoint(ctx, "copy"))
			disk.SetHook(nil)
			crashed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})
			if _, err := crashed.Stat("copy"); err != nil {
				t.Errorf("a checkpoint that was taken is gone: %v", err)
			}
			checkCrashed(t, crashed, vfs.Op{}, want, history, true)
			if n < 20 {
				t.Errorf("%d places to crash are too few", n)
			}
		})
	}
}

// checkCrashed looks at what a crash has left of a database and of a checkpoint.
func checkCrashed(t *testing.T, disk *memfs.FS, op vfs.Op, want replica, history []string, whole bool) {
	t.Helper()
	dirs := []string{}
	if whole {
		dirs = append(dirs, "db")
	}
	if _, err := disk.Stat("copy"); err == nil {
		dirs = append(dirs, "copy")
	}
	for _, dir := range dirs {
		o := keeping(disk)
		o.MustExist = true
		db, err := lightning.Open(dir, o)
		if err != nil {
			t.Fatalf("crash before %v: open of %s: %v", op, dir, err)
		}
		if got := everything(t, db); !got.equal(want) {
			t.Errorf("crash before %v: %s lacks rows", op, dir)
		}
		if got := tale(t, db); !slices.Equal(got, history) {
			t.Errorf("crash before %v: %s lacks history", op, dir)
		}
		if len(dirs) == 1 { // the next one sweeps
			must(t, db.Checkpoint(context.Background(), "copy"))
		}
		must(t, db.Close())
	}
}

// A checkpoint that is taken while recovered segments go to the archive once lacked one: the
// state of the manifest was noted first, and a janitor who was under way archived what had
// become obsolete since.
func TestCheckpointWhileSegmentsAreArchived(t *testing.T) {
	ctx := context.Background()
	disk := memfs.New()
	db := open(t, keeping(disk))
	rich(t, db)
	must(t, db.SyncLog(ctx))
	want, history := everything(t, db), tale(t, db)
	for i := range 20 {
		crashed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: uint64(i)})
		recovered := openAt(t, "db", keeping(crashed))
		must(t, recovered.Checkpoint(ctx, "copy"))
		must(t, recovered.Close())
		second := openAt(t, "copy", keeping(crashed))
		if got := everything(t, second); !got.equal(want) {
			t.Error("rows are missing")
		}
		if got := tale(t, second); !slices.Equal(got, history) {
			t.Errorf("checkpoint tells %d changes, want %d", len(got), len(history))
		}
		must(t, second.Close())
	}
}
