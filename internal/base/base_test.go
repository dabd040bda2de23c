package base

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func randomKey(rng *rand.Rand) []byte {
	key := make([]byte, 1+rng.IntN(12))
	for i := range key {
		key[i] = []byte{0, 1, 'a', 0xff}[rng.IntN(4)]
	}
	return key
}

// TestHeadOrdersLikeKeys checks what searches rely on: a smaller head means a
// smaller key, and keys with equal heads need a full comparison.
func TestHeadOrdersLikeKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		a, b := randomKey(rng), randomKey(rng)
		heads, keys := cmp.Compare(Head(a), Head(b)), bytes.Compare(a, b)
		if heads != 0 && heads != keys {
			t.Fatalf("heads of %x and %x compare as %d, the keys as %d", a, b, heads, keys)
		}
	}
}

func TestCompare(t *testing.T) {
	newer, older := MakeTrailer(9, KindSet), MakeTrailer(8, KindRangeDelete)
	for _, c := range []struct {
		aKey     string
		aTrailer Trailer
		bKey     string
		bTrailer Trailer
		want     int
	}{
		{"a", older, "b", newer, -1},
		{"b", newer, "a", older, 1},
		{"a", newer, "a", older, -1}, // the newest version comes first
		{"a", older, "a", newer, 1},
		{"a", newer, "a", newer, 0},
		{"a", older, "a\x00", newer, -1},
	} {
		if got := Compare([]byte(c.aKey), c.aTrailer, []byte(c.bKey), c.bTrailer); got != c.want {
			t.Errorf("compare %q %v with %q %v = %d, want %d", c.aKey, c.aTrailer, c.bKey, c.bTrailer, got, c.want)
		}
	}
}

func TestTrailer(t *testing.T) {
	for _, seq := range []SeqNum{0, 1, SeqNumMax} {
		for _, kind := range []Kind{KindDelete, KindSet, KindRangeDelete} {
			if tr := MakeTrailer(seq, kind); tr.Seq() != seq || tr.Kind() != kind {
				t.Errorf("%d %v became %v", seq, kind, tr)
			}
		}
	}
	if Kind(0).Valid() || Kind(99).Valid() || !KindSet.Valid() {
		t.Error("the valid kinds are not the known ones")
	}
}

func TestSuccessorIsTheNextKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 10_000 {
		key, other := randomKey(rng), randomKey(rng)
		next := Successor(nil, key)
		if bytes.Compare(key, next) >= 0 {
			t.Fatalf("the successor of %x is %x", key, next)
		}
		if bytes.Compare(key, other) < 0 && bytes.Compare(other, next) < 0 {
			t.Fatalf("%x lies between %x and its successor", other, key)
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, n := range []FileNum{1, 999_999, 1_000_000, 1 << 62} {
		name := FileName(n, ".sst")
		if got, ok := ParseFileName(name, ".sst"); !ok || got != n {
			t.Errorf("%s reads as %d, %v", name, got, ok)
		}
		if _, ok := ParseFileName(name, ".wal"); ok {
			t.Errorf("%s reads as a log segment", name)
		}
	}
	for _, name := range []string{"", ".sst", "1.sst", "000000.sst", "0000001.sst", "+00001.sst", "99999999999999999999.sst"} {
		if n, ok := ParseFileName(name, ".sst"); ok {
			t.Errorf("%q reads as %d", name, n)
		}
	}
}

// TestHashIsFrozen holds the hash to the values that are in files.
func TestHashIsFrozen(t *testing.T) {
	for key, want := range map[string]uint64{"": 0x2d06800538d394c2, "lightning": 0x228c4c63a2002ea} {
		if got := Hash([]byte(key)); got != want {
			t.Errorf("hash of %q is %#x, want %#x", key, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	finding := errors.New("checksum mismatch")
	err := fmt.Errorf("get: %w", &CorruptionError{File: "000001.sst", Offset: 64, Kind: "data block", Err: finding})
	if !errors.Is(err, ErrCorrupted) || !errors.Is(err, finding) || errors.Is(err, ErrNotFound) {
		t.Errorf("%v matches the wrong things", err)
	}
	if want := "get: corruption in 000001.sst: data block at offset 64: checksum mismatch"; err.Error() != want {
		t.Errorf("message is %q", err)
	}
}

func TestCommonPrefix(t *testing.T) {
	long := strings.Repeat("abcdefgh", 4)
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "a", 0}, {"a", "b", 0}, {"ab", "a", 1}, {"abcdefgh", "abcdefgX", 7},
		{long, long, 32}, {long, long + "x", 32}, {long + "x", long + "y", 32}, {long[:20] + "!", long, 20},
	} {
		if got := CommonPrefix([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("%q and %q have %d bytes in common, want %d", c.a, c.b, got, c.want)
		}
		if got := CommonPrefix([]byte(c.b), []byte(c.a)); got != c.want {
			t.Errorf("%q and %q have %d bytes in common, want %d", c.b, c.a, got, c.want)
		}
	}
}
