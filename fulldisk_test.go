package lightning_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// fullDisk is a database that has filled its disk with writes of its own.
type fullDisk struct {
	t      *testing.T
	disk   *memfs.FS
	fs     *faultfs.FS // over disk
	db     *lightning.DB
	counts *lightning.Keyspace // with counters in it
	rows   int                 // rows 0 to rows-1 were acknowledged
	gone   int                 // of them the first ones were deleted
}

const (
	fullDiskBytes = 4 << 20
	rowBytes      = 1000
)

// rowKey spreads the keys, so that no table is like another one.
func rowKey(i int) []byte { return fmt.Appendf(nil, "%06d", i*7919%1_000_000) }

// rowValue does not compress.
func rowValue(i int) []byte {
	var seed [32]byte
	seed[0], seed[1] = byte(i), byte(i>>8)
	value := make([]byte, rowBytes)
	_, _ = rand.NewChaCha8(seed).Read(value) // never fails
	return value
}

// onFullDisk runs a test in a bubble. Settings may be nil.
func onFullDisk(t *testing.T, test func(f *fullDisk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fullDisk{t: t, disk: memfs.New()}
		f.fs = faultfs.New(f.disk)
		f.disk.SetCapacity(fullDiskBytes)
		f.open()
		var err error
		f.counts, err = f.db.Keyspace(context.Background(), "counts", &lightning.KeyspaceOptions{Merge: lightning.MergeAddInt64})
		must(t, err)
		f.fill()
		test(f)
	})
}

func (f *fullDisk) open() {
	o := small(f.disk)
	o.FS, o.Durability = f.fs, lightning.DurabilityBuffered
	o.Debug.NoHotCache = true
	f.db = open(f.t, o)
}

// fill puts rows until they are refused for good.
func (f *fullDisk) fill() {
	for refused := 0; refused < 5; {
		err := f.db.Put(rowKey(f.rows), rowValue(f.rows))
		if errors.Is(err, lightning.ErrNoSpace) {
			refused++
			f.wait()
			continue
		}
		must(f.t, err)
		f.rows, refused = f.rows+1, 0
	}
	f.wantFull(true)
}

// wait gives the workers time to do what they can.
func (f *fullDisk) wait() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

// wantFull looks whether the database says that the disk is full.
func (f *fullDisk) wantFull(want bool) {
	f.t.Helper()
	health := f.db.Metrics().Health
	if errors.Is(health.ReserveErr, lightning.ErrNoSpace) != want || (health.ReserveBytes == 0) != want {
		f.t.Errorf("full: %v wanted; %d bytes are held, %v", want, health.ReserveBytes, health.ReserveErr)
	}
	if health.WriteErr != nil {
		f.t.Errorf("all writes are refused: %v", health.WriteErr)
	}
}

// deleteRows deletes the next rows one by one. A delete may have to be tried again,
// while a compaction has all the space (docs/limits.md).
func (f *fullDisk) deleteRows(count int) {
	f.t.Helper()
	for range count {
		err := f.db.Delete(rowKey(f.gone))
		for tries := 0; errors.Is(err, lightning.ErrNoSpace) && tries < 3; tries++ {
			f.wait()
			err = f.db.Delete(rowKey(f.gone))
		}
		if err != nil {
			f.t.Fatalf("delete of row %d: %v", f.gone, err)
		}
		f.gone++
	}
}

// check reads all rows.
func (f *fullDisk) check() {
	f.t.Helper()
	for i := range f.rows {
		value, err := f.db.Get(rowKey(i))
		if i < f.gone {
			if !errors.Is(err, lightning.ErrNotFound) {
				f.t.Fatalf("row %d of %d is deleted: %v", i, f.gone, err)
			}
		} else if err != nil || string(value) != string(rowValue(i)) {
			f.t.Fatalf("row %d of %d is lost or another: %v", i, f.rows, err)
		}
	}
}

// wantPuts waits until puts go on, by themselves.
func (f *fullDisk) wantPuts() {
	f.t.Helper()
	for range 10 {
		f.wait()
		if err := f.db.Put([]byte("new"), rowValue(0)); err == nil {
			f.wantFull(false)
			return
		} else if !errors.Is(err, lightning.ErrNoSpace) {
			f.t.Fatal(err)
		}
	}
	f.t.Fatalf("puts do not go on: %+v", f.db.Metrics().Health)
}

