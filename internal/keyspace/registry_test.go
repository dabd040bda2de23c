package keyspace

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
)

func newTestRegistry(t testing.TB) *Registry {
	t.Helper()
	operators, err := merge.NewRegistry(nil)
	if err != nil {
		t.Fatal(err)
	}
	return NewRegistry(Config{
		Operators: operators,
		Codec: func(level int, bottom bool) compress.Codec {
			if bottom {
				return compress.Fast
			}
			return compress.None
		},
		CodecFor: func(setting uint8) CodecPolicy {
			return func(int, bool) compress.Codec { return compress.Codec(setting - 1) }
		},
	})
}

func TestRegistry(t *testing.T) {
	r := newTestRegistry(t)
	err := r.Load([]manifest.Keyspace{
		{ID: 1, Name: "plain"},
		{ID: 2, Name: "counts", Merge: merge.AddInt64, TTLNS: uint64(time.Hour), Compression: 2},
		{ID: 3, Name: "odd", Merge: "unknown"},
		{ID: 4, Name: "odder", Merge: "stranger"},
	}, []manifest.DroppedKeyspace{{ID: 9, Name: "gone", LastSeq: 50}})
	var unknown *UnknownOperatorError
	if !errors.Is(err, ErrUnknownOperator) || !errors.As(err, &unknown) || unknown.Keyspace != "odd" {
		t.Errorf("unknown operators: %v", err)
	}
	if r.ByName("odd") != nil || r.ByName("nothing") != nil {
		t.Error("there are keyspaces that cannot be used")
	}
	counts := r.ByName("counts")
	if counts.ID != 2 || counts.TTL != time.Hour || counts.Merge != merge.AddInt64 {
		t.Errorf("the keyspace is %+v", counts.Settings)
	}
	for id, want := range map[uint64]string{0: "", 1: "plain", 2: "counts", 9: "gone"} {
		if name, ok := r.Name(id); !ok || name != want {
			t.Errorf("keyspace %d is %q, %v", id, name, ok)
		}
	}
	if _, ok := r.Name(8); ok {
		t.Error("a keyspace that never was has a name")
	}
	key := AppendPrefix(nil, 2)
	if op := r.MergeOperator(key); op == nil || op.Name != merge.AddInt64 {
		t.Errorf("the operator is %v", op)
	}
	for _, id := range []uint64{0, 1, 8} {
		if op := r.MergeOperator(AppendPrefix(nil, id)); op != nil {
			t.Errorf("keyspace %d merges with %q", id, op.Name)
		}
	}

	r.Drop(counts, manifest.DroppedKeyspace{ID: 2, Name: "counts", LastSeq: 100})
	if r.ByName("counts") != nil || len(r.All()) != 1 {
		t.Errorf("%d keyspaces are left", len(r.All()))
	}
	if name, ok := r.Name(2); !ok || name != "counts" {
		t.Errorf("the dropped keyspace is %q, %v", name, ok)
	}
	if r.MergeOperator(key) == nil {
		t.Error("the records of the dropped keyspace cannot be merged")
	}
	again := r.Add(manifest.Keyspace{ID: 10, Name: "counts"})
	if r.ByName("counts") != again {
		t.Error("the name is not that of the new keyspace")
	}
	for oldest, want := range map[base.SeqNum][]uint64{50: nil, 51: {9}, 100: {9}, 101: {2, 9}} {
		got := r.DroppedBefore(oldest)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("before %d were dropped %v, want %v", oldest, got, want)
		}
	}
	r.Forget([]uint64{2, 9, 77})
	if _, ok := r.Name(2); ok || r.DroppedBefore(base.SeqNumMax) != nil {
		t.Error("what is forgotten is known")
	}
	if name, ok := r.Name(10); !ok || name != "counts" {
		t.Errorf("the new keyspace is %q, %v", name, ok)
	}
}

func TestCodecs(t *testing.T) {
	r := newTestRegistry(t)
	r.Add(manifest.Keyspace{ID: 1, Name: "plain"})
	if !r.SameCodec(nil, 0, false, 1, false) || r.SameCodec(nil, 0, false, 1, true) {
		t.Error("the codecs of the default policy are not told apart")
	}
	fast := AppendPrefix(nil, 2)
	r.Add(manifest.Keyspace{ID: 2, Name: "fast", Compression: 1 + uint8(compress.Fast)})
	if got := r.Codec(fast)(0, false); got != compress.Fast {
		t.Errorf("the codec is %v", got)
	}
	if got := r.Codec(AppendPrefix(nil, 1))(0, false); got != compress.None {
		t.Errorf("the codec is %v", got)
	}
	if !r.SameCodec(fast, 0, false, 1, true) || r.SameCodec([]byte{0}, 0, false, 1, true) || r.SameCodec(nil, 0, false, 1, true) {
		t.Error("it is not the codec of the keyspace that counts")
	}
}

