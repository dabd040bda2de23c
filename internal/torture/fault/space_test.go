package fault

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func open(t *testing.T, o lightning.Options, fs vfs.FS) *script.Session {
	t.Helper()
	o.FS = fs
	s := script.NewSession(o)
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a test that cares closes it itself
	return s
}

func put(key string, bytes int, d lightning.Durability) *script.Op {
	return &script.Op{Key: script.Data{Text: key}, Value: script.Data{Length: bytes}, Wait: script.WaitFor(d)}
}

// largeBatch is too large for a memtable.
func largeBatch(key string, bytes int) *script.Op {
	return &script.Op{
		Kind: script.Batch, Wait: script.WaitFor(lightning.DurabilitySync), Parts: []script.Op{*put(key, bytes, lightning.DurabilitySync)},
	}
}

// TestFullDiskInLogSegment fills the disk while a log segment outgrows its
// prepared size. The write of a group once failed in the middle, which must
// poison the log: the database refused all writes until it was opened again,
// however much space came back.
func TestFullDiskInLogSegment(t *testing.T) {
	for _, d := range []lightning.Durability{lightning.DurabilitySync, lightning.DurabilityBuffered, lightning.DurabilityAsync} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fillLogSegment(t, d) })
		})
	}
}

func fillLogSegment(t *testing.T, d lightning.Durability) {
	disk := memfs.New()
	o := smallOptions()
	o.Durability, o.Tree.MemtableBytes = d, 1<<20
	s, h := open(t, o, disk), script.NewHistory(model.State{})
	disk.SetCapacity(disk.UsedBytes() + 32<<10)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		one := put(fmt.Sprintf("k%03d", i), 1000, d)
		one.Value.Text = fmt.Sprint("value ", i)
		err = s.Run(one, h)
	}
	if !errors.Is(err, lightning.ErrNoSpace) {
		t.Fatalf("writing to a full disk: %v", err)
	}
	check(t, s, h)
	disk.SetCapacity(0)
	time.Sleep(2 * time.Second) // the reserve is there again by then, if it was given up
	for _, o := range []*script.Op{put("space", 5, d), {Kind: script.SyncLog}} {
		if err := s.Run(o, h); err != nil {
			t.Fatalf("after space has come back: %v", err)
		}
	}
	if err := script.Judge(disk.Crash(memfs.CrashOptions{}), o, h.Allowed); err != nil {
		t.Fatal(err)
	}
}

// check compares what the database shows with what it may show.
func check(t *testing.T, s *script.Session, h *script.History) {
	t.Helper()
	found, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Now().Check(found); err != nil {
		t.Fatal(err)
	}
}

// TestNoDescriptorForLogSegment lets the open of the next log segment fail
// once. The log goes on as it was then, but the database once took it for a
// failed write and refused all others.
func TestNoDescriptorForLogSegment(t *testing.T) {
	fs := faultfs.New(memfs.New())
	s, h := open(t, smallOptions(), fs), script.NewHistory(model.State{})
	fs.Add(faultfs.Rule{Kinds: vfs.OpOpenReadWrite, Name: "*.wal", Err: syscall.EMFILE})
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = s.Run(put(fmt.Sprintf("k%03d", i), 1000, lightning.DurabilitySync), h)
	}
	if !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("no descriptor for a log segment: %v", err)
	}
	if err := s.Run(put("a", 1, lightning.DurabilitySync), h); err != nil {
		t.Fatalf("the next write: %v", err)
	}
	check(t, s, h)
}

// TestLargeBatchesLeaveTheLog commits nothing but batches that are too large
// for a memtable. The memtable stays empty, and the log once moved to another
// segment with a full memtable only: one segment grew for ever, and the next
// open after a crash had to read all of it.
func TestLargeBatchesLeaveTheLog(t *testing.T) {
	fs := memfs.New()
	s, h := open(t, smallOptions(), fs), script.NewHistory(model.State{})
	for i := range 100 {
		if err := s.Run(largeBatch(fmt.Sprint("k", i%3), 100<<10), h); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Run(&script.Op{Kind: script.Flush}, h); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List(script.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var logBytes int64
	for _, name := range names {
		if info, err := fs.Stat(filepath.Join(script.Dir, name)); err == nil && strings.HasSuffix(name, ".wal") {
			logBytes += info.Size()
		}
	}
	if limit := int64(2 << 20); logBytes > limit {
		t.Fatalf("the log keeps %d bytes after a flush, more than %d", logBytes, limit)
	}
}

// TestReadOnlyReplayFillsMemtables opens a crashed database read-only whose
// log holds a large batch and then many small ones. Once a memtable was
// waiting, each group of the log got a memtable of its own, as large as the
// options say: replaying a long log took all memory there is.
func TestReadOnlyReplayFillsMemtables(t *testing.T) {
	disk := memfs.New()
	fs := faultfs.New(disk)
	s, h := open(t, smallOptions(), fs), script.NewHistory(model.State{})
	fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Sticky: true, Err: syscall.EIO})
	defer fs.Reset()
	if err := s.Run(largeBatch("large", 40<<10), h); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := s.Run(put(fmt.Sprintf("k%03d", i), 1, lightning.DurabilitySync), h); err != nil {
			t.Fatal(err)
		}
	}
	o := smallOptions()
	o.ReadOnly = true
	reader := open(t, o, disk.Crash(memfs.CrashOptions{}))
	check(t, reader, h)
	if n := reader.DB.Metrics().Memory.MemtablesWaiting; n > 1 {
		t.Errorf("a large batch and 100 small ones take %d memtables", n)
	}
}

