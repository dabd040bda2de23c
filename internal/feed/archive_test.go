package feed

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/leak"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/janitor"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
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

// room is an archive over a log that the test writes.
type room struct {
	*Archive
	t       testing.TB
	fs      *faultfs.FS
	janitor *janitor.Janitor
	told    bytes.Buffer
	log     *wal.Log
	num     base.FileNum
	last    base.SeqNum
}

func newRoom(t testing.TB, keep Retention) *room {
	t.Helper()
	r := &room{t: t, fs: faultfs.New(memfs.New()), janitor: janitor.New(), num: 1}
	must(t, r.fs.MkdirAll("db"))
	r.Archive = NewArchive(Config{
		WAL: wal.Config{FS: r.fs, Dir: "db"}, Retention: keep, Clock: clock.System, Janitor: r.janitor,
		Events:     event.NewSink(slog.New(slog.NewTextHandler(&r.told, nil)), nil),
		VisibleSeq: func() base.SeqNum { return r.last },
	})
	segment, err := wal.Prepare(r.cfg.WAL, r.num, 1<<10)
	must(t, err)
	r.Begin(r.num, 0, 1)
	r.log, err = wal.NewLog(r.cfg.WAL, segment, 0, 0)
	must(t, err)
	t.Cleanup(func() {
		r.Close()
		must(t, r.log.Close())
		r.janitor.Stop()
	})
	return r
}

// write adds records of a kilobyte to the log.
func (r *room) write(records int) {
	r.t.Helper()
	for range records {
		r.last++
		_, err := r.log.Append(r.last, r.last, make([]byte, 1<<10))
		must(r.t, err)
	}
}

// rotate goes on in a new segment and returns the number of the old one.
func (r *room) rotate() base.FileNum {
	r.t.Helper()
	old := r.num
	r.num++
	segment, err := wal.Prepare(r.cfg.WAL, r.num, 1<<10)
	must(r.t, err)
	r.Begin(r.num, r.log.Appended(), r.last+1)
	must(r.t, r.log.Rotate(segment))
	must(r.t, r.log.Sync())
	return old
}

// settle waits for the janitor.
func (r *room) settle() {
	done := make(chan struct{})
	r.janitor.AddFile(func() { r.janitor.AddFile(func() { close(done) }) })
	<-done
}

func (r *room) expectFiles(want ...string) {
	r.t.Helper()
	r.settle()
	got, err := r.fs.List("db")
	must(r.t, err)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("the directory has %q, want %q", got, want)
	}
	for _, name := range want {
		if !r.Holds(name) {
			r.t.Errorf("%s is not in the catalogue", name)
		}
	}
}

// TestFindAgainstAModel makes catalogues with holes and empty segments, and asks for
// every number.
func TestFindAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		a := NewArchive(Config{})
		a.openedSeq = base.SeqNum(rng.IntN(10))
		holds := map[base.SeqNum]base.FileNum{} // of each number
		var firsts []base.SeqNum                // where segments begin
		next := a.openedSeq + 1
		oldest := next
		segments := rng.IntN(6)
		for num := base.FileNum(1); int(num) <= segments; num++ {
			a.Begin(num, 0, next)
			if num == 1 {
				oldest = next
			}
			firsts = append(firsts, next)
			for range rng.IntN(4) {
				holds[next] = num
				next++
			}
			if int(num) == segments && rng.IntN(2) == 0 {
				for seq := next; seq < next+20; seq++ { // it is open: all that is to come
					holds[seq] = num
				}
				break
			}
			a.Finish(0, next-1)
			if rng.IntN(3) == 0 {
				next += base.SeqNum(rng.IntN(3)) // what was committed past the log
			}
		}
		if got := a.OldestSeq(); got != oldest {
			t.Fatalf("the oldest number is %d, want %d", got, oldest)
		}
		for seq := base.SeqNum(0); seq < next+5; seq++ {
			s, gap := a.find(seq)
			want, ok := holds[seq]
			if ok != (gap == nil) || ok && s.num != want {
				t.Fatalf("%d is in segment %d, %v; want %d", seq, s.num, gap, want)
			}
			if gap == nil {
				continue
			}
			wantNext := a.openedSeq + 1
			for _, first := range firsts {
				if first > seq {
					wantNext = first
					break
				}
			}
			if gap.From != uint64(seq) || gap.Oldest != uint64(wantNext) || !errors.Is(gap, ErrGap) {
				t.Fatalf("%d is not there: %v; want that the next is %d", seq, gap, wantNext)
			}
		}
	}
}