// TestFullDiskRefusesWhatAdds tries each call that adds data. All of it was once
// refused by accident only: where the log could grow no more.
func TestFullDiskRefusesWhatAdds(t *testing.T) {
	onFullDisk(t, func(f *fullDisk) {
		value := rowValue(0)
		for name, write := range map[string]func() error{
			"put":      func() error { return f.db.Put([]byte("k"), nil) },
			"expiring": func() error { return f.db.PutWithTTL([]byte("k"), nil, time.Hour) },
			"merge":    func() error { return f.counts.Merge([]byte("k"), make([]byte, 8)) },
			"keyspace": func() error { _, err := f.db.Keyspace(context.Background(), "another", nil); return err },
			"options": func() error {
				return f.db.SetKeyspaceOptions(context.Background(), "counts", lightning.KeyspaceOptions{
					Merge: lightning.MergeAddInt64, Compression: lightning.CompressionSmall,
				})

			},
			"mixed batch": func() error {
				b := f.db.NewBatch()
				return errors.Join(b.Delete(rowKey(0)), b.Put([]byte("k"), nil), b.Commit())
			},
			"transaction": func() error {
				return f.db.Update(func(tx *lightning.Tx) error { return tx.Put([]byte("k"), nil) })
			},
			"large transaction": func() error {
				return f.db.Update(func(tx *lightning.Tx) error {
					for i := range 200 {
						if err := tx.Put(fmt.Appendf(nil, "k%d", i), value); err != nil {
							return err
						}
					}
					return nil
				})
			},
		} {
			if err := write(); !errors.Is(err, lightning.ErrNoSpace) {
				t.Errorf("%s: %v", name, err)
			}
		}
		f.wantFull(true)
		f.check()
	})
}

// TestFullDiskAcceptsWhatFrees tries each call that makes data less, or moves it. The
// database stays usable, shows what it should, and puts go on once there is space.
func TestFullDiskAcceptsWhatFrees(t *testing.T) {
	for name, write := range map[string]func(f *fullDisk) error{
		"delete range": func(f *fullDisk) error { return f.db.DeleteRange(nil, nil) },
		"batch": func(f *fullDisk) error {
			b := f.db.NewBatch()
			for i := range f.rows {
				if err := b.Delete(rowKey(i)); err != nil {
					return err
				}
			}
			return b.Commit()
		},
		"transaction": func(f *fullDisk) error {
			return f.db.Update(func(tx *lightning.Tx) error { return tx.DeleteRange(nil, nil) })
		},
		"deletes": func(f *fullDisk) error {
			for i := range f.rows {
				if err := f.db.Delete(rowKey(i)); err != nil {
					return err
				}
			}
			return nil
		},
		"deletes by many": func(f *fullDisk) error {
			errs := make(chan error, f.rows)
			for i := range f.rows {
				go func() { errs <- f.db.Delete(rowKey(i)) }()
				go func() { _ = f.db.Put([]byte("refused"), nil) }()
			}
			var err error
			for range f.rows {
				err = errors.Join(err, <-errs)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			onFullDisk(t, func(f *fullDisk) {
				must(t, f.db.DropKeyspace(context.Background(), "counts"))
				must(t, f.db.Flush(context.Background()))
				must(t, write(f))
				f.gone = f.rows
				f.wantPuts()
				must(t, f.db.Compact(context.Background(), nil, nil))
				f.check()
				if used := f.disk.UsedBytes(); used > fullDiskBytes/2 {
					t.Errorf("%d bytes are used for nothing", used)
				}
				must(t, f.db.Close())
				f.open()
				f.check()
			})
		})
	}
}

// TestFullDiskSweeps deletes a part of what is spread over all tables. To merge them
// would take more space than there is, so that nothing came back.
func TestFullDiskSweeps(t *testing.T) {
	onFullDisk(t, func(f *fullDisk) {
		f.deleteRows(f.rows / 2)
		f.wantPuts()
		f.check()
	})
}

