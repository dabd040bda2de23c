package segments

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/internal/wal"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

func TestBegin(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	if r.Log() != nil || r.WrittenBytes() != 0 {
		t.Error("there is a log before it begins")
	}
	first, second := r.cfg.Store.NewFileNum(), r.cfg.Store.NewFileNum()
	r.named = []base.FileNum{first, second}
	r.Found(r.named)
	if !r.Names(first) || r.Count() != 2 {
		t.Error("the segments that were found are not known")
	}
	r.last = 41
	num, err := r.Begin(&manifest.Edit{
		RemoveLogs: []base.FileNum{first, second}, LogStart: 1000, ForgetDropped: []uint64{7},
	}, 1000, 41)
	must(t, err)
	e := r.edits[0]
	if len(e.AddLogs) != 1 || e.AddLogs[0].Num != num || !slices.Equal(e.RemoveLogs, []base.FileNum{first, second}) ||
		e.LogStart != 1000 || !slices.Equal(e.ForgetDropped, []uint64{7}) {
		t.Errorf("the edit is %+v", e)
	}
	if r.Names(first) || !r.Names(num) || r.Count() != 1 || r.Prepared() != 0 {
		t.Errorf("named are %v", r.All())
	}
	if extents := r.archive.Extents(); len(extents) != 1 || extents[0].First != 42 || extents[0].Start != 1000 {
		t.Errorf("the archive knows %v", extents)
	}
	must(t, r.append(100))
	if n := r.WrittenBytes(); n < 100 || n > 200 || r.CurrentBytes() != n {
		t.Errorf("%d bytes were written, %d of them to the segment", n, r.CurrentBytes())
	}
}

// Where the log cannot begin there is none.
func TestBeginThatFails(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Err: errInjected})
	_, err := r.Begin(&manifest.Edit{}, 0, 0)
	wantErr(t, err, errInjected)
	if fault.Fired() != 1 || len(r.edits) != 0 {
		t.Error("a segment is named that is not there")
	}
	r.failEdit = errInjected
	_, err = r.Begin(&manifest.Edit{}, 0, 0)
	wantErr(t, err, errInjected)
	if r.Log() != nil {
		t.Error("there is a log that no manifest names")
	}
}

// The worker has the next segment ready, before and after each rotation; what the
// rotation left behind becomes durable.
func TestWorkerPreparesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, feed.Retention{})
		r.begin()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go r.Run(ctx)
		synctest.Wait()
		for range 5 {
			if r.Prepared() == 0 {
				t.Fatal("no segment is ready")
			}
			must(t, r.append(1000))
			appended := r.Log().Appended()
			num, at, err := r.Rotate(r.last)
			must(t, err)
			if at != appended || r.CurrentBytes() != 0 || !slices.Contains(r.named, num) || r.Prepared() != 0 {
				t.Errorf("segment %d begins at %d, want %d; named: %v; ready: %v", num, at, appended, r.named, r.Prepared() != 0)
			}
			r.changed.Notify() // as the new state does
			synctest.Wait()
			if r.Log().Durable() != appended {
				t.Errorf("durable up to %d, want %d", r.Log().Durable(), appended)
			}
		}
		if r.Count() != 7 || r.Err() != nil || !slices.Equal(r.All(), r.named) {
			t.Errorf("segments %v, the manifest names %v: %v", r.All(), r.named, r.Err())
		}
		if r.replay(0) != 5 {
			t.Errorf("%d groups can be read", r.replay(0))
		}
	})
}

// The worker tells the manifest of a segment that has grown, once that is durable;
// also of one that was rotated away from meanwhile.
func TestGrowthIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, feed.Retention{})
		first := r.begin()
		must(t, r.prepare())
		must(t, r.append(300<<10))
		grown := r.Log().SegmentBytes()
		second, _, err := r.Rotate(r.last)
		must(t, err)
		must(t, r.append(300<<10))
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go r.Run(ctx)
		synctest.Wait()
		want := []manifest.LogSize{{Num: first, SizeBytes: grown}, {Num: second, SizeBytes: r.Log().SegmentBytes()}}
		if !slices.Equal(r.grown, want) || r.due() {
			t.Errorf("the manifest knows %v, not %v", r.grown, want)
		}
	})
}

