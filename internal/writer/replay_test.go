package writer

import (
	"errors"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
)

// replayed is a log that is replayed, batch by batch.
type replayed struct {
	*room
	calls int // for room
	last  base.SeqNum
}

func (r *replayed) replay(b *batch.Batch) {
	r.t.Helper()
	must(r.t, r.Replay(r.last+1, b.Bytes(), func() error { r.calls++; return r.SealReplayed() }))
	r.last += base.SeqNum(b.Len())
}

// Replay makes room by itself: for what does not fit, before what is large, and
// behind it. What was replayed is visible when it is sealed.
func TestReplay(t *testing.T) {
	r := &replayed{room: newRoom(t)}
	r.replay(sized(t, 60))
	r.replay(sized(t, 1))
	if r.calls != 0 || r.reads.VisibleSeq() != 0 {
		t.Errorf("room was made %d times, and %d is visible", r.calls, r.reads.VisibleSeq())
	}
	r.replay(sized(t, nearlyFull+20))
	if r.calls != 1 || r.reads.VisibleSeq() != 61 {
		t.Errorf("room was made %d times, and %d is visible", r.calls, r.reads.VisibleSeq())
	}
	r.replay(sized(t, tooLarge))
	r.replay(sized(t, 1))
	if r.calls != 3 {
		t.Errorf("room was made %d times", r.calls)
	}
	must(t, r.SealReplayed())
	must(t, r.SealReplayed())
	r.expectParts("M0 L1 L9 L9 L9")
	if got := r.reads.VisibleSeq(); got != r.last {
		t.Errorf("visible are numbers up to %d, want %d", got, r.last)
	}
}

// Without room nothing is taken up, and what does not decode is damage of the log.
func TestReplayFails(t *testing.T) {
	r := newRoom(t)
	b := sized(t, nearlyFull)
	must(t, r.Replay(1, b.Bytes(), nil))
	wantErr(t, r.Replay(nearlyFull+1, b.Bytes(), func() error { return errInjected }), errInjected)
	must(t, r.SealReplayed())
	if got := r.reads.VisibleSeq(); got != nearlyFull {
		t.Errorf("%d is visible", got)
	}
	err := r.Replay(nearlyFull+1, []byte("nonsense"), nil)
	if damage, ok := errors.AsType[*base.CorruptionError](err); !ok || damage.File != "log" {
		t.Errorf("nonsense: %v", err)
	}
	r.DropReplayed()
	r.DropReplayed()
	must(t, r.SealReplayed())
	r.expectParts("M0 L9")
}

// Range deletes end what is gathered: they take memory of Go's heap until they are all
// there.
func TestReplayOfManyRangeDeletes(t *testing.T) {
	r := &replayed{room: newRoom(t)}
	most, replayed := 0, 0
	for i := 0; r.calls < 2; i++ {
		var b batch.Batch
		must(t, b.DeleteRange([]byte{0}, []byte{0, byte(i >> 8), byte(i), 1}))
		r.replay(&b)
		most, replayed = max(most, r.replayed.HeapBytes()), i
	}
	share := r.cfg.MemtableBytes / replayedHeapShare
	if most < share || most > share+100 {
		t.Errorf("after %d range deletes they took %d bytes of the heap, want %d", replayed, most, share)
	}
	must(t, r.SealReplayed())
	if got := r.reads.State().Mem.Covering([]byte{0, 0}, base.SeqNumMax); got != 0 {
		t.Errorf("the memtable has range delete %d", got)
	}
	part := r.reads.State().Immutables[0]
	if got := part.Covering([]byte{0, 0}, base.SeqNumMax); got != r.last {
		t.Errorf("the newest range delete is %d, want %d", got, r.last)
	}
}

// Acts have effect when they are replayed, and stay with what they were replayed with.
func TestReplayOfActs(t *testing.T) {
	r := &replayed{room: newRoom(t)}
	act := func(a keyspace.Act) {
		var b batch.Batch
		must(t, b.Keyspace(a))
		r.replay(&b)
	}
	act(keyspace.Act{ID: 9, Keyspace: &manifest.Keyspace{ID: 9, Name: "nine"}})
	info := r.keyspaces.ByName("nine")
	if info == nil {
		t.Fatal("the keyspace is not there")
	}
	act(keyspace.Act{ID: 9})
	must(t, r.SealReplayed())
	acts := r.reads.State().Immutables[0].Acts
	if !info.Dropped() || len(acts) != 2 || acts[0].Seq != 1 || acts[1].Seq != 2 {
		t.Errorf("dropped: %v; the acts are %+v", info.Dropped(), acts)
	}
}
