package writer

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// seen is what a decision was shown, as text.
func seen(now view.Current) string {
	if !now.Found {
		return "none"
	}
	return fmt.Sprintf("%q until %d", now.Value, now.Expiry)
}

// decisionOn has a decision about a key made behind others, and returns what it was shown.
func (r *room) decisionOn(key []byte, ahead []*commit.Request) (shown string, behind bool) {
	r.t.Helper()
	x := &commit.Decision{
		Key: key,
		Check: func(now view.Current) error {
			shown = seen(now)
			return commit.ErrDeclined
		},
	}
	wantErr(r.t, r.validate(&commit.Request{Batch: new(batch.Batch), Decision: x}, ahead), commit.ErrDeclined)
	return shown, x.Behind
}

// look returns what is visible of a key.
func (r *room) look(key []byte) (shown string) {
	r.t.Helper()
	must(r.t, r.reads.Look(key, func(now view.Current) error { shown = seen(now); return nil }))
	return shown
}

// somethingOf adds a random write of a keyspace to a batch: of few keys, so that they meet.
// Those of keyspace 1 take operands, those of keyspace 0 expire, a few of them long ago.
func somethingOf(t *testing.T, rng *rand.Rand, b *batch.Batch, id uint64) {
	t.Helper()
	prefix := keyspace.AppendPrefix(nil, id)
	key := []byte{'a' + byte(rng.IntN(4))}
	value := []byte{'0' + byte(rng.IntN(10))}[:rng.IntN(2)]
	switch n := rng.IntN(8); {
	case n < 2:
		must(t, b.Set(prefix, key, value))
	case n < 3:
		must(t, b.Delete(prefix, key))
	case n < 4:
		end := append(bytes.Clone(key), 0)
		end[0] += byte(rng.IntN(2))
		must(t, b.DeleteRange(append(bytes.Clone(prefix), key...), append(bytes.Clone(prefix), end...)))
	case id == 1:
		must(t, b.Merge(prefix, key, []byte{'A' + byte(rng.IntN(20))}))
	default:
		at := base.Instant(time.Now().Add(time.Hour).UnixNano())
		if rng.IntN(3) == 0 {
			at = 5
		}
		must(t, b.SetExpiring(prefix, key, value, at))
	}
}

// What a decision is shown behind batches that are not applied is what is visible once they
// are, and it rests on them if they touch the key.
func TestDecisionSeesWhatGoesBefore(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r, rng := newRoom(t), rand.New(rand.NewPCG(seed, 7))
			for range 100 {
				var ahead []*commit.Request
				for range rng.IntN(4) {
					b := new(batch.Batch)
					for range 1 + rng.IntN(4) {
						somethingOf(t, rng, b, uint64(rng.IntN(2)))
					}
					ahead = append(ahead, &commit.Request{Batch: b})
				}
				r.expectShown(ahead)
			}
		})
	}
}

// expectShown compares what decisions about all keys are shown behind others with what
// there is when these are committed.
func (r *room) expectShown(ahead []*commit.Request) {
	r.t.Helper()
	want := map[string]string{}
	for _, id := range []uint64{0, 1} {
		for _, k := range "abcd" {
			key := append(keyspace.AppendPrefix(nil, id), byte(k))
			shown, behind := r.decisionOn(key, ahead)
			if before := r.look(key); !behind && shown != before {
				r.t.Errorf("%q changed from %s to %s by nobody", key, before, shown)
			}
			want[string(key)] = shown
		}
	}
	for _, other := range ahead {
		must(r.t, r.Commit(context.Background(), other.Batch, commit.Async, nil))
	}
	for key, shown := range want {
		if got := r.look([]byte(key)); got != shown {
			r.t.Fatalf("a decision about %q was shown %s, but there is %s", key, shown, got)
		}
	}
}

// A decision that adds data is refused on a full disk, one that deletes is not.
func TestDecisionOnFullDisk(t *testing.T) {
	r := newRoom(t)
	must(t, r.Set(nil, []byte{0}, []byte("k"), []byte("v"), commit.Async))
	r.reserve.Spend(vfs.ErrNoSpace)
	decide := func(write func(b *batch.Batch) error) error {
		return r.Decide(nil, nil, &commit.Decision{
			Key: []byte{0, 'k'}, Check: func(view.Current) error { return nil },
			Write: func(_ view.Current, b *batch.Batch) error { return write(b) },
		}, commit.Async)
	}
	wantErr(t, decide(func(b *batch.Batch) error { return b.Set([]byte{0}, []byte("k"), nil) }), vfs.ErrNoSpace)
	must(t, decide(func(b *batch.Batch) error { return b.Delete([]byte{0}, []byte("k")) }))
	if got := r.look([]byte{0, 'k'}); got != "none" {
		t.Errorf("after the delete there is %s", got)
	}
}