// What fails is told, and tried again after a while, with a number of its own.
func TestPrepareIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, feed.Retention{})
		r.begin()
		fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpCreate, Err: errInjected, Sticky: true})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go r.Run(ctx)
		synctest.Wait()
		for tries := int64(1); tries <= 3; tries++ {
			wantErr(t, r.Err(), errInjected)
			if r.Prepared() != 0 || fault.Fired() != tries {
				t.Errorf("ready: %v; %d tries, want %d", r.Prepared() != 0, fault.Fired(), tries)
			}
			time.Sleep(retryDelay - 1)
			synctest.Wait()
			if fault.Fired() != tries {
				t.Error("tried again too soon")
			}
			if tries == 3 {
				fault.Disarm()
			}
			time.Sleep(1)
			synctest.Wait()
		}
		if r.Prepared() == 0 || r.Err() != nil {
			t.Errorf("ready: %v: %v", r.Prepared() != 0, r.Err())
		}
		if n := strings.Count(r.log.String(), "background work failed"); n != 3 {
			t.Errorf("told %d times: %s", n, &r.log)
		}
		r.expectFiles(wal.FileName(1), wal.FileName(5))
	})
}

// A segment that the manifest would not name is deleted, and the worker goes on; one
// that it may name, as nobody knows, stays, and the worker ends with the database.
func TestEditOfThePreparedFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, feed.Retention{})
		r.begin()
		r.failEdit = manifest.ErrRefused
		ended := make(chan struct{})
		go func() { defer close(ended); r.Run(context.Background()) }()
		synctest.Wait()
		wantErr(t, r.Err(), manifest.ErrRefused)
		r.expectFiles(wal.FileName(1))

		r.mu.Lock()
		r.failEdit = r.health.Poison("manifest", errInjected)
		r.mu.Unlock()
		time.Sleep(retryDelay)
		<-ended
		if r.Prepared() != 0 || r.Count() != 1 {
			t.Errorf("ready: %v; segments %v", r.Prepared() != 0, r.All())
		}
		r.expectFiles(wal.FileName(1), wal.FileName(3))
	})
}

// The next segment is prepared at the size that the last one reached, within bounds.
func TestPreparedSizeFollows(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	first := r.begin()
	if n := r.sizeOf(first); n != firstLogBytes {
		t.Errorf("the first segment has %d bytes", n)
	}
	r.rotate()
	for range 10 {
		must(t, r.append(50<<10))
	}
	third, _ := r.rotate() // prepared when the first had its size
	for range 30 {
		must(t, r.append(50<<10))
	}
	fourth, _ := r.rotate() // after the second with ten
	fifth, _ := r.rotate()  // after the third with thirty
	sixth, _ := r.rotate()  // after an empty one
	for n, want := range map[base.FileNum]int64{third: firstLogBytes, fifth: maxBytes, sixth: firstLogBytes} {
		if got := r.sizeOf(n); got < want || got > want+firstLogBytes/2 && n != third {
			t.Errorf("segment %d has %d bytes, want %d", n, got, want)
		}
	}
	if got := r.sizeOf(fourth); got < 500<<10 || got > 600<<10 {
		t.Errorf("segment %d has %d bytes", fourth, got)
	}
}

// Of what nobody needs the newest is kept, for feeds that are just reading there, and
// used again; the rest is deleted. The archive no longer shows what is gone.
func TestDropAndReuse(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	nums := []base.FileNum{r.begin()}
	var needed wal.Position
	for i := range 4 {
		must(t, r.append(100))
		num, at := r.rotate()
		nums = append(nums, num)
		if i == 2 {
			needed = at
		}
	}
	old := r.Before(nums[3])
	if !slices.Equal(old, nums[:3]) {
		t.Errorf("before %d there are %v, want %v", nums[3], old, nums[:3])
	}
	must(t, r.edit(&manifest.Edit{RemoveLogs: old}, func() { r.Drop(old) }))
	if r.Count() != 2 || r.Names(nums[2]) || !slices.Equal(r.All(), []base.FileNum{nums[3], nums[4], nums[2]}) {
		t.Errorf("segments %v", r.All())
	}
	r.expectFiles(wal.FileName(nums[2]), wal.FileName(nums[3]), wal.FileName(nums[4]))
	if extents := r.archive.Extents(); len(extents) != 3 || extents[0].First != 3 {
		t.Errorf("the archive knows %v", extents)
	}
	creates := r.fs.Count(vfs.OpCreate)
	next, _ := r.rotate()
	if r.fs.Count(vfs.OpCreate) != creates {
		t.Error("a segment was made though one is free")
	}
	r.expectFiles(wal.FileName(nums[3]), wal.FileName(nums[4]), wal.FileName(next))
	if extents := r.archive.Extents(); len(extents) != 3 || extents[0].First != 4 {
		t.Errorf("the archive knows %v", extents)
	}
	// What it was used for before is never replayed.
	must(t, r.append(100))
	must(t, r.Sync())
	if n := r.replay(needed); n != 2 {
		t.Errorf("%d groups can be read, want 2", n)
	}
	r.rotate()
	if r.fs.Count(vfs.OpCreate) != creates+1 {
		t.Error("no segment was made though none is free")
	}
}