// TestFullDiskIsOverWhenSpaceIsBack leaves more and more space on the disk, so
// that it fills up at some time in each file, and then takes the limit away.
func TestFullDiskIsOverWhenSpaceIsBack(t *testing.T) {
	var life script.Script
	for i := range 10 { // the manifest, which knows the bounds of each table, grows with each
		long := strings.Repeat("k", 1000)
		life = append(life, *put("a"+long+fmt.Sprint(i), 1, lightning.DurabilityAsync),
			*put("z"+long+fmt.Sprint(i), 1, lightning.DurabilityAsync), script.Op{Kind: script.Flush})
	}
	life = append(life, parse(t, compactionScript)...)
	for pages := range int64(60) {
		t.Run(fmt.Sprintf("pages=%d", pages), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memfs.New()
				s := open(t, smallOptions(), disk)
				disk.SetCapacity(disk.UsedBytes() + pages*4096)
				h := runUntilFull(t, s, life)
				disk.SetCapacity(0)
				expectWrites(t, s, h, disk)
			})
		})
	}
}

// TestDeletesOnAFullDisk leaves more and more space on the disk, and deletes all when
// it has filled up: that was once refused like any other write. Then it is killed,
// or loses its power, and opened while the disk is still full.
func TestDeletesOnAFullDisk(t *testing.T) {
	deletes := script.Script{
		{Kind: script.Delete, Key: script.Data{Text: "k000"}, Wait: script.WaitFor(lightning.DurabilitySync)},
		{Kind: script.DropSpace, Space: "s"},
		{Kind: script.DeleteRange, Key: script.Data{Text: "k001"}, Upper: script.Data{Text: "k1"}, Wait: script.WaitFor(lightning.DurabilitySync)},
		{Kind: script.Batch, Wait: script.WaitFor(lightning.DurabilitySync), Parts: []script.Op{
			{Kind: script.Delete, Key: script.Data{Text: "k100"}}, {Kind: script.DeleteRange, Key: script.Data{Text: "k"}},
		}},
		{Kind: script.Flush},
	}
	for pages := range int64(60) {
		t.Run(fmt.Sprintf("pages=%d", pages), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memfs.New()
				s := open(t, smallOptions(), disk)
				life := script.Script{{Kind: script.CreateSpace, Space: "s"}}
				for i := range 2000 {
					life = append(life, *put(fmt.Sprintf("k%03d", i), 1000, lightning.DurabilityBuffered))
				}
				disk.SetCapacity(disk.UsedBytes() + pages*4096)
				h := runUntilFull(t, s, life)
				for i := range deletes {
					if deletes[i].Space != "" && !slices.Contains(s.DB.Keyspaces(), deletes[i].Space) {
						continue
					}
					if err := s.Run(&deletes[i], h); err != nil {
						t.Fatalf("%v on a full disk: %v", &deletes[i], err)
					}
				}
				check(t, s, h)
				for _, keep := range []memfs.Policy{memfs.KeepNone, memfs.KeepAll} {
					full := open(t, smallOptions(), disk.Crash(memfs.CrashOptions{Keep: keep}))
					if err := full.DB.DeleteRange(nil, nil); err != nil {
						t.Fatalf("delete after a crash on a full disk: %v", err)
					}
					crashed := disk.Crash(memfs.CrashOptions{Keep: keep})
					crashed.SetCapacity(0)
					if err := script.Judge(crashed, smallOptions(), h.Allowed); err != nil {
						t.Fatal(err)
					}
				}
				disk.SetCapacity(0)
				expectWrites(t, s, h, disk)
			})
		})
	}
}

// TestManifestMeetsFullDisk refuses space to one record of the manifest after
// another. That once made the database refuse all writes until it was opened
// again.
func TestManifestMeetsFullDisk(t *testing.T) {
	for met, nth := true, int64(1); met; nth++ {
		synctest.Test(t, func(t *testing.T) {
			disk := memfs.New()
			fs := faultfs.New(disk)
			s := open(t, smallOptions(), fs)
			rule := fs.Add(faultfs.Rule{Kinds: vfs.OpPreallocate, Name: "*.manifest", Nth: nth, Err: errFull})
			h := runUntilFull(t, s, parse(t, compactionScript)[:7]) // until the keyspace is made
			rule.Disarm()
			expectWrites(t, s, h, disk)
			met = rule.Fired() > 0
		})
	}
}

// runUntilFull runs a script until an operation finds no space.
func runUntilFull(t *testing.T, s *script.Session, life script.Script) *script.History {
	t.Helper()
	h := script.NewHistory(model.State{})
	for i := range life {
		err := s.Run(&life[i], h)
		if errors.Is(err, lightning.ErrNoSpace) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	check(t, s, h)
	return h
}

// expectWrites sees whether all goes on when there is space again, and whether
// no table is left over from what failed.
func expectWrites(t *testing.T, s *script.Session, h *script.History, disk *memfs.FS) {
	t.Helper()
	time.Sleep(2 * time.Second) // the workers have tried again by then
	for _, o := range []*script.Op{
		put("space", 5, lightning.DurabilitySync), {Kind: script.CreateSpace, Space: "t"},
		{Kind: script.Flush}, {Kind: script.Compact},
	} {
		if err := s.Run(o, h); err != nil {
			t.Fatalf("after space has come back: %v", err)
		}
	}
	check(t, s, h)
	if err := script.Judge(disk.Crash(memfs.CrashOptions{}), smallOptions(), h.Allowed); err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, level := range s.DB.Metrics().Levels {
		named += level.Files
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := disk.List(script.Dir)
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, name := range names {
		if filepath.Ext(name) == ".sst" {
			tables++
		}
	}
	if tables != named {
		t.Errorf("%d tables on the disk, %d in the database: %v", tables, named, names)
	}
}
