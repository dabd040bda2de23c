package script

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
	"github.com/lightningdb/lightning/vfs/memfs"
)

func TestTextRoundTrip(t *testing.T) {
	for seed := range uint64(50) {
		s := Generate(rand.New(rand.NewPCG(seed, 0)), 60)
		again, err := Parse(s.String())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if again.String() != s.String() {
			t.Fatalf("seed %d: read back as\n%s\nnot\n%s", seed, again, s)
		}
		if len(s.Possible()) != len(s) {
			t.Fatalf("seed %d: a generated script holds impossible operations:\n%s", seed, s)
		}
	}
}

func TestParseNamesTheMistake(t *testing.T) {
	for text, want := range map[string]string{
		"\nfly":                         `line 2: "fly": unknown operation fly`,
		"put key":                       "key: it needs a value",
		"put \"a\"":                     "there is no such field",
		"put key=\"a\" value=\"b":       "value: a quote has no end",
		"put size=3":                    "size: there is no such field",
		"put value=\"a\"*x":             "value: ",
		"put value=\"a\"~9999999999":    "value: length 9999999999",
		"put count=x":                   "count: ",
		"flush fast":                    "fast: there is no such field",
		"batch wait=later\nend":         "wait: unknown durability later",
		"batch\nflush\nend":             "line 2: a flush is no part of a batch",
		"multi-get\nput key=\"a\"\nend": "line 2: a put is no part of a multi-get",
		"next":                          "line 1: a next stands in a move",
		"batch wait=sync":               "the last batch has no end",
		"move slot=1\nnext":             "the last move has no end",
		"end":                           "unknown operation end",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

// TestSessionAgreesWithModel runs scripts and compares what the database then
// holds with what the model holds, and the history with both.
func TestSessionAgreesWithModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		o := Options(rng)
		o.FS = memfs.New()
		s := NewSession(o)
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		h := NewHistory(model.State{})
		for _, op := range Generate(rng, 60) {
			if err := s.Run(&op, h); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		found, err := s.Read()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := h.Now().Check(found); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func parse(t *testing.T, text string) Script {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHistoryRefusesWhatMayNotBe(t *testing.T) {
	put := func(k string, d lightning.Durability) *Op {
		return &Op{Kind: Put, Key: Data{Text: k}, Value: Data{Text: "1"}, Wait: WaitFor(d)}
	}
	h := NewHistory(model.State{})
	run := func(o *Op) {
		h.Begin(o)
		h.Acknowledge(o)
	}
	run(put("a", lightning.DurabilitySync))
	run(put("b", lightning.DurabilityAsync))
	run(put("c", lightning.DurabilityBuffered))
	run(&Op{Kind: CreateSpace, Space: "s"})
	state := func(keys string) model.State {
		var rows model.Store
		for _, k := range keys {
			rows = rows.Put(string(k), "1")
		}
		return model.State{}.With("", rows).With("s", model.Store{})
	}
	for keys, ok := range map[string]bool{"": false, "a": true, "ab": true, "abc": true, "ac": false,
		"b": false, "abcd": false} {
		if err := h.Allowed().Check(state(keys)); (err == nil) != ok {
			t.Errorf("%q: %v", keys, err)
		}
	}
	if err := h.Allowed().Check(state("abc").Without("s")); err == nil {
		t.Error("a keyspace that was made may be gone")
	}
	if err := h.Allowed().Check(state("abc").With("x", model.Store{})); err == nil {
		t.Error("a keyspace may be there that nobody made")
	}
	mark := h.Mark()
	run(&Op{Kind: CreateSpace, Space: "brief"})
	run(&Op{Kind: DropSpace, Space: "brief"})
	if err := h.Since(mark).Check(state("abc").With("brief", model.Store{})); err != nil {
		t.Errorf("a keyspace that came and went since the mark: %v", err)
	}
	failed := put("d", lightning.DurabilitySync)
	h.Begin(failed)
	h.Fail(failed)
	run(put("e", lightning.DurabilitySync))
	for keys, ok := range map[string]bool{"abce": true, "abcde": true, "abcd": false, "abc": false} {
		if err := h.Allowed().Check(state(keys)); (err == nil) != ok {
			t.Errorf("after a failed put, %q: %v", keys, err)
		}
	}
}

// TestMinimize takes out of a hundred numbers all but the guilty ones, within
// its runs.
func TestMinimize(t *testing.T) {
	all := make([]int, 100)
	for i := range all {
		all[i] = i
	}
	runs := 0
	guilty := func(rest []int) bool {
		runs++
		return slices.Contains(rest, 17) && slices.Contains(rest, 18) && slices.Contains(rest, 80)
	}
	if got := Minimize(all, 1000, guilty); !slices.Equal(got, []int{17, 18, 80}) {
		t.Errorf("kept %v", got)
	}
	if all[17] != 17 || len(all) != 100 {
		t.Errorf("the list became %v", all)
	}
	enough := runs
	runs = 0
	got := Minimize(all, enough/3, guilty)
	if runs > enough/3 || !guilty(got) || len(got) == 3 {
		t.Errorf("%d runs of %d, kept %v", runs, enough/3, got)
	}
	if got := Minimize(all, 1000, func([]int) bool { return true }); len(got) != 0 {
		t.Errorf("kept %v though nothing is guilty", got)
	}
}

// TestShrinkFindsThePair gives the shrinker a fault that needs two operations,
// one of them in a batch.
func TestShrinkFindsThePair(t *testing.T) {
	full := Generate(rand.New(rand.NewPCG(7, 7)), 40)
	full[11] = parse(t, "batch wait=sync\n put key=\"x\" value=\"1\"\n put key=\"guilty\" value=\"2\"*5000\n"+
		" delete key=\"y\"\nend")[0]
	full[30] = Op{Kind: Flush}
	fails := func(s Script) bool {
		text := s.String()
		_, after, found := strings.Cut(text, "guilty")
		return found && strings.Contains(after, "\nflush\n")
	}
	got := Shrink(full, time.Minute, fails)
	want := "batch wait=sync\n\tput key=\"guilty\" value=\"2\"\nend\nflush\n"
	if got.String() != want {
		t.Fatalf("shrunk to\n%s\nnot\n%s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("put in=\"s\" key=\"a\"*7 value=\"b\"~3\nbatch wait=sync\n delete key=\"x\"\nend\nscan reverse count=3")
	f.Add("merge in=\"s\" key=\"a\" value=\"b\"*3 wait=async\nmove slot=1\n seek-ge key=\"x\"\nend\nreopen")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q became %q: %v", s, again, err)
		}
	})
}
