package writer

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/commit"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/view"
)

const maxKey = "\x02k" // of a keyspace that merges to the largest

func (r *room) merge(key, operand string) {
	r.t.Helper()
	must(r.t, r.Merge(nil, nil, []byte(key), []byte(operand), commit.Async))
}

// Operands join what is there, but not what a snapshot sees apart from them, nor what
// a range delete hides, nor where the result would be longer.
func TestOperandsJoin(t *testing.T) {
	for name, c := range map[string]struct {
		write func(r *room)
		want  string // the newest first
	}{
		"a value":                   {func(r *room) { must(r.t, r.set(maxKey, "3")); r.merge(maxKey, "5") }, "set set"},
		"nothing":                   {func(r *room) { r.merge(maxKey, "5") }, "merge"},
		"operands":                  {func(r *room) { r.merge(maxKey, "5"); r.merge(maxKey, "7"); r.merge(maxKey, "6") }, "merge merge merge"},
		"a delete":                  {func(r *room) { must(r.t, r.Delete(nil, nil, []byte(maxKey), commit.Async)); r.merge(maxKey, "5") }, "merge delete"},
		"what is hidden":            {func(r *room) { must(r.t, r.set(maxKey, "9")); r.deleteRange("\x02", "\x03"); r.merge(maxKey, "5") }, "merge set"},
		"what only looks hidden":    {func(r *room) { r.deleteRange("\x02", "\x03"); must(r.t, r.set(maxKey, "9")); r.merge(maxKey, "5") }, "set set"},
		"a value that is longer":    {func(r *room) { must(r.t, r.set(maxKey, "9"+strings.Repeat("9", 50))); r.merge(maxKey, "5") }, "merge set"},
		"operands that cannot":      {func(r *room) { r.merge("\x03k", `{"a":1}`); r.merge("\x03k", `{"b":2}`) }, "merge merge"},
		"a value that does not fit": {func(r *room) { must(r.t, r.set("\x03k", "[")); r.merge("\x03k", `{"b":2}`) }, "merge set"},
	} {
		r := newRoom(t)
		c.write(r)
		got := r.versions(maxKey) + r.versions("\x03k")
		if kinds(got) != c.want {
			t.Errorf("over %s: versions %q, want %q", name, got, c.want)
		}
	}
}

// kinds maps the names of kinds to those of the test.
func kinds(s string) string {
	return strings.NewReplacer("range-delete", "range").Replace(strings.ToLower(s))
}

func (r *room) deleteRange(lo, hi string) {
	r.t.Helper()
	must(r.t, r.DeleteRange(nil, []byte(lo), []byte(hi), commit.Async))
}

// How far an operand reaches is what tells whether it was joined.
func (r *room) reach(key string) (oldest base.SeqNum) {
	r.t.Helper()
	tr, stored, found := r.reads.State().Mem.Get([]byte(key), base.SeqNumMax)
	if !found || tr.Kind() != base.KindMerge {
		r.t.Fatalf("the newest version of %q is no operand", key)
	}
	decoded, err := base.Decode(tr, stored)
	must(r.t, err)
	return decoded.Oldest
}

func TestOperandsJoinAboveSnapshotsOnly(t *testing.T) {
	r := newRoom(t)
	r.merge(maxKey, "5")
	r.merge(maxKey, "6")
	if got := r.reach(maxKey); got != 1 {
		t.Errorf("the joined operand reaches to %d", got)
	}
	s, err := r.reads.Snapshot()
	must(t, err)
	r.merge(maxKey, "7") // number 3, which the snapshot does not see
	if got := r.reach(maxKey); got != 0 && got != 3 {
		t.Errorf("an operand above a snapshot reaches to %d", got)
	}
	r.merge(maxKey, "4")
	if got := r.reach(maxKey); got != 3 {
		t.Errorf("the operands above a snapshot reach to %d, want 3", got)
	}
	value, err := s.AppendGet(nil, []byte(maxKey))
	if err != nil || string(value) != "6" || r.get(maxKey) != "7" {
		t.Errorf("the snapshot sees %q, %v; now is %q", value, err, r.get(maxKey))
	}
	must(t, s.Close())
	r.merge(maxKey, "8")
	if got := r.reach(maxKey); got > 3 {
		t.Errorf("without a snapshot the operand reaches to %d", got)
	}
}

// TestApplyAgainstAModel commits at random, keeps snapshots, and compares what all of
// them see with what a map had.
func TestApplyAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, round))
		r := newRoom(t)
		rows := map[string]string{}
		type seen struct {
			*view.Snapshot
			rows map[string]string
		}
		var snaps []seen
		for range 600 {
			var b batch.Batch
			for range 1 + rng.IntN(3) {
				m := mutation{rng.IntN(10), fmt.Sprintf("%c%d", 1+rng.IntN(2), rng.IntN(6)), fmt.Sprint(10 + rng.IntN(90))}
				must(t, m.add(&b))
				m.apply(rows)
			}
			must(t, r.Commit(context.Background(), &b, commit.Async, nil))
			for len(r.reads.State().Immutables) > 0 {
				t.Fatal("the memtable is too small for the test")
			}
			if rng.IntN(20) == 0 {
				s, err := r.reads.Snapshot()
				must(t, err)
				snaps = append(snaps, seen{s, maps.Clone(rows)})
			}
			if n := len(snaps); n > 0 && rng.IntN(25) == 0 {
				i := rng.IntN(n)
				must(t, snaps[i].Close())
				snaps = append(snaps[:i], snaps[i+1:]...)
			}
			key := fmt.Sprintf("%c%d", 1+rng.IntN(2), rng.IntN(6))
			if want, ok := rows[key]; r.get(key) != want && (ok || r.get(key) != "-") {
				t.Fatalf("%q is %q, want %q", key, r.get(key), want)
			}
			for _, s := range snaps {
				value, err := s.AppendGet(nil, []byte(key))
				want, ok := s.rows[key]
				if ok != (err == nil) || string(value) != want {
					t.Fatalf("at %d %q is %q, %v; want %q", s.Seq(), key, value, err, want)
				}
			}
		}
		for _, s := range snaps {
			must(t, s.Close())
		}
	}
}