// A gap names the damage that is the reason, if it lies there.
func TestGapHasItsReason(t *testing.T) {
	a := NewArchive(Config{})
	a.Begin(3, 0, 10)
	a.Finish(0, 19)
	a.Begin(7, 0, 30)
	reason := errors.New("reason")
	a.lost = []lostSegment{{segmentInfo{num: 5}, reason}}
	for seq, want := range map[base.SeqNum]bool{5: false, 20: true, 29: true} {
		if _, gap := a.find(seq); gap == nil || errors.Is(gap, reason) != want || want && !strings.Contains(gap.Error(), "reason") {
			t.Errorf("%d: %v", seq, gap)
		}
	}
	a.lost[0].num = 2 // before all that is there
	for seq, want := range map[base.SeqNum]bool{5: true, 20: false} {
		if _, gap := a.find(seq); gap == nil || errors.Is(gap, reason) != want {
			t.Errorf("%d: %v", seq, gap)
		}
	}
	a.lost[0].num = 5
	a.Finish(0, 29) // nothing came
	a.Begin(9, 0, 40)
	if _, gap := a.find(35); gap == nil || !errors.Is(gap, reason) {
		t.Errorf("behind an empty segment: %v", gap)
	}
}

// Segments are kept as long as they are not too old, and not too large together; the
// oldest go first. One that is still needed is never among them.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, Retention{Age: time.Hour})
		r.write(1)
		first := r.rotate()
		r.write(1)
		second := r.rotate()
		r.write(1)
		r.Retire([]base.FileNum{first})
		r.expectFiles(wal.ArchivedFileName(1), wal.FileName(2), wal.FileName(3))
		time.Sleep(time.Hour / 2)
		r.Retire([]base.FileNum{second})
		r.expectFiles(wal.ArchivedFileName(1), wal.ArchivedFileName(2), wal.FileName(3))
		if m := r.Metrics(); m.Segments != 2 || m.SizeBytes < 2<<10 || m.OldestSeq != 1 {
			t.Errorf("kept are %+v", m)
		}
		time.Sleep(time.Hour/2 - 1)
		synctest.Wait()
		r.expectFiles(wal.ArchivedFileName(1), wal.ArchivedFileName(2), wal.FileName(3))
		time.Sleep(1)
		synctest.Wait()
		r.expectFiles(wal.ArchivedFileName(2), wal.FileName(3))
		if r.OldestSeq() != 2 || r.Holds(wal.ArchivedFileName(1)) {
			t.Errorf("the oldest number is %d", r.OldestSeq())
		}
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		r.expectFiles(wal.FileName(3))
		if m := r.Metrics(); m.Segments != 0 || m.SizeBytes != 0 || m.OldestSeq != 3 {
			t.Errorf("kept are %+v", m)
		}

		r = newRoom(t, Retention{SizeBytes: 10 << 10})
		for range 5 {
			r.write(3)
			r.Retire([]base.FileNum{r.rotate()})
			r.settle()
			if m := r.Metrics(); m.SizeBytes > 10<<10 || m.Segments == 0 {
				t.Errorf("kept are %+v", m)
			}
		}
		r.expectFiles(wal.ArchivedFileName(3), wal.ArchivedFileName(4), wal.ArchivedFileName(5), wal.FileName(6))
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		r.expectFiles(wal.ArchivedFileName(3), wal.ArchivedFileName(4), wal.ArchivedFileName(5), wal.FileName(6))
	})
}

// What holds nothing is not kept, and what cannot be archived is tried again.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, Retention{Age: time.Hour})
		empty := r.rotate()
		r.write(1)
		full := r.rotate()
		fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpRename, Err: errors.New("injected"), Sticky: true})
		r.Retire([]base.FileNum{empty, full})
		r.expectFiles(wal.FileName(full), wal.FileName(r.num))
		if !strings.Contains(r.told.String(), "archive a log segment") {
			t.Errorf("told %q", &r.told)
		}
		if s, gap := r.find(1); gap != nil || s.archived || !s.obsolete {
			t.Errorf("the segment cannot be read: %v", gap)
		}
		fault.Disarm()
		r.Keep()
		r.expectFiles(wal.ArchivedFileName(full), wal.FileName(r.num))
	})
}

// For a disk that is full the older half goes, and the newer half the next time.
func TestMakeSpace(t *testing.T) {
	r := newRoom(t, Retention{SizeBytes: 1 << 30})
	for range 3 {
		r.write(1)
		r.Retire([]base.FileNum{r.rotate()})
	}
	r.MakeSpace(errors.New("another reason"))
	r.MakeSpace(nil)
	r.expectFiles(wal.ArchivedFileName(1), wal.ArchivedFileName(2), wal.ArchivedFileName(3), wal.FileName(4))
	r.MakeSpace(vfs.ErrNoSpace)
	r.expectFiles(wal.ArchivedFileName(3), wal.FileName(4))
	if !strings.Contains(r.told.String(), "segments=2 transactions=0 oldest=3") {
		t.Errorf("told %q", &r.told)
	}
	for range 2 {
		r.MakeSpace(vfs.ErrNoSpace)
		r.expectFiles(wal.FileName(4))
	}
	if strings.Count(r.told.String(), "given up") != 2 {
		t.Errorf("told %q", &r.told)
	}
}