func TestSettings(t *testing.T) {
	k := &Info{Name: "k", Settings: Settings{Compression: 1, TTL: time.Hour, Merge: merge.Max}}
	for _, c := range []struct {
		ask Settings
		ok  bool
	}{
		{Settings{}, true},
		{k.Settings, true},
		{Settings{Compression: 2}, false},
		{Settings{TTL: time.Minute}, false},
		{Settings{Merge: merge.Min}, false},
		{Settings{Merge: merge.Max}, true},
	} {
		if err := k.Agree(c.ask); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrDiffers) {
			t.Errorf("asked for %+v: %v", c.ask, err)
		}
	}
	other := &Info{Name: "other"}
	if err := CheckLive([]*Info{other, k}); err != nil {
		t.Error(err)
	}
	if k.MarkDropped(true) || !k.MarkDropped(true) || !k.Dropped() {
		t.Error("the mark does not tell what was")
	}
	if err := CheckLive([]*Info{other, k}); !errors.Is(err, ErrDropped) {
		t.Error(err)
	}
}

// useMany makes some keyspaces, asks for each in every way, and drops them. It
// returns how long that took.
func useMany(t testing.TB, n int) time.Duration {
	list := make([]manifest.Keyspace, n)
	for i := range list {
		list[i] = manifest.Keyspace{ID: uint64(i + 1), Name: fmt.Sprint(i), Merge: merge.Max}
	}
	start := time.Now()
	r := newTestRegistry(t)
	if err := r.Load(list, nil); err != nil {
		t.Fatal(err)
	}
	var gone []uint64
	for _, k := range list {
		info := r.ByName(k.Name)
		key := AppendPrefix(nil, k.ID)
		if name, ok := r.Name(k.ID); !ok || name != k.Name || r.MergeOperator(key) == nil || r.Codec(key) == nil {
			t.Fatalf("keyspace %d is %q", k.ID, name)
		}
		r.Drop(info, manifest.DroppedKeyspace{ID: k.ID, Name: k.Name})
		if name, ok := r.Name(k.ID); !ok || name != k.Name {
			t.Fatalf("keyspace %d was %q", k.ID, name)
		}
		gone = append(gone, k.ID)
	}
	r.Forget(gone)
	if len(r.All())+len(r.DroppedBefore(1)) != 0 {
		t.Error("some are left")
	}
	return time.Since(start)
}

// A keyspace costs the same in a database of twenty thousand as in one of two: what
// is done for each must not look at all others.
func TestManyKeyspacesCostLinearTime(t *testing.T) {
	const few, many = 2000, 20000
	best := func(n int) time.Duration {
		fastest := useMany(t, n)
		for range 4 {
			fastest = min(fastest, useMany(t, n))
		}
		return fastest
	}
	small, large := best(few), best(many)
	t.Logf("%v for %d, %v for %d", small, few, large, many)
	// Ten times as many take ten times as long, or a hundred times with the square.
	if large > 50*small {
		t.Errorf("%v for %d, and %v for %d", small, few, large, many)
	}
}

func BenchmarkMergeOperator(b *testing.B) {
	r := newTestRegistry(b)
	for i := range uint64(1000) {
		r.Add(manifest.Keyspace{ID: i + 1, Name: fmt.Sprint(i), Merge: merge.Max})
	}
	key := append(AppendPrefix(nil, 500), "key"...)
	b.ReportAllocs()
	for b.Loop() {
		if r.MergeOperator(key) == nil {
			b.Fatal("no operator")
		}
	}
}

// FuzzSplitPrefix takes any bytes for a key, and has what AppendPrefix makes read back.
func FuzzSplitPrefix(f *testing.F) {
	for _, id := range []uint64{0, 1, 0xef, 0xf0, 1 << 40} {
		f.Add(AppendPrefix(nil, id))
	}
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, key []byte) {
		id, n := SplitPrefix(key)
		if n < 0 || n > len(key) || n == 0 && len(key) > 0 {
			t.Fatalf("the prefix of %x has %d bytes", key, n)
		}
		prefix := AppendPrefix(nil, id)
		if again, m := SplitPrefix(append(prefix, key...)); again != id || m != len(prefix) {
			t.Fatalf("the prefix of %d reads as %d, %d bytes", id, again, m)
		}
	})
}
