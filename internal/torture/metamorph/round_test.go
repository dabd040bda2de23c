package metamorph

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestRounds runs histories under all option sets, some on the disk.
func TestRounds(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var tally ledger.Tally
			if err := (Suite{Dir: dir}).Round(context.Background(), seed, &tally); err != nil {
				t.Fatal(err)
			}
			if tally.Count(ledger.Histories) != sets || tally.Count(ledger.Operations) < sets*fewestOperations {
				t.Errorf("the tally is %v", tally.Counts())
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("the round left %v behind, %v", left, err)
			}
		})
	}
}

// TestFrozen runs the histories of testdata under the option sets of several
// seeds. Each is what was left of a random history that met a fault, planted or
// not, as its comment says.
func TestFrozen(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	seeds := uint64(4)
	if testing.Short() {
		seeds = 1
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h, err := script.Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for seed := range seeds {
			if err := (Suite{}).run(context.Background(), h, seed, everySet()); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func TestRoundEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var tally ledger.Tally
	if err := (Suite{}).Round(ctx, 1, &tally); err != nil || len(tally.Counts()) > 0 {
		t.Errorf("%v, %v", err, tally.Counts())
	}
}

// TestFailureIsShrunk puts two operations into a history that fail only
// together: the second is nonsense, but nothing is done without the first.
func TestFailureIsShrunk(t *testing.T) {
	h := Generate(rand.New(rand.NewPCG(3, 3)), 300)
	h = slices.DeleteFunc(h, func(o script.Op) bool { return o.Kind == script.Reopen || o.Kind == script.ReadOnly })
	h = slices.Insert(h, 200, script.Op{Kind: script.Move, Slot: 99, Parts: []script.Op{{Kind: script.Next}, {Kind: script.Put}, {Kind: script.Prev}}})
	h = slices.Insert(h, 100, script.Op{Kind: script.OpenIterator, Slot: 99})
	err := Suite{}.run(context.Background(), h, 3, everySet())
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("a move that is none: %v", err)
	}
	if f.at != 201 || !strings.Contains(err.Error(), "seed 3, option set 0 (memory: budget ") ||
		!strings.Contains(err.Error(), "operation 202, move slot=99; next; put; prev; end: move 2, put: it is no move") {
		t.Errorf("the failure says %v", err)
	}
	want := "open-iterator slot=99\nmove slot=99\n\tput\nend\n"
	if short := (Suite{}).shrink(context.Background(), f); short.Script.String() != want {
		t.Errorf("shrunk to\n%v\nnot\n%v", short.Script, want)
	}
}

// TestJudgeFindsEveryDifference breaks an answer in each way.
func TestJudgeFindsEveryDifference(t *testing.T) {
	want := []Line{{Key: "a", Value: "1"}, {Note: noteEnd}}
	for _, c := range []struct {
		lines []Line
		fault string
	}{
		{want, ""},
		{want[:1], "answers only 1 of 2 lines; the next would be (end)"},
		{append(slices.Clone(want), Line{Key: "b"}), `answers "b"="" beyond the 2 lines expected`},
		{[]Line{{Key: "a", Value: "2"}}, `line 1 of 2 is "a"="2", expected "a"="1"`},
		{[]Line{{Key: "b", Value: "1"}}, `line 1 of 2 is "b"="1", expected "a"="1"`},
		{[]Line{{Key: "a", Value: "1", Note: "x"}}, `line 1 of 2 is "a"=(x), expected "a"="1"`},
	} {
		j := judge{want: want}
		var err error
		for _, l := range c.lines {
			if err = j.line([]byte(l.Key), []byte(l.Value), l.Note); err != nil {
				break
			}
		}
		if err == nil {
			err = j.end()
		}
		if got := fmt.Sprint(err); got != c.fault && (c.fault != "" || err != nil) {
			t.Errorf("%v: %v, expected %v", c.lines, err, c.fault)
		}
	}
	j := judge{}
	if err := j.err(errors.New("the disk is gone")); err == nil {
		t.Error("an error that no operation may answer is taken for an answer")
	}
}

// TestTranscriptsTellRunsApart checks that what the model does not know is
// compared between runs.
func TestTranscriptsTellRunsApart(t *testing.T) {
	a := []step{{1, "x"}, {2, "y"}, {3, "z"}}
	for _, c := range []struct {
		b  []step
		at int
	}{
		{a, -1}, {[]step{{1, "x"}, {2, "w"}, {3, "z"}}, 1}, {[]step{{0, "x"}, {2, "y"}, {3, "z"}}, 0},
	} {
		if at := firstDifference(a, c.b); at != c.at {
			t.Errorf("%v and %v differ at %d, not %d", a, c.b, at, c.at)
		}
	}
}

// TestOptionSetsDiffer opens a database with each option set of some rounds,
// and checks that the sets of each round have several values of each option.
func TestOptionSetsDiffer(t *testing.T) {
	for seed := range uint64(5) {
		all := settingsOf(seed, 0)
		blocks, compressions, endings := map[int]bool{}, map[lightning.Compression]bool{}, map[ending]bool{}
		for _, s := range all {
			o := s.options
			o.FS = memfs.New()
			db, err := lightning.Open("db", &o)
			if err != nil {
				t.Fatalf("%v: %v", s, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			blocks[o.Tree.BlockBytes], compressions[o.Compression], endings[s.before] = true, true, true
		}
		if len(blocks) != sets || len(compressions) != 4 || len(endings) != sets {
			t.Errorf("seed %d: %v", seed, all)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	seen := map[script.Kind]bool{}
	for seed := range uint64(30) {
		h := Generate(rand.New(rand.NewPCG(seed, 0)), 300)
		again, err := script.Parse(h.String())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again.String() != h.String() {
			t.Fatalf("seed %d: read back as\n%s\nnot\n%s", seed, again, h)
		}
		for _, o := range h {
			seen[o.Kind] = true
			for _, part := range o.Parts {
				seen[part.Kind] = true
			}
		}
	}
	for kind := range script.Kinds {
		if seen[kind] == (kind == script.Merge || kind == script.PutLong || kind == script.PutGone ||
			kind == script.Transact) {
			t.Errorf("histories have a %v: %v", kind, seen[kind])
		}
	}
}