// Where the log is kept nothing is used again: it goes to the archive.
func TestDropToTheArchive(t *testing.T) {
	r := newRoom(t, feed.Retention{SizeBytes: 1 << 30})
	first := r.begin()
	must(t, r.append(100))
	second, _ := r.rotate() // in which nothing comes
	third, _ := r.rotate()
	must(t, r.Sync())
	gone := []base.FileNum{first, second}
	must(t, r.edit(&manifest.Edit{RemoveLogs: gone}, func() { r.Drop(gone) }))
	r.expectFiles(wal.ArchivedFileName(first), wal.FileName(third))
	if m := r.archive.Metrics(); m.Segments != 1 || m.OldestSeq != 1 {
		t.Errorf("the archive has %+v", m)
	}
	must(t, r.append(100))
	must(t, r.DropAll(r.last))
	r.expectFiles(wal.ArchivedFileName(first), wal.ArchivedFileName(third))
}

// After DropAll nothing is left, and the manifest knows where the log ended.
func TestDropAll(t *testing.T) {
	for _, prepared := range []bool{false, true} {
		r := newRoom(t, feed.Retention{})
		first := r.begin()
		must(t, r.append(100))
		r.rotate()
		must(t, r.append(100))
		r.rotate()
		must(t, r.edit(&manifest.Edit{RemoveLogs: []base.FileNum{first}}, func() { r.Drop([]base.FileNum{first}) }))
		if prepared {
			must(t, r.prepare())
		}
		end := r.Log().Appended()
		must(t, r.DropAll(r.last))
		e := r.edits[len(r.edits)-1]
		if e.LogStart < uint64(end) || e.LogStart != uint64(r.Log().Appended()) || len(r.named) != 0 || r.Count() != 0 || len(r.All()) != 0 {
			t.Errorf("the edit is %+v; named are %v, known %v", e, r.named, r.All())
		}
		r.expectFiles()
		if strings.Contains(r.log.String(), "failed") {
			t.Errorf("told %s", &r.log)
		}
	}
}

// Where the manifest does not take it the segments stay, and the log is durable.
func TestDropAllThatFails(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	first := r.begin()
	must(t, r.append(100))
	r.failEdit = errInjected
	wantErr(t, r.DropAll(r.last), errInjected)
	r.expectFiles(wal.FileName(first))
	if r.Count() != 1 || r.replay(0) != 1 {
		t.Errorf("segments %v, with %d groups", r.All(), r.replay(0))
	}

	r = newRoom(t, feed.Retention{})
	r.begin()
	must(t, r.append(100))
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpAnySync, Err: errInjected, Sticky: true})
	wantErr(t, r.DropAll(r.last), errInjected)
	if len(r.edits) != 1 || r.health.Err() == nil {
		t.Errorf("%d edits after a log that failed: %v", len(r.edits), r.health.Err())
	}
}

