package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// onDisk are options under which a database soon makes files of every kind.
func onDisk() *lightning.Options {
	return &lightning.Options{
		MemoryBudget: 4 << 20,
		LogArchive:   lightning.LogArchiveOptions{SizeBytes: 1 << 20},
		Tree:         lightning.TreeOptions{MemtableBytes: 64 << 10, FileBytes: 16 << 10, BlockBytes: 512},
	}
}

// makeDatabase makes a database with some rows whose values end in label.
func makeDatabase(t *testing.T, dir, label string) {
	t.Helper()
	db, err := lightning.Open(dir, onDisk())
	must(t, err)
	writeRows(t, db, label)
	must(t, db.Close())
}

func writeRows(t *testing.T, db *lightning.DB, label string) {
	t.Helper()
	for i := range 100 {
		must(t, db.Put(fmt.Appendf(nil, "%s%03d", label, i), fmt.Appendf(nil, "%01000d", i)))
	}
}

// wantRows opens a database and looks that it has the rows of these labels and no
// others.
func wantRows(t *testing.T, dir string, labels ...string) {
	t.Helper()
	opts := onDisk()
	opts.MustExist = true
	db, err := lightning.Open(dir, opts)
	if err != nil {
		t.Errorf("reopen: %v", err)
		return
	}
	defer func() { must(t, db.Close()) }()
	it, err := db.Iterator(lightning.IterOptions{})
	must(t, err)
	defer it.Close()
	counts := map[string]int{}
	for ok := it.First(); ok; ok = it.Next() {
		counts[string(it.Key()[:len(it.Key())-3])]++
	}
	must(t, it.Err())
	for _, label := range labels {
		if counts[label] != 100 {
			t.Errorf("%d rows of %q", counts[label], label)
		}
		delete(counts, label)
	}
	if len(counts) != 0 {
		t.Errorf("rows that are not its own: %v", counts)
	}
}

// A database stays the one that was opened, wherever the working directory goes and
// whatever becomes of the path. File names were looked up anew at each use: after a
// chdir to a place with a database of that name both were damaged, and every call
// had said nil.
func TestDatabaseStaysWhereItWasOpened(t *testing.T) {
	for _, moved := range []string{"chdir", "renamed", "link"} {
		t.Run(moved, func(t *testing.T) {
			here, there := t.TempDir(), t.TempDir()
			makeDatabase(t, filepath.Join(there, "db"), "other")
			t.Chdir(here)
			name, ours := "db", filepath.Join(here, "db")
			if moved == "link" {
				makeDatabase(t, "db", "first")
				if err := os.Symlink("db", "link"); err != nil {
					t.Skip("no symbolic links here:", err)
				}
				name = "link"
			}
			db, err := lightning.Open(name, onDisk())
			must(t, err)
			writeRows(t, db, "before")
			switch moved {
			case "chdir":
				t.Chdir(there)
			case "renamed":
				ours = filepath.Join(here, "renamed")
				must(t, os.Rename("db", ours))
				must(t, os.Rename(filepath.Join(there, "db"), "db"))
				there = here
			case "link":
				must(t, os.Remove("link"))
				must(t, os.Symlink(filepath.Join(there, "db"), "link"))
			}
			writeRows(t, db, "after")
			must(t, db.Flush(context.Background()))
			must(t, db.Compact(context.Background(), nil, nil))
			for batch, err := range db.Changes(timeout(t), 0) {
				must(t, err)
				if batch.Last >= db.Metrics().VisibleSeq {
					break
				}
			}
			must(t, db.Update(func(tx *lightning.Tx) error { // large enough for files of its own
				for i := range 100 {
					if err := tx.Put(fmt.Appendf(nil, "large%03d", i), fmt.Appendf(nil, "%02000d", i)); err != nil {
						return err
					}
				}
				return nil
			}))
			writeRows(t, db, "last")
			must(t, db.Close())
			labels := []string{"before", "after", "large", "last"}
			if moved == "link" {
				labels = append(labels, "first")
			}
			wantRows(t, ours, labels...)
			wantRows(t, filepath.Join(there, "db"), "other")
		})
	}
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

const intruderVariable = "LIGHTNING_TEST_INTRUDER"

// TestIntruder is the other process of the tests below: it opens the database and
// puts a key.
func TestIntruder(t *testing.T) {
	dir := os.Getenv(intruderVariable)
	if dir == "" {
		t.Skip("it is run by other tests")
	}
	db, err := lightning.Open(dir, &lightning.Options{ReadOnly: os.Getenv(intruderVariable+"_READ") != ""})
	if errors.Is(err, lightning.ErrLocked) {
		fmt.Println("is locked")
		return
	}
	must(t, err)
	if os.Getenv(intruderVariable+"_READ") == "" {
		must(t, db.Put([]byte("intruder"), nil))
	}
	must(t, db.Close())
	fmt.Println("came in")
}

// intrude runs the other process and returns what became of it.
func intrude(t *testing.T, dir string, env ...string) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run=^TestIntruder$", "-test.v")
	cmd.Env = append(append(os.Environ(), intruderVariable+"="+dir), env...)
	out, err := cmd.CombinedOutput()
	for _, outcome := range []string{"is locked", "came in"} {
		if strings.Contains(string(out), outcome) {
			return outcome
		}
	}
	t.Fatalf("the other process: %v\n%s", err, out)
	return ""
}

