package lightning_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// heard has what a listener was told.
type heard struct {
	mu     sync.Mutex
	events []string
	tables map[string]bool // that were created and not deleted
	more   chan struct{}
}

func (h *heard) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf(format, args...))
	select {
	case h.more <- struct{}{}:
	default:
	}
}

// await waits until an event that begins so was told.
func (h *heard) await(t *testing.T, prefix string) {
	t.Helper()
	for {
		h.mu.Lock()
		for _, e := range h.events {
			if strings.HasPrefix(e, prefix) {
				h.mu.Unlock()
				return
			}
		}
		h.mu.Unlock()
		select {
		case <-h.more:
		case <-time.After(time.Minute):
			t.Fatalf("nobody was told of %s: %q", prefix, h.events)
		}
	}
}

func (h *heard) listener() *lightning.EventListener {
	h.tables, h.more = map[string]bool{}, make(chan struct{}, 1)
	return &lightning.EventListener{
		OpenProgress: func(i lightning.OpenInfo) { h.note("open %d of %d %v", i.LogBytes, i.LogBytesMax, i.Done) },
		FlushBegin:   func(i lightning.FlushInfo) { h.note("flush begins %d", i.Memtables) },
		FlushEnd:     func(i lightning.FlushInfo) { h.note("flush ends %d %d %v", i.Memtables, i.Tables, i.Err) },
		CompactionBegin: func(i lightning.CompactionInfo) {
			h.note("compaction begins %d %d %v", i.From, i.To, i.Move)
		},
		CompactionEnd: func(i lightning.CompactionInfo) { h.note("compaction ends %d %d %v", i.From, i.To, i.Err) },
		StallBegin:    func(i lightning.StallInfo) { h.note("stall begins %s", i.Reason) },
		StallEnd:      func(i lightning.StallInfo) { h.note("stall ends %s", i.Reason) },
		LogRotated:    func(i lightning.LogInfo) { h.note("log %s", i.File) },
		TableCreated: func(i lightning.TableInfo) {
			h.tables[i.File] = true
			h.note("created %s %d", i.File, i.Records)
		},
		TableDeleted: func(i lightning.TableInfo) {
			delete(h.tables, i.File)
			h.note("deleted %s", i.File)
		},
		Corruption:      func(i lightning.CorruptionInfo) { h.note("corruption %s %v", i.File, i.Err) },
		DiskFull:        func(i lightning.DiskInfo) { h.note("disk full") },
		DiskFree:        func(i lightning.DiskInfo) { h.note("disk free") },
		WritesRefused:   func(i lightning.FailureInfo) { h.note("refused %s %v", i.What, i.Err) },
		BackgroundError: func(i lightning.FailureInfo) { h.note("failed %s %v", i.What, i.Err) },
	}
}

// A listener is told of what a database does in its life, and may call it.
func TestEvents(t *testing.T) {
	ctx := t.Context()
	fs := memfs.New()
	o := small(fs)
	var h heard
	o.EventListener = h.listener()
	var db *lightning.DB
	called := make(chan error, 100)
	end := o.EventListener.FlushEnd
	o.EventListener.FlushEnd = func(i lightning.FlushInfo) {
		end(i)
		_, err := db.Get([]byte("key000001"))
		called <- err
	}
	db = open(t, o)
	fill(t, db, 5000)
	must(t, db.Flush(ctx))
	h.await(t, "flush ends")
	must(t, <-called)
	must(t, db.Compact(ctx, nil, nil))
	fill(t, db, 5000)
	must(t, db.Compact(ctx, nil, nil))
	for _, e := range []string{"flush begins 1", "compaction begins 0", "compaction ends", "log ", "created ", "deleted "} {
		h.await(t, e)
	}
	must(t, db.Put([]byte("k"), make([]byte, 1000)))
	fs2 := fs.Crash(memfs.CrashOptions{})
	o = small(fs2)
	var other heard
	o.EventListener = other.listener()
	db2 := open(t, o)
	other.await(t, "open 1")
	must(t, db2.Close())
	must(t, db.Close())
}

// What goes wrong is told as well.
func TestEventsOfFailures(t *testing.T) {
	inner := faultfs.New(memfs.New())
	o := small(nil)
	o.FS = inner
	var h heard
	o.EventListener = h.listener()
	db := open(t, o)
	fill(t, db, 1000)
	must(t, db.Flush(t.Context()))
	inner.Add(faultfs.Rule{Err: vfs.ErrNoSpace, Kinds: vfs.OpWrite, Name: "*.sst"})
	fill(t, db, 1000)
	_ = db.Flush(t.Context())
	h.await(t, "disk full")
	h.await(t, "disk free")
	inner.Add(faultfs.Rule{Err: errors.New("of the disk"), Kinds: vfs.OpSync | vfs.OpSyncData, Sticky: true})
	if err := db.Put([]byte("k"), nil); err == nil {
		t.Error("a put that is not durable")
	}
	h.await(t, "refused log")
	_ = db.Close()
}

// Damage is told once for each place.
func TestEventsOfDamage(t *testing.T) {
	fs := memfs.New()
	o := small(fs)
	var h heard
	o.EventListener = h.listener()
	db := open(t, o)
	fill(t, db, 1000)
	must(t, db.Flush(t.Context()))
	must(t, db.Close())
	names, err := fs.List("db")
	must(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			f, err := fs.OpenReadWrite("db/" + name)
			must(t, err)
			_, err = f.WriteAt([]byte("rot"), 300)
			must(t, errors.Join(err, f.Close()))
		}
	}
	db = open(t, o)
	for range 3 {
		if _, err := db.Get([]byte("key000000")); !errors.Is(err, lightning.ErrCorrupted) {
			t.Fatalf("the damaged block gives %v", err)
		}
	}
	h.await(t, "corruption")
	must(t, db.Put([]byte("key000000"), nil))
	h.mu.Lock()
	defer h.mu.Unlock()
	told := map[string]bool{}
	for _, e := range h.events {
		if strings.HasPrefix(e, "corruption") && told[e] {
			t.Errorf("told again: %s", e)
		}
		told[e] = true
	}
}

// A stall has a beginning, while flushes stand still, and an end.
func TestEventsOfStalls(t *testing.T) {
	inner := faultfs.New(memfs.New())
	o := small(nil)
	o.FS, o.Durability = inner, lightning.DurabilityAsync
	var h heard
	o.EventListener = h.listener()
	db := open(t, o)
	release := make(chan struct{})
	inner.Add(faultfs.Rule{Kinds: vfs.OpCreate, Name: "*.sst", Before: func(vfs.Op) { <-release }})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 10_000 {
			if err := db.Put(fmt.Appendf(nil, "key%06d", i), make([]byte, 100)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	h.await(t, "stall begins memtables")
	close(release)
	<-done
	must(t, db.Compact(t.Context(), nil, nil))
	must(t, db.Put([]byte("k"), nil))
	h.await(t, "stall ends memtables")
}
