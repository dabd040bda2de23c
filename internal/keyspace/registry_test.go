package keyspace

import (
	"errors"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
)

// The name of a dropped keyspace is known as long as a change may be read that
// mentions it: its last one has the number that it was dropped at.
func TestDroppedNamesAreKept(t *testing.T) {
	r := NewRegistry(Config{})
	k := r.Add(manifest.Keyspace{ID: 3, Name: "three"})
	r.Add(manifest.Keyspace{ID: 4, Name: "four"})
	r.Drop(k, manifest.DroppedKeyspace{ID: 3, Name: "three", LastSeq: 10})
	if r.ByName("three") != nil || r.ByName("four") == nil || len(r.All()) != 1 {
		t.Error("the wrong one was dropped")
	}
	for oldest, want := range map[base.SeqNum][]uint64{0: nil, 9: nil, 10: nil, 11: {3}, 99: {3}} {
		if got := r.DroppedBefore(oldest); !slices.Equal(got, want) {
			t.Errorf("with changes from %d on, %v can be forgotten, want %v", oldest, got, want)
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
	r.Forget(r.DroppedBefore(11))
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
	err = r.Load([]manifest.Keyspace{
		{ID: 1, Name: "one", Merge: "last"}, {ID: 2, Name: "two", Merge: "lost"}, {ID: 3, Name: "three"},
	}, []manifest.DroppedKeyspace{{ID: 5, Name: "five"}})
	missing := new(UnknownOperatorError)
	if !errors.As(err, &missing) || missing.Keyspace != "two" || !errors.Is(err, ErrUnknownOperator) {
		t.Errorf("the error is %v", err)
	}
	if name, ok := r.Name(5); name != "five" || !ok {
		t.Errorf("keyspace 5 is called %q, %v", name, ok)
	}
	r.Drop(r.ByName("one"), manifest.DroppedKeyspace{ID: 1})
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
	byLevel := func(level int, _ bool) compress.Codec {
		if level == 0 {
			return compress.None
		}
		return compress.Small
	}
	same := func(int, bool) compress.Codec { return compress.Small }
	r := NewRegistry(Config{Codec: same, CodecFor: func(uint8) CodecPolicy { return byLevel }})
	if !r.SameCodec(nil, 0, false, 1, false) {
		t.Error("with one policy, the levels differ")
	}
	r.Add(manifest.Keyspace{ID: 1, Name: "own", Compression: 1})
	if r.SameCodec(nil, 0, false, 1, false) || r.SameCodec([]byte("\x01k"), 0, false, 1, false) {
		t.Error("the setting of a keyspace does not count")
	}
	if !r.SameCodec([]byte("\x00k"), 0, false, 1, false) || !r.SameCodec(nil, 1, false, 2, true) {
		t.Error("the setting of another keyspace counts")
	}
	if r.Codec([]byte("\x01k"))(0, false) != compress.None || r.Codec([]byte("\x02k"))(0, false) != compress.Small {
		t.Error("the codecs are mixed up")
	}
}