// Asynchronous commits reach the operating system within the delay, all that came
// meanwhile at once.
func TestFlushLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, feed.Retention{})
		r.begin()
		writes := r.fs.Count(vfs.OpWrite)
		expect := func(want int64) {
			t.Helper()
			synctest.Wait()
			if got := r.fs.Count(vfs.OpWrite) - writes; got != want {
				t.Errorf("%d writes, want %d", got, want)
			}
		}
		const delay = 10 * time.Millisecond
		must(t, r.append(100))
		r.FlushLater(delay)
		time.Sleep(delay / 2)
		must(t, r.append(100))
		r.FlushLater(delay)
		time.Sleep(delay/2 - 1)
		expect(0)
		time.Sleep(1)
		expect(1)
		if r.replay(0) != 2 {
			t.Errorf("%d groups reached the operating system", r.replay(0))
		}
		must(t, r.append(100)) // which nobody has asked to flush
		time.Sleep(10 * delay)
		expect(1)

		r.FlushLater(delay)
		time.Sleep(delay)
		expect(2)
		must(t, r.append(100))
		r.FlushLater(delay)
		r.StopTimer()
		time.Sleep(10 * delay)
		expect(2)
	})
}

// A flush that fails later than the commit makes the database refuse writes; one of
// a database that does so already is not tried.
func TestFlushLaterThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, feed.Retention{})
		r.begin()
		fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpWrite, Err: errInjected})
		must(t, r.append(100))
		r.FlushLater(time.Millisecond)
		time.Sleep(time.Second)
		synctest.Wait()
		wantErr(t, r.health.Err(), errInjected)
		r.FlushLater(time.Millisecond)
		time.Sleep(time.Second)
		synctest.Wait()
		if fault.Seen() != 1 {
			t.Errorf("%d writes", fault.Seen())
		}
		wantErr(t, r.append(100), errInjected)
		wantErr(t, r.Sync(), errInjected)

		r = newRoom(t, feed.Retention{})
		r.begin()
		must(t, r.append(100))
		r.FlushLater(time.Millisecond)
		r.health.Poison("manifest", errInjected)
		writes := r.fs.Count(vfs.OpWrite)
		time.Sleep(time.Second)
		synctest.Wait()
		if r.fs.Count(vfs.OpWrite) != writes {
			t.Error("a database that refuses writes writes")
		}
	})
}

// A disk that is full before anything was written refuses the group and nothing else.
// A write that fails refuses all that follows.
func TestAppendThatFails(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	r.begin()
	must(t, r.append(100))
	fault := r.fs.Add(faultfs.Rule{Kinds: vfs.OpPreallocate | vfs.OpTruncate, Err: vfs.ErrNoSpace, Sticky: true})
	var err error
	for err == nil {
		err = r.append(50 << 10)
	}
	wantErr(t, err, vfs.ErrNoSpace)
	if r.health.Err() != nil {
		t.Errorf("a disk that is full poisons: %v", r.health.Err())
	}
	fault.Disarm()
	must(t, r.append(50<<10))
	must(t, r.Sync())

	r.fs.Add(faultfs.Rule{Kinds: vfs.OpWrite, Err: errInjected})
	must(t, r.append(100))
	wantErr(t, r.Flush(), errInjected)
	wantErr(t, r.health.Err(), errInjected)
	wantErr(t, r.append(100), errInjected)
}

// A rotation that fails before anything happened leaves the log as it was.
func TestRotateThatFails(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	first := r.begin()
	must(t, r.prepare())
	must(t, r.append(100))
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpOpenReadWrite | vfs.OpOpen, Err: errInjected})
	_, _, err := r.Rotate(r.last)
	wantErr(t, err, errInjected)
	if r.health.Err() != nil || r.Prepared() == 0 || r.CurrentBytes() < 100 {
		t.Errorf("health %v, ready: %v, %d bytes in the segment", r.health.Err(), r.Prepared() != 0, r.CurrentBytes())
	}
	must(t, r.append(100))
	second, _, err := r.Rotate(r.last)
	must(t, err)
	must(t, r.append(100))
	must(t, r.Sync())
	if r.replay(0) != 3 {
		t.Errorf("%d groups can be read", r.replay(0))
	}
	extents := r.archive.Extents()
	if len(extents) != 2 || extents[0].Last != 2 || extents[1].First != 3 || first == second {
		t.Errorf("the archive knows %v", extents)
	}

	r.fs.Add(faultfs.Rule{Kinds: vfs.OpWrite, Err: errInjected})
	must(t, r.prepareUnder(100))
	_, _, err = r.Rotate(r.last)
	wantErr(t, err, errInjected)
	wantErr(t, r.health.Err(), errInjected)
}

