package keyspace

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
)

func apply(t *testing.T, r *Registry, a Act) {
	t.Helper()
	if err := r.Apply(a); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, r *Registry, k manifest.Keyspace) {
	t.Helper()
	apply(t, r, Act{ID: k.ID, Keyspace: &k})
}

// What acts come to, between two flushes, is what the edit says: of a keyspace that
// came and went only its number and its name are left, and one that was changed is
// replaced.
func TestActsBecomeAnEdit(t *testing.T) {
	r := NewRegistry(Config{})
	if err := r.Load(&manifest.State{
		NextKeyspaceID: 4,
		Keyspaces:      []manifest.Keyspace{{ID: 1, Name: "old"}, {ID: 2, Name: "changed"}, {ID: 3, Name: "kept"}},
	}); err != nil {
		t.Fatal(err)
	}
	if id := r.NextID(); id != 4 {
		t.Errorf("the next number is %d", id)
	}
	acts := []Act{
		{ID: 4, Keyspace: &manifest.Keyspace{ID: 4, Name: "brief"}, Seq: 10},
		{ID: 2, Keyspace: &manifest.Keyspace{ID: 2, Name: "changed", TTLNS: 5}, Seq: 11},
		{ID: 1, Seq: 12},
		{ID: 4, Seq: 13},
		{ID: 5, Keyspace: &manifest.Keyspace{ID: 5, Name: "brief"}, Seq: 14},
	}
	brief := (*Info)(nil)
	for _, a := range acts {
		apply(t, r, a)
		if a.Seq == 10 {
			brief = r.ByName("brief")
		}
	}
	if again := r.ByName("brief"); !brief.Dropped() || again == nil || again.Dropped() || again.ID != 5 {
		t.Errorf("the first is dropped: %v; the second is %+v", brief.Dropped(), again)
	}
	if r.ByName("changed").Settings().TTL != 5 {
		t.Error("the change had no effect")
	}
	var e manifest.Edit
	r.AddTo(&e, acts)
	want := manifest.Edit{
		NextKeyspaceID: 6,
		DropKeyspaces:  []uint64{2, 1},
		AddKeyspaces:   []manifest.Keyspace{{ID: 2, Name: "changed", TTLNS: 5}, {ID: 5, Name: "brief"}},
		AddDropped: []manifest.DroppedKeyspace{
			{ID: 4, Name: "brief", LastSeq: 13}, {ID: 1, Name: "old", LastSeq: 12},
		},
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
	r.Saved(&e)
	var later manifest.Edit
	r.AddTo(&later, []Act{{ID: 5, Seq: 20}})
	if !slices.Equal(later.DropKeyspaces, []uint64{5}) {
		t.Errorf("after the flush: %+v", later)
	}
}

// The name of a dropped keyspace is known as long as a change may be read that
// mentions it: its last one has the number that it was dropped at.
func TestDroppedNamesAreKept(t *testing.T) {
	r := NewRegistry(Config{})
	add(t, r, manifest.Keyspace{ID: 3, Name: "three"})
	add(t, r, manifest.Keyspace{ID: 4, Name: "four"})
	apply(t, r, Act{ID: 3, Seq: 10})
	if r.ByName("three") != nil || r.ByName("four") == nil || len(r.All()) != 1 {
		t.Error("the wrong one was dropped")
	}
	for oldest, want := range map[base.SeqNum][]uint64{0: nil, 9: nil, 10: nil, 11: {3}, 99: {3}} {
		var e manifest.Edit
		if r.AddForgotten(&e, oldest); !slices.Equal(e.ForgetDropped, want) {
			t.Errorf("with changes from %d on, %v can be forgotten, want %v", oldest, e.ForgetDropped, want)
		}
	}
	names := func() (known []string) {
		for id := range uint64(6) {
			if name, ok := r.Name(id); ok {
				known = append(known, name)
			}
		}
		return known
	}
	if got := names(); !slices.Equal(got, []string{"", "three", "four"}) {
		t.Errorf("known are %q", got)
	}
	r.Saved(&manifest.Edit{ForgetDropped: []uint64{3}})
	if got := names(); !slices.Equal(got, []string{"", "four"}) {
		t.Errorf("known are %q after the history of one has gone", got)
	}
}

// Every keyspace whose operator is missing is reported, and a dropped one keeps
// its operator: its records go later.
func TestOperators(t *testing.T) {
	operators, err := merge.NewRegistry([]merge.Operator{{
		Name: "last", Merge: func(dst, _ []byte, operands [][]byte) ([]byte, error) {
			return append(dst, operands[len(operands)-1]...), nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRegistry(Config{Operators: operators})
	if r.MergeOperator([]byte("\x01key")) != nil {
		t.Error("an empty registry has an operator")
	}
	err = r.Load(&manifest.State{
		Keyspaces: []manifest.Keyspace{
			{ID: 1, Name: "one", Merge: "last"}, {ID: 2, Name: "two", Merge: "lost"}, {ID: 3, Name: "three"},
		},
		Dropped: []manifest.DroppedKeyspace{{ID: 5, Name: "five"}},
	})
	missing := new(UnknownOperatorError)
	if !errors.As(err, &missing) || missing.Keyspace != "two" || !errors.Is(err, ErrUnknownOperator) {
		t.Errorf("the error is %v", err)
	}
	if name, ok := r.Name(5); name != "five" || !ok {
		t.Errorf("keyspace 5 is called %q, %v", name, ok)
	}
	apply(t, r, Act{ID: 1})
	if op := r.MergeOperator([]byte("\x01key")); op == nil || op.Name != "last" {
		t.Errorf("the operator of a dropped keyspace is %v", op)
	}
	if op := r.MergeOperator([]byte("\x03key")); op != nil {
		t.Errorf("keyspace 3 has the operator %v", op)
	}
}

// A keyspace's own codec counts, or else the policy; whether two places agree
// depends on all of them, or on the one that a table is of.
func TestCodecs(t *testing.T) {
	byLevel := func(level int, bottom bool) compress.Policy {
		if level == 0 {
			return compress.Policy{}
		}
		return compress.Policy{Codec: compress.Small, OrSmall: bottom}
	}
	same := func(int, bool) compress.Policy { return compress.Policy{Codec: compress.Small} }
	r := NewRegistry(Config{Codec: same, CodecFor: func(uint8) CodecPolicy { return byLevel }})
	if !r.SameCodec(nil, 0, false, 1, false) {
		t.Error("with one policy, the levels differ")
	}
	add(t, r, manifest.Keyspace{ID: 1, Name: "own", Compression: 1})
	if r.SameCodec(nil, 0, false, 1, false) || r.SameCodec([]byte("\x01k"), 0, false, 1, false) {
		t.Error("the setting of a keyspace does not count")
	}
	if !r.SameCodec([]byte("\x00k"), 0, false, 1, false) || !r.SameCodec(nil, 1, false, 2, true) {
		t.Error("the setting of another keyspace counts")
	}
	if r.Codec([]byte("\x01k"))(0, false).Codec != compress.None || r.Codec([]byte("\x02k"))(0, false).Codec != compress.Small {
		t.Error("the codecs are mixed up")
	}
}

// useMany makes some keyspaces, asks for each in every way, and drops them. It
// returns how long that took.
func useMany(t testing.TB, n int) time.Duration {
	start := time.Now()
	r := NewRegistry(Config{Codec: func(int, bool) compress.Policy { return compress.Policy{} }})
	var acts []Act
	for i := range uint64(n) {
		acts = append(acts, Act{ID: i + 1, Keyspace: &manifest.Keyspace{ID: i + 1, Name: fmt.Sprint(i)}})
	}
	for _, a := range acts {
		if err := r.Apply(a); err != nil {
			t.Fatal(err)
		}
	}
	var e manifest.Edit
	r.AddTo(&e, acts)
	r.Saved(&e)
	e = manifest.Edit{}
	for i, a := range acts {
		key := AppendPrefix(nil, a.ID)
		if name, ok := r.Name(a.ID); !ok || name != a.Keyspace.Name || r.Codec(key) == nil || r.ByName(name).ID != a.ID {
			t.Fatalf("keyspace %d is %q", a.ID, name)
		}
		acts[i] = Act{ID: a.ID, Seq: 1}
		if err := r.Apply(acts[i]); err != nil {
			t.Fatal(err)
		}
	}
	r.AddTo(&e, acts)
	r.AddForgotten(&e, 2)
	r.Saved(&e)
	if len(e.ForgetDropped) != 0 {
		t.Error("what is just dropped is forgotten")
	}
	if len(r.All()) != 0 || len(e.DropKeyspaces) != n || len(e.AddDropped) != n {
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
