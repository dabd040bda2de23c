package segments

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/leak"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

var errInjected = errors.New("injected")

// room is the log of a database that has nothing else: its manifest is a list.
type room struct {
	*Segments
	t       testing.TB
	mem     *memfs.FS
	fs      *faultfs.FS // above mem
	janitor *janitor.Janitor
	archive *feed.Archive
	health  health.Health
	reserve *reserve.Reserve
	changed signal.Changes

	mu       sync.Mutex
	named    []base.FileNum // by the manifest
	grown    []manifest.LogSize
	edits    []*manifest.Edit
	failEdit error
	log      bytes.Buffer // what was told
	last     base.SeqNum
}

const (
	maxBytes   = 1 << 20
	retryDelay = time.Second
)

func newRoom(t testing.TB, keep feed.Retention) *room {
	t.Helper()
	mem := memfs.New()
	r := &room{t: t, mem: mem, fs: faultfs.New(mem), janitor: janitor.New()}
	must(t, errors.Join(r.fs.MkdirAll("db"), r.fs.SyncDir("")))
	events := event.NewSink(slog.New(slog.NewTextHandler(&r.log, nil)), nil)
	r.health.Config = health.Config{
		Events: events, Closed: func() bool { return false }, Failed: r.changed.Notify,
	}
	tables := store.New(store.Config{FS: r.fs, Dir: "db", Files: filepool.New(r.fs, 8), Events: events})
	tables.SkipFileNums(1)
	walConfig := wal.Config{FS: r.fs, Dir: "db", DBID: base.DBID{1}, BufferBytes: 64 << 10}
	r.archive = feed.NewArchive(feed.Config{
		WAL: walConfig, Retention: keep, Clock: clock.System, Events: events, Janitor: r.janitor,
		VisibleSeq: func() base.SeqNum { return r.last },
	})
	r.reserve = reserve.New(reserve.Config{
		FS: r.fs, Dir: "db", Events: events, Changed: &r.changed, MemtableBytes: maxBytes,
		MakeSpace: r.archive.MakeSpace, Needs: func() reserve.Needs { return reserve.Needs{} },
	})
	r.Segments = New(Config{
		WAL: walConfig, MaxBytes: maxBytes, Health: &r.health, Reserve: r.reserve, Store: tables, Archive: r.archive, Events: events,
		Janitor: r.janitor, Changed: &r.changed, Clock: clock.System, RetryDelay: retryDelay, Edit: r.edit,
	})
	t.Cleanup(func() {
		r.archive.Close()
		r.StopTimer()
		if r.Log() != nil {
			_ = r.Log().Close() // it may have failed
		}
		r.janitor.Stop()
	})
	return r
}

// begin starts a log that is empty.
func (r *room) begin() base.FileNum {
	r.t.Helper()
	num, err := r.Begin(&manifest.Edit{}, 0, 0)
	must(r.t, err)
	return num
}

// edit is the manifest: it does an edit as a whole, or refuses it.
func (r *room) edit(e *manifest.Edit, done func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.edits = append(r.edits, e)
	if r.failEdit != nil {
		return r.failEdit
	}
	for _, n := range e.RemoveLogs {
		i := slices.Index(r.named, n)
		if i < 0 {
			r.t.Errorf("segment %d is removed, which is not named", n)
			continue
		}
		r.named = slices.Delete(r.named, i, i+1)
	}
	for _, l := range e.AddLogs {
		if !slices.Contains(r.files(), wal.FileName(l.Num)) {
			r.t.Errorf("segment %d is named before it is there", l.Num)
		}
		r.named = append(r.named, l.Num)
	}
	for _, l := range e.GrowLogs {
		if size := r.durableSizeOf(l.Num); size != l.SizeBytes {
			r.t.Errorf("the manifest learns of %+v, and a power cut leaves %d bytes", l, size)
		}
	}
	r.grown = append(r.grown, e.GrowLogs...)
	done()
	return nil
}

func (r *room) files() []string {
	names, err := r.fs.List("db")
	must(r.t, err)
	slices.Sort(names)
	return names
}

// expectFiles looks which segments there are; archived ones have a name of their own.
func (r *room) expectFiles(want ...string) {
	r.t.Helper()
	r.settle()
	slices.Sort(want)
	if got := r.files(); !slices.Equal(got, want) {
		r.t.Errorf("the directory has %q, want %q", got, want)
	}
}

// settle waits for the janitor.
func (r *room) settle() {
	done := make(chan struct{})
	r.janitor.AddFile(func() { r.janitor.AddFile(func() { close(done) }) })
	<-done
}

// append adds a group of one record with a value of some size, and looks whether the
// segment that it goes to is named.
func (r *room) append(valueBytes int) error {
	r.t.Helper()
	var b batch.Batch
	must(r.t, b.Set(nil, []byte("key"), make([]byte, valueBytes)))
	err := r.Append(r.last+1, r.last+1, [][]byte{b.Bytes()})
	if err == nil {
		r.last++
	}
	return err
}

// rotate goes on in the next segment, which it has prepared first.
func (r *room) rotate() (base.FileNum, wal.Position) {
	r.t.Helper()
	must(r.t, r.prepare())
	num, at, err := r.Rotate(r.last)
	must(r.t, err)
	if !slices.Contains(r.named, num) {
		r.t.Errorf("records go to segment %d, which is not named", num)
	}
	return num, at
}

// replay returns how many groups from a position on can be read, of the segments
// that are named.
func (r *room) replay(from wal.Position) int {
	r.t.Helper()
	var named []wal.Segment
	for _, e := range r.edits {
		for _, l := range e.AddLogs {
			if slices.Contains(r.named, l.Num) {
				named = append(named, wal.Segment(l))
			}
		}
	}
	result, err := wal.Replay(r.cfg.WAL, named, from, 0, func(base.SeqNum, []byte) error { return nil })
	must(r.t, err)
	return result.Groups
}

func (r *room) sizeOf(n base.FileNum) int64 {
	r.t.Helper()
	info, err := r.fs.Stat("db/" + wal.FileName(n))
	must(r.t, err)
	return info.Size()
}

// durableSizeOf is the size that a segment has after a power cut.
func (r *room) durableSizeOf(n base.FileNum) int64 {
	r.t.Helper()
	info, err := r.mem.Crash(memfs.CrashOptions{Keep: memfs.KeepNone}).Stat("db/" + wal.FileName(n))
	must(r.t, err)
	return info.Size()
}