// mutation is a write, for the model. Keyspace 1 appends, keyspace 2 keeps the
// largest.
type mutation struct {
	what       int
	key, value string
}

func (m mutation) add(b *batch.Batch) error {
	key, value := []byte(m.key), []byte(m.value)
	switch {
	case m.what == 0:
		return b.Delete(nil, key)
	case m.what == 1:
		return b.DeleteRange(key, []byte(m.key[:1]+"4"+"\x00"))
	case m.what < 4:
		return b.Set(nil, key, value)
	}
	return b.Merge(nil, key, value)
}

func (m mutation) apply(rows map[string]string) {
	switch {
	case m.what == 0:
		delete(rows, m.key)
	case m.what == 1:
		maps.DeleteFunc(rows, func(key, _ string) bool { return key >= m.key && key < m.key[:1]+"4\x00" })
	case m.what < 4:
		rows[m.key] = m.value
	case m.key[0] == 1:
		rows[m.key] += m.value
	default:
		rows[m.key] = max(rows[m.key], m.value)
	}
}

// What the hot-record cache has of a key does not outlive a write to it, of any kind.
func TestWritesReachTheHotCache(t *testing.T) {
	r := newRoom(t)
	key := []byte("\x02hot")
	heat := func(want string) {
		t.Helper()
		for range 200 { // until it is let in
			if got := r.get(string(key)); got != want {
				t.Fatalf("read %q, want %q", got, want)
			}
		}
		if _, answer := r.hot.GetAt(nil, key, base.Hash(key), base.SeqNumMax); answer != hotcache.Found && want != "-" || answer != hotcache.Absent && want == "-" {
			t.Errorf("%q is in the cache: answer %d", want, answer)
		}
	}
	must(t, r.set(string(key), "1"))
	heat("1")
	must(t, r.set(string(key), "2"))
	heat("2")
	r.merge(string(key), "3")
	heat("3")
	must(t, r.Delete(nil, nil, key, commit.Async))
	heat("-")
	must(t, r.set(string(key), "4"))
	heat("4")
	r.deleteRange("\x02", "\x03")
	heat("-")
	must(t, r.set(string(key), "5"))
	heat("5")
	large := sized(t, tooLarge)
	must(t, large.Set(nil, key, []byte("6")))
	must(t, r.Commit(context.Background(), large, commit.Async, nil))
	heat("6")
}

// What a group sets of the keys that the hot-record cache has is there when it is visible,
// whatever else the group does to them: the last write counts, and a delete.
func TestGroupsPutBack(t *testing.T) {
	r := newRoom(t)
	rng := rand.New(rand.NewPCG(1, 2))
	model, known := map[string]string{}, 0
	for round := range 3000 {
		var b batch.Batch
		for range 1 + rng.IntN(5) {
			key := fmt.Sprintf("\x00%d", rng.IntN(6))
			switch n := rng.IntN(20); {
			case n < 14:
				value := fmt.Sprint(round, strings.Repeat("x", rng.IntN(20)))
				must(t, b.Set(nil, []byte(key), []byte(value)))
				model[key] = value
			case n < 19:
				must(t, b.Delete(nil, []byte(key)))
				delete(model, key)
			default:
				must(t, b.DeleteRange([]byte("\x002"), []byte("\x004")))
				delete(model, "\x002")
				delete(model, "\x003")
			}
		}
		must(t, r.Commit(context.Background(), &b, commit.Async, nil))
		for i := range 6 {
			key := fmt.Sprintf("\x00%d", i)
			want, there := model[key]
			if !there {
				want = "-"
			}
			if _, answer := r.hot.GetAt(nil, []byte(key), base.Hash([]byte(key)), base.SeqNumMax); answer == hotcache.Found {
				known++
			}
			for range 1 + rng.IntN(12) { // it may get into the cache
				if got := r.get(key); got != want {
					t.Fatalf("round %d: %q is %q, want %q", round, key, got, want)
				}
			}
		}
	}
	if known < 6000 {
		t.Errorf("%d answers after a group", known)
	}
}

func TestCommitDoesNotAllocate(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the checks allocate")
	}
	r := newRoom(t)
	r.cfg.AsyncDelay = 1 << 40 // the timer is made once
	key, value := []byte("\x00key"), []byte("value")
	must(t, r.set("\x00key", "value"))
	if n := testing.AllocsPerRun(300, func() { must(t, r.Set(nil, nil, key, value, commit.Async)) }); n != 0 {
		t.Errorf("a commit of one key allocates %v times", n)
	}
}

func BenchmarkCommit(b *testing.B) {
	for name, write := range map[string]func(r *room, key []byte) error{
		"set":   func(r *room, key []byte) error { return r.Set(nil, nil, key, key, commit.Async) },
		"merge": func(r *room, key []byte) error { return r.Merge(nil, nil, key, key, commit.Async) },
	} {
		b.Run(name, func(b *testing.B) {
			r := newRoom(b)
			key := []byte(maxKey)
			b.ReportAllocs()
			for b.Loop() {
				if err := write(r, key); err != nil {
					b.Fatal(err)
				}
				for len(r.reads.State().Immutables) > 0 {
					r.forget()
				}
			}
		})
	}
}