// While a database is open no other process gets in, also when the lock file was
// removed or replaced. It was let in, and what the first one wrote from then on
// destroyed the database.
func TestRemovedLockFileLetsNobodyIn(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		dir := t.TempDir()
		db, err := lightning.Open(dir, onDisk())
		must(t, err)
		writeRows(t, db, "a")
		must(t, os.Remove(filepath.Join(dir, "LOCK")))
		if replaced {
			must(t, os.WriteFile(filepath.Join(dir, "LOCK"), nil, 0o644))
		}
		if runtime.GOOS != "windows" {
			for _, env := range []string{"", intruderVariable + "_READ=1"} {
				if outcome := intrude(t, dir, env); outcome != "is locked" {
					t.Errorf("replaced %v: another process %s", replaced, outcome)
				}
			}
		}
		wantErr(t, db.Flush(context.Background()), lightning.ErrLockLost)
		wantErr(t, db.Put([]byte("b"), nil), lightning.ErrLockLost)
		wantErr(t, db.Metrics().Health.WriteErr, lightning.ErrLockLost)
		if _, err := db.Get([]byte("a000")); err != nil {
			t.Errorf("a read: %v", err)
		}
		wantErr(t, db.Close(), lightning.ErrLockLost)
		if outcome := intrude(t, dir, intruderVariable+"_READ=1"); outcome != "came in" {
			t.Errorf("the database is closed, and another process %s", outcome)
		}
		wantRows(t, dir, "a")
	}
}

// Commits notice within a second that the lock file is gone, and nothing is asked
// of the disk in between. An idle database looks when it is closed.
func TestCommitsNoticeALostLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		db := open(t, small(disk))
		must(t, db.Put([]byte("a"), nil))
		synctest.Wait() // or the worker that prepares the log meets it
		must(t, disk.Remove("db/LOCK"))
		time.Sleep(time.Second)
		synctest.Wait()
		wantErr(t, db.Put([]byte("b"), nil), lightning.ErrLockLost)
		if _, err := db.Get([]byte("b")); !errors.Is(err, lightning.ErrNotFound) {
			t.Errorf("what was refused is there: %v", err)
		}
		wantErr(t, db.SyncLog(context.Background()), lightning.ErrLockLost)
		wantErr(t, db.Close(), lightning.ErrLockLost)

		db = open(t, small(disk))
		synctest.Wait()
		must(t, disk.Remove("db/LOCK"))
		wantErr(t, db.Close(), lightning.ErrLockLost)
	})
}