// prepareUnder marks a segment as ready that is, and appends.
func (r *room) prepareUnder(valueBytes int) error {
	r.fs.Reset()
	if err := r.prepare(); err != nil {
		return err
	}
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpWrite, Err: errInjected, Sticky: true})
	return r.append(valueBytes)
}

func TestNeeded(t *testing.T) {
	part := func(log base.FileNum, at wal.Position) *view.Flushable {
		return &view.Flushable{FirstLog: log, FirstPosition: at}
	}
	s := &view.State{Mem: part(9, 900), Immutables: []*view.Flushable{part(7, 700), part(5, 500), part(3, 300)}}
	for n, want := range []base.FileNum{3, 5, 7, 9} {
		if log, at := Needed(s, n); log != want || at != wal.Position(100*want) {
			t.Errorf("without the oldest %d, segment %d is needed from %d, want %d", n, log, at, want)
		}
	}
}

func BenchmarkAppendFlush(b *testing.B) {
	r := newRoom(b, feed.Retention{})
	r.begin()
	payload := [][]byte{make([]byte, 100)}
	b.ReportAllocs()
	for b.Loop() {
		r.last++
		if err := r.Append(r.last, r.last, payload); err != nil {
			b.Fatal(err)
		}
		if err := r.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRead reads groups again that are in several segments, while the log goes on in
// one whose header no file has yet, and another one is prepared.
func TestRead(t *testing.T) {
	r := newRoom(t, feed.Retention{})
	nothing := func(*wal.Group) error { return errInjected }
	if err := r.Read(1, 0, 1, nothing); err == nil {
		t.Error("read before there is a log")
	}
	nums := []base.FileNum{r.begin()}
	for range 3 {
		must(t, r.append(100))
		must(t, r.append(100))
		num, _ := r.rotate()
		nums = append(nums, num)
	}
	must(t, r.append(100))
	must(t, r.prepare())
	for _, c := range []struct {
		from        int
		after, last base.SeqNum
		want        []base.SeqNum
	}{
		{0, 0, 7, []base.SeqNum{1, 2, 3, 4, 5, 6, 7}},
		{0, 2, 3, []base.SeqNum{3}},
		{1, 2, 6, []base.SeqNum{3, 4, 5, 6}},
		{2, 0, 99, []base.SeqNum{5, 6, 7}},
		{3, 7, 7, nil},
	} {
		var got []base.SeqNum
		must(t, r.Read(nums[c.from], c.after, c.last, func(g *wal.Group) error {
			if len(g.Payload) < 100 || g.First != g.Last {
				t.Errorf("group %d to %d has %d bytes", g.First, g.Last, len(g.Payload))
			}
			got = append(got, g.First)
			return nil
		}))
		if !slices.Equal(got, c.want) {
			t.Errorf("from segment %d, above %d up to %d: %v, want %v", c.from, c.after, c.last, got, c.want)
		}
	}
	wantErr(t, r.Read(nums[0], 0, 7, nothing), errInjected)
	r.fs.Add(faultfs.Rule{Kinds: vfs.OpRead, Err: errInjected})
	wantErr(t, r.Read(nums[0], 0, 7, func(*wal.Group) error { return nil }), errInjected)
}

// What somebody reads is not written over: no segment is used again before he is done.
func TestHeldSegmentsAreNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t, feed.Retention{})
		first := r.begin()
		letGo := r.Holds.Take()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go r.Run(ctx)
		synctest.Wait()
		turn := func() {
			must(t, r.append(1000))
			num, at, err := r.Rotate(r.last)
			must(t, err)
			gone := r.Before(num)
			must(t, r.edit(&manifest.Edit{RemoveLogs: gone, LogStart: uint64(at)}, func() { r.Drop(gone) }))
			r.changed.Notify()
			synctest.Wait()
		}
		turn()
		if id, begun, err := wal.Identify(r.cfg.WAL, first); err != nil || id.Num != first || !begun {
			t.Errorf("the segment is %+v, begun %v: %v", id, begun, err)
		}
		letGo()
		letGo() // a second time without effect
		turn()
		turn()
		if _, _, err := wal.Identify(r.cfg.WAL, first); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the segment is still there: %v", err)
		}
	})
}