// TestFullDiskIsOpened closes the database on a full disk, or kills it, and opens it
// again: with a log to replay, or a flush or compaction half done. To open it once
// took space that was not there.
func TestFullDiskIsOpened(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		onFullDisk(t, func(f *fullDisk) {
			must(t, f.db.Close())
			f.open()
			f.deleteRows(10)
			f.check()
			must(t, f.db.DeleteRange(nil, nil))
			f.gone = f.rows
			f.wantPuts()
		})
	})
	for kill := range 10 {
		t.Run(fmt.Sprint("killed ", kill), func(t *testing.T) {
			onFullDisk(t, func(f *fullDisk) { f.kill(int64(kill * 31)) })
		})
	}
}

// life is what a kill leaves.
type life struct {
	disk           *memfs.FS
	begun, deleted int64 // deletes
}

// kill stops the database at an operation of the file system while it deletes. What
// the operating system has stays.
func (f *fullDisk) kill(at int64) {
	first := f.disk.Ops()
	var begun, deleted atomic.Int64
	var left atomic.Pointer[life]
	f.disk.SetHook(func(op vfs.Op) error {
		if left.Load() == nil && op.N >= first+at {
			was := deleted.Load() // before the disk is looked at
			disk := f.disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
			left.CompareAndSwap(nil, &life{disk, begun.Load(), was})
		}
		return nil
	})
	for i := range f.rows / 2 {
		begun.Add(1)
		must(f.t, f.db.Delete(rowKey(i)))
		deleted.Add(1)
	}
	f.wait()
	f.disk.SetHook(nil)
	must(f.t, f.db.Close())
	was := left.Load()
	if was == nil {
		f.t.Fatalf("the deletes end before operation %d: nothing was killed", at)
	}
	f.disk, f.fs, f.gone = was.disk, faultfs.New(was.disk), int(was.deleted)
	f.open()
	f.deleteRows(int(was.begun - was.deleted)) // they may have taken effect
	f.check()
	f.deleteRows(f.rows/2 - f.gone)
	f.check()
	must(f.t, f.db.DeleteRange(nil, nil))
	f.gone = f.rows
	f.wantPuts()
	f.check()
}

// TestReserveRemoved removes the file of an open database. Its space is there for the
// full disk all the same, and so is the file again afterwards.
func TestReserveRemoved(t *testing.T) {
	onFullDisk(t, func(f *fullDisk) {
		must(t, f.db.DeleteRange(nil, nil))
		f.wantPuts()
		must(t, f.disk.Remove(filepath.Join("db", "RESERVE")))
		f.rows, f.gone = 0, 0
		f.fill()
		must(t, f.db.DeleteRange(nil, nil))
		f.wantPuts()
		info, err := f.disk.Stat(filepath.Join("db", "RESERVE"))
		if err != nil || info.Size() != f.db.Metrics().Health.ReserveBytes {
			t.Errorf("the file: %v, %v", info, err)
		}
	})
}

// TestNoReserve opens a database that cannot have one, for another reason than space:
// it says so, works, and has one when it can.
func TestNoReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := faultfs.New(memfs.New())
		rule := fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "RESERVE", Sticky: true, Err: syscall.EIO})
		o := small(nil)
		o.FS = fs
		db := open(t, o)
		for i := range 300 {
			must(t, db.Put(rowKey(i), rowValue(i)))
		}
		if h := db.Metrics().Health; !errors.Is(h.ReserveErr, syscall.EIO) || h.ReserveBytes != 0 {
			t.Errorf("%d bytes are held: %v", h.ReserveBytes, h.ReserveErr)
		}
		rule.Disarm()
		time.Sleep(2 * time.Second)
		if h := db.Metrics().Health; h.ReserveErr != nil || h.ReserveBytes == 0 {
			t.Errorf("%d bytes are held: %v", h.ReserveBytes, h.ReserveErr)
		}
	})
}

