package reserve

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

const (
	kib = 1 << 10
	mib = 1 << 20
)

// room is a reserve on a disk of its own.
type room struct {
	*Reserve
	t     *testing.T
	disk  *memfs.FS
	fs    *faultfs.FS // over disk
	needs Needs
	log   bytes.Buffer
	made  int // how often history was to make space
}

func newRoom(t *testing.T, diskBytes int64) *room {
	t.Helper()
	r := &room{t: t, disk: memfs.New()}
	r.disk.SetCapacity(diskBytes)
	r.fs = faultfs.New(r.disk)
	must(t, r.fs.MkdirAll("db"))
	r.reopen(false)
	return r
}

// reopen goes on with what is on the disk.
func (r *room) reopen(readOnly bool) {
	if r.Reserve != nil {
		must(r.t, r.Close())
	}
	r.Reserve = New(Config{
		FS: r.fs, Dir: "db", Events: event.NewSink(slog.New(slog.NewTextHandler(&r.log, nil)), nil),
		Changed: new(signal.Changes), Needs: func() Needs {
			n := r.needs
			n.TableBytes = max(n.TableBytes, 32*mib)
			return n
		},
		MakeSpace: func(err error) {
			if errors.Is(err, vfs.ErrNoSpace) {
				r.made++
			}
		},
		MemtableBytes: 32 * mib, ReadOnly: readOnly,
	})
	r.Find()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect compares what is held, and what the disk has given for it.
func (r *room) expect(held, covered int64, full bool) {
	r.t.Helper()
	if r.HeldBytes() != held || r.CoveredBytes() != covered || r.Full() != full || (r.Admit() != nil) != full {
		r.t.Errorf("%d bytes are held, %d covered, full %v: %v; want %d, %d, %v",
			r.HeldBytes(), r.CoveredBytes(), r.Full(), r.Admit(), held, covered, full)
	}
	if used := r.disk.UsedBytes(); used < held {
		r.t.Errorf("%d bytes are held and %d used", held, used)
	}
}

// A small database has a small reserve, and one that has much in memory, or large
// tables, a larger one; a small disk gives a small part of it, but what is needed in
// any case.
func TestSize(t *testing.T) {
	for name, c := range map[string]struct {
		disk  int64
		needs Needs
		want  int64
	}{
		"empty":             {1 << 40, Needs{}, 2 * mib},
		"in memory":         {1 << 40, Needs{UnflushedBytes: 20 * mib}, 31 * mib},
		"a tree":            {1 << 40, Needs{TreeBytes: 80 * mib}, 11 * mib},
		"a large tree":      {1 << 40, Needs{TreeBytes: 1 << 40}, 33 * mib},
		"of large tables":   {1 << 40, Needs{TreeBytes: 1 << 40, TableBytes: 100 * mib}, 101 * mib},
		"a large table":     {1 << 40, Needs{LargestBytes: 40 * mib}, 41 * mib},
		"small disk":        {48 * mib, Needs{TreeBytes: 1 << 40}, 3 * mib},
		"it must be enough": {48 * mib, Needs{UnflushedBytes: 20 * mib}, 21 * mib},
	} {
		r := newRoom(t, c.disk)
		r.needs = c.needs
		r.Take()
		if r.HeldBytes() != c.want || r.Missing() {
			t.Errorf("%s: %d bytes are held: %v", name, r.HeldBytes(), r.Err())
		}
		r.reopen(false)
		r.Take()
		if r.HeldBytes() != c.want {
			t.Errorf("%s: %d bytes are held after another open", name, r.HeldBytes())
		}
		must(t, r.Close())
	}
}

// It grows before more comes into memory, to a modest part of the disk unless that
// must be; it goes back afterwards.
func TestCover(t *testing.T) {
	r := newRoom(t, 64*mib)
	r.Take()
	r.expect(2*mib, mib, false)
	r.Cover(2*mib, false)
	r.expect(4*mib, 3*mib, false)
	r.Cover(10*mib, false)
	r.expect(4*mib, 3*mib, false)
	r.Cover(10*mib, true)
	r.expect(11*mib, 10*mib, false)
	r.Cover(80*mib, true)
	r.expect(11*mib, 10*mib, false)
	if r.made != 1 {
		t.Error("history was not asked for space")
	}
	r.Cover(mib, false)
	r.expect(5*mib/2, 3*mib/2, false)
	must(t, r.Close())
}

// On a full disk the reserve is given up once, for the work that met it; what adds
// data is refused until it is there again, and nobody takes it from who uses it.
func TestTry(t *testing.T) {
	r := newRoom(t, 64*mib)
	r.Take()
	ballast, err := r.disk.Create("ballast")
	must(t, err)
	must(t, ballast.Preallocate(61*mib+mib/2))
	tries := 0
	work := func() error {
		tries++
		f, err := r.fs.Create("work")
		must(t, err)
		defer f.Close()
		r.Take() // as the keeper does, at a wrong time
		return f.Preallocate(2 * mib)
	}
	if err := r.Try(3*mib, work); !errors.Is(err, vfs.ErrNoSpace) || tries != 1 || r.Full() {
		t.Errorf("what is not enough was given up: %v, %d tries", err, tries)
	}
	must(t, r.Try(2*mib, work))
	if tries != 3 {
		t.Errorf("tried %d times", tries)
	}
	r.expect(0, 5*mib/4, true)
	r.Take()
	r.expect(0, mib/4, true)
	must(t, r.disk.Remove("work"))
	r.Starved(true)
	r.Take()
	r.expect(0, 5*mib/4, true)
	r.Starved(false)
	r.Take()
	r.expect(2*mib, mib, false)
	log := r.log.String()
	if strings.Count(log, "given up") != 1 || strings.Count(log, "there again") != 1 {
		t.Errorf("told: %s", log)
	}
	other := r.Try(0, func() error { return syscall.EIO })
	if r.Full() || !errors.Is(other, syscall.EIO) {
		t.Errorf("given up for %v", other)
	}
	must(t, errors.Join(ballast.Close(), r.Close()))
}

// Where the file system does not reserve, the file is written; one with holes, as a
// copy may be, begins anew.
func TestFileSystemThatCannotReserve(t *testing.T) {
	r := newRoom(t, 64*mib)
	lies := r.fs.Add(faultfs.Rule{Kinds: vfs.OpPreallocate, Sticky: true, Ignore: true})
	r.Take()
	r.expect(2*mib, mib, false)
	if r.disk.UsedBytes() < 2*mib || lies.Fired() == 0 {
		t.Errorf("%d bytes are used", r.disk.UsedBytes())
	}
	r.Cover(2*mib, false)
	r.expect(4*mib, 3*mib, false)
	r.reopen(false)
	r.expect(4*mib, 0, false)
	must(t, r.file.f.Truncate(0))
	must(t, r.file.f.Truncate(4*mib))
	r.reopen(true)
	r.expect(0, 0, false)
	r.reopen(false)
	r.Take()
	if has := r.disk.UsedBytes(); has < r.HeldBytes() || r.HeldBytes() != 2*mib {
		t.Errorf("%d bytes are held, %d used", r.HeldBytes(), has)
	}
	r.disk.SetCapacity(r.disk.UsedBytes() + mib)
	r.Cover(8*mib, true)
	r.expect(2*mib, mib, false)
	must(t, r.Close())
}

// A disk that is too small says so; one that fails does without, and no table and no
// write is bounded then.
func TestTakeFails(t *testing.T) {
	r := newRoom(t, mib)
	r.Take()
	if !r.Full() || !errors.Is(r.Err(), vfs.ErrNoSpace) || r.disk.UsedBytes() != 0 {
		t.Errorf("full %v: %v", r.Full(), r.Err())
	}
	r.disk.SetCapacity(0)
	rule := r.fs.Add(faultfs.Rule{Kinds: vfs.OpPreallocate, Sticky: true, Err: syscall.EIO})
	r.Take()
	r.expect(0, math.MaxInt64, false)
	if !errors.Is(r.Err(), syscall.EIO) || r.TableBytes(7*mib) != 7*mib || r.Spare() != nil {
		t.Errorf("%v; tables of %d bytes; %v", r.Err(), r.TableBytes(7*mib), r.Spare())
	}
	rule.Disarm()
	r.Take()
	r.expect(2*mib, mib, false)
	if r.TableBytes(7*mib) != mib || r.TableBytes(kib) != kib {
		t.Errorf("tables of %d and %d bytes", r.TableBytes(7*mib), r.TableBytes(kib))
	}
	must(t, r.Close())
}

// Compactions leave to flushes what those may need.
func TestSpare(t *testing.T) {
	r := newRoom(t, 64*mib)
	r.Take()
	for free, enough := range map[int64]bool{3 * mib: true, 2 * mib: false} {
		r.disk.SetCapacity(r.disk.UsedBytes() + free)
		if err := r.Spare(); errors.Is(err, vfs.ErrNoSpace) == enough {
			t.Errorf("%d bytes are free: %v", free, err)
		}
		if small, large := r.SpareFor(free/2), r.SpareFor(free/2+1); small != nil || large == nil {
			t.Errorf("%d bytes are free: a compaction of half of it is to ask: %v, of more: %v", free, small != nil, large != nil)
		}
	}
	r.Spend(vfs.ErrNoSpace)
	must(t, r.Spare())
	must(t, r.Close())
}

// A file of that name that is no file is no reserve.
func TestDirectoryInTheWay(t *testing.T) {
	r := newRoom(t, 0)
	must(t, r.fs.MkdirAll("db/"+Name))
	r.Take()
	if r.Full() || r.Err() == nil {
		t.Errorf("full %v: %v", r.Full(), r.Err())
	}
	r.Spend(vfs.ErrNoSpace) // nothing to give
	if r.Full() {
		t.Error("full")
	}
	must(t, r.Close())
}