// What is lost goes with what is newer, not before.
func TestLostSegmentsGoWithTheirNeighbours(t *testing.T) {
	a := NewArchive(Config{})
	for num := base.FileNum(2); num <= 6; num += 2 {
		a.Begin(num, 0, base.SeqNum(num))
		a.Finish(0, base.SeqNum(num))
		a.retire(num, time.Time{})
	}
	for _, num := range []base.FileNum{1, 3, 5} {
		a.lost = append(a.lost, lostSegment{segmentInfo: segmentInfo{num: num}})
	}
	for _, want := range [][]base.FileNum{{2, 1, 3}, {4, 5}, {6}, nil} {
		var got []base.FileNum
		a.mu.Lock()
		units := a.units()
		for _, s := range a.takeOldest(units[:min(1, len(units))]).segments {
			got = append(got, s.num)
		}
		a.mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("segments %v go, want %v", got, want)
		}
	}
}

// Close takes everything off the catalogue. A feed that meets that is told of the end,
// and of no gap.
func TestFeedMeetsClose(t *testing.T) {
	r := newRoom(t, Retention{SizeBytes: 1 << 20})
	asked := 0
	r.cfg.Failure = func() error {
		if asked++; asked == 1 {
			return nil // as it was when the feed looked
		}
		return base.ErrClosed
	}
	r.ingestedSeq.Store(5)
	r.cfg.Durable = func() (base.SeqNum, wal.Position) { return 5, 0 }
	r.last = 5
	r.Archive.openedSeq = 5
	r.Finish(0, 0)
	f, err := r.Feed(3)
	must(t, err)
	if _, err := f.Next(t.Context()); err != base.ErrClosed {
		t.Errorf("got %v", err)
	}
	must(t, f.Close())
}

// Segments and commits past the log go in one order. What lies in a segment goes with it,
// and nothing goes that is newer than a segment that is needed.
func TestUnits(t *testing.T) {
	a := NewArchive(Config{Retention: Retention{SizeBytes: 1}})
	next := base.SeqNum(1)
	segment := func(num base.FileNum, records base.SeqNum) {
		a.Begin(num, 0, next)
		next += records
	}
	ingest := func(numbers base.SeqNum) {
		a.addIngest(ingestCommit{first: next, last: next + numbers - 1, sizeBytes: 100}, true)
		next += numbers
	}
	ingest(2)     // 1..2
	segment(1, 3) // 3..5
	ingest(2)     // 6..7, in the segment
	next++        // 8, another record
	segment(2, 0) // empty
	ingest(1)     // 9
	ingest(3)     // 10..12
	expect := func(want ...unit) {
		t.Helper()
		a.mu.Lock()
		defer a.mu.Unlock()
		if got := a.units(); !slices.Equal(got, want) {
			t.Errorf("units are %+v, want %+v", got, want)
		}
	}
	old := unit{ingests: 1, sizeBytes: 100}
	expect(old) // the first segment is needed
	a.retire(1, time.Time{})
	full := unit{segments: 1, ingests: 1, sizeBytes: 100}
	newest := unit{ingests: 1, sizeBytes: 100, newest: true}
	expect(old, full, old, newest)
	segment(3, 1) // 13
	expect(old, full, old, old)
	for seq, want := range map[base.SeqNum]bool{0: false, 1: true, 2: true, 3: false, 6: true, 8: false, 9: true, 12: true, 13: false} {
		if _, ok := a.ingestAt(seq); ok != want {
			t.Errorf("%d is past the log: %v", seq, ok)
		}
	}
	if a.OldestSeq() != 1 || a.nextIngest(4) != 6 || a.nextIngest(6) != 9 || a.nextIngest(13) != base.SeqNumMax {
		t.Errorf("the oldest is %d, behind 4 comes %d, behind 13 %d", a.OldestSeq(), a.nextIngest(4), a.nextIngest(13))
	}
	gone := a.takeExpired(Retention{SizeBytes: 250}, time.Time{})
	if len(gone.segments) != 1 || len(gone.ingests) != 2 || a.OldestSeq() != 9 {
		t.Errorf("%d segments and %d commits go, the oldest is %d", len(gone.segments), len(gone.ingests), a.OldestSeq())
	}
	if forgotten := a.Forgotten(); !slices.Equal(forgotten, []base.SeqNum{1, 6}) {
		t.Errorf("%v are forgotten", forgotten)
	}
	a.NoteForgotten([]base.SeqNum{1, 6})
	if forgotten := a.Forgotten(); forgotten != nil {
		t.Errorf("%v are forgotten again", forgotten)
	}
	if half := a.takeHalf(); len(half.ingests) != 1 || half.ingests[0].first != 9 {
		t.Errorf("half of it is %+v", half)
	}
}

func BenchmarkFind(b *testing.B) {
	a := NewArchive(Config{})
	const segments = 1000
	for num := base.FileNum(1); num <= segments; num++ {
		a.Begin(num, 0, 10*base.SeqNum(num))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, gap := a.find(5005); gap != nil {
			b.Fatal(gap)
		}
	}
}