// TestReserveIsLeftByReaders opens a database read-only, which tells of the reserve
// and leaves it alone.
func TestReserveIsLeftByReaders(t *testing.T) {
	disk := memfs.New()
	db := open(t, small(disk))
	want := db.Metrics().Health.ReserveBytes
	must(t, db.Close())
	fs := faultfs.New(disk)
	touched := fs.Add(faultfs.Rule{Kinds: vfs.OpAll &^ vfs.OpStat, Name: "RESERVE", Sticky: true})
	o := small(nil)
	o.FS, o.ReadOnly = fs, true
	db = open(t, o)
	if got := db.Metrics().Health.ReserveBytes; got != want || want == 0 {
		t.Errorf("%d bytes are held, a reader says %d", want, got)
	}
	must(t, db.Close())
	if touched.Fired() > 0 {
		t.Error("a reader touches the file")
	}
}

// growingOptions have a memtable that is larger than a new log segment.
func growingOptions(disk *memfs.FS) *lightning.Options {
	return &lightning.Options{
		FS: disk, MemoryBudget: 16 << 20, Durability: lightning.DurabilityBuffered,
		Tree: lightning.TreeOptions{MemtableBytes: 2 << 20},
	}
}

// TestDeletesTakeTheReserveOnAFullDisk deletes so much that the log must grow on a full disk.
func TestDeletesTakeTheReserveOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		db := open(t, growingOptions(disk))
		synctest.Wait()
		disk.SetCapacity(disk.UsedBytes())
		b := db.NewBatch()
		for i := range 8000 {
			must(t, b.Delete(fmt.Appendf(nil, "%050d", i)))
		}
		must(t, b.Commit())
		if db.Metrics().Health.ReserveErr == nil {
			t.Error("the log has grown into nothing")
		}
		disk.SetCapacity(0)
	})
}

// TestReplayOnAFullDisk opens a database that was killed with much in its log, when
// there is no space at all. It once took a table that did not fit.
func TestReplayOnAFullDisk(t *testing.T) {
	disk := memfs.New()
	db := open(t, growingOptions(disk))
	const rows = 1200
	for i := range rows {
		must(t, db.Put(rowKey(i), rowValue(i)))
	}
	full := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
	full.SetCapacity(full.UsedBytes())
	db = open(t, growingOptions(full))
	must(t, db.Delete(rowKey(0)))
	for i := range rows {
		if ok, err := db.Has(rowKey(i)); err != nil || ok != (i > 0) {
			t.Fatalf("row %d is there: %v, %v", i, ok, err)
		}
	}
}

// TestReserveCoversMemory writes what stays in memory: the reserve has the space for all
// of it, before a full disk asks for that.
func TestReserveCoversMemory(t *testing.T) {
	opts := growingOptions(memfs.New())
	opts.MemoryBudget, opts.Tree.MemtableBytes = 64<<20, 16<<20
	db := open(t, opts)
	written := int64(0)
	for i := range 4000 {
		must(t, db.Put(rowKey(i), rowValue(i)))
		written += rowBytes
		m := db.Metrics()
		if m.Flushes.Count > 0 {
			t.Fatalf("%d bytes do not stay in memory", written)
		}
		if held := m.Health.ReserveBytes; held < written {
			t.Fatalf("%d bytes are in memory, and %d in reserve", written, held)
		}
	}
}

// TestReplayedAwaitsItsFlushOnlyWithAReserve opens a database whose reserve is lost, on a
// disk that has no space for another one. What is in the log could not be written to
// tables later, so that is done at once.
func TestReplayedAwaitsItsFlushOnlyWithAReserve(t *testing.T) {
	for _, reserved := range []bool{true, false} {
		disk := memfs.New()
		db := open(t, growingOptions(disk))
		for i := range 1200 {
			must(t, db.Put(rowKey(i), rowValue(i)))
		}
		killed := disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})
		must(t, db.Close())
		if !reserved {
			must(t, killed.Remove("db/RESERVE"))
		}
		faulty := faultfs.New(killed)
		faulty.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
		opts := growingOptions(killed)
		opts.FS = faulty
		db, err := lightning.Open("db", opts)
		if !reserved {
			wantErr(t, err, syscall.EIO)
			continue
		}
		must(t, err)
		wantErr(t, db.Close(), syscall.EIO)
	}
}