// What Open cannot use is named, in words and with an error to match.
func TestOpenNamesWhatItCannotUse(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink("nowhere", "dangling"); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	must(t, os.WriteFile("file", nil, 0o644))
	for name, words := range map[string]string{
		"":            "empty",
		"dangling":    "dangling is a symbolic link that leads nowhere",
		"dangling/db": "dangling is a symbolic link that leads nowhere",
		"file":        "file is a file",
	} {
		for _, opts := range []*lightning.Options{nil, {MustExist: true}, {ReadOnly: true}} {
			_, err := lightning.Open(name, opts)
			wantErr(t, err, lightning.ErrNotDatabase)
			if opts == nil && (err == nil || !strings.Contains(err.Error(), words)) {
				t.Errorf("open %q: %v, it should say %q", name, err, words)
			}
		}
	}
	if target, err := os.Readlink("dangling"); target != "nowhere" {
		t.Errorf("the link leads to %q: %v", target, err)
	}
	if _, err := os.Stat("nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the target of the link was made")
	}
}

// openFaulty opens a new, small database whose files can be made to fail.
func openFaulty(t *testing.T) (*lightning.DB, *faultfs.FS) {
	t.Helper()
	files := faultfs.New(memfs.New())
	opts := small(nil)
	opts.FS = files
	return open(t, opts), files
}

// A table that is gone beneath an open database is damage, as Open would say, and
// one that may not be read is not; the metrics have both at once, and what can be
// read again needs no new Open. It was a plain error that nothing else told of.
func TestFileBeneathCannotBeOpened(t *testing.T) {
	for name, injected := range map[string]error{"missing": fs.ErrNotExist, "forbidden": fs.ErrPermission} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			opts := small(disk)
			files := faultfs.New(disk)
			opts.FS = files
			db := open(t, opts)
			fill(t, db, 100)
			must(t, db.Close())
			db = open(t, opts)
			rule := files.Add(faultfs.Rule{Kinds: vfs.OpOpen, Name: "*.sst", Sticky: true, Err: injected})
			for range 2 {
				_, err := db.Get([]byte("key000001"))
				wantErr(t, err, injected)
				h := db.Metrics().Health
				wantErr(t, h.ReadErr, injected)
				if h.UnreadableFiles != 1 {
					t.Errorf("%d files cannot be read", h.UnreadableFiles)
				}
				var damage *lightning.CorruptionError
				switch isDamage := errors.As(err, &damage); {
				case isDamage != (name == "missing"):
					t.Errorf("%v: damage %v", err, isDamage)
				case isDamage && (filepath.Ext(damage.File) != ".sst" || damage.Lo == nil || damage.Hi == nil):
					t.Errorf("it is in %q, in [%q, %q)", damage.File, damage.Lo, damage.Hi)
				}
			}
			must(t, db.Put([]byte("key000002"), nil)) // which needs no table
			rule.Disarm()
			if _, err := db.Get([]byte("key000001")); err != nil {
				t.Errorf("it can be read again: %v", err)
			}
			if h := db.Metrics().Health; h.ReadErr != nil || h.UnreadableFiles != 0 {
				t.Errorf("it can be read again, and %d cannot: %v", h.UnreadableFiles, h.ReadErr)
			}
			must(t, db.Compact(context.Background(), nil, nil))
		})
	}
}

// Permissions that are taken away refuse flushes, and leave nothing refused once
// they are back.
func TestPermissionsComeBackBeneath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, files := openFaulty(t)
		fill(t, db, 100)
		rule := files.Add(faultfs.Rule{
			Kinds:  vfs.OpCreate | vfs.OpOpen | vfs.OpOpenReadWrite | vfs.OpRename | vfs.OpRemove,
			Sticky: true, Err: fs.ErrPermission,
		})
		wantErr(t, db.Flush(t.Context()), fs.ErrPermission)
		must(t, db.Put([]byte("a"), nil))
		rule.Disarm()
		time.Sleep(2 * time.Second) // the workers try again after one
		must(t, db.Flush(t.Context()))
		must(t, db.Put([]byte("b"), nil))
		must(t, db.Close())
	})
}

// A flush that fails, and fails again in Close, is what Close returns.
func TestCloseReportsAFailedFlush(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpCreate, vfs.OpWrite, vfs.OpSyncData, vfs.OpClose} {
		db, files := openFaulty(t)
		fill(t, db, 100)
		failure := errors.New("injected")
		files.Add(faultfs.Rule{Kinds: kind, Name: "*.sst", Sticky: true, Err: failure})
		wantErr(t, db.Flush(context.Background()), failure)
		wantErr(t, db.Close(), failure)
	}
}
