package ledger

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

const (
	campaignLine = `{"campaign":{"ledger":1,"program":"v1","go":"go1","system":"linux/amd64","seed":7,"suites":["a","b"],"workers":2,"started":"2026-01-02T03:04:05Z"}}` + "\n"
	roundLine    = `{"round":{"suite":"a","seed":7,"ms":5,"counts":{"faults":3}}}` + "\n"
	failedLine   = `{"round":{"suite":"b","seed":8,"ms":6,"error":"row lost"}}` + "\n"
	endLine      = `{"end":{"complete":true,"ms":9,"failed":1,"suites":{"a":{"rounds":1,"failed":0,"ms":5,"counts":{"faults":3}},"b":{"rounds":1,"failed":1,"ms":6}}}}` + "\n"
	wholeText    = campaignLine + roundLine + failedLine + endLine
)

func readText(text string) (entries []Entry, tail Tail, err error) {
	tail, err = Read(strings.NewReader(text), func(e Entry) { entries = append(entries, e) })
	return entries, tail, err
}

func writeText(t testing.TB, entries []Entry) string {
	t.Helper()
	var file bytes.Buffer
	for _, e := range entries {
		if err := Write(&file, e); err != nil {
			t.Fatal(err)
		}
	}
	return file.String()
}

func TestReadGivesWhatWasWritten(t *testing.T) {
	entries, tail, err := readText(wholeText + wholeText)
	if err != nil || tail != (Tail{WholeBytes: int64(2 * len(wholeText))}) || len(entries) != 8 {
		t.Fatalf("%d entries, %+v, %v", len(entries), tail, err)
	}
	want := Entry{Round: &Round{Suite: "a", Seed: 7, MS: 5, Counts: map[string]int64{Faults: 3}}}
	if !reflect.DeepEqual(entries[5], want) {
		t.Errorf("read %+v", entries[5].Round)
	}
	if again := writeText(t, entries); again != wholeText+wholeText {
		t.Errorf("written again as\n%s", again)
	}
}

// TestTornLedger cuts a ledger at every byte, as a killed campaign may.
func TestTornLedger(t *testing.T) {
	for cut := range len(wholeText) {
		text := wholeText[:cut]
		entries, tail, err := readText(text)
		whole := strings.LastIndex(text, "\n") + 1
		want := Tail{WholeBytes: int64(whole), Torn: whole < cut}
		if err != nil || tail != want || len(entries) != strings.Count(text, "\n") {
			t.Fatalf("cut at %d: %d entries, %+v, %v", cut, len(entries), tail, err)
		}
	}
}

func TestReadTellsTheBadLine(t *testing.T) {
	line := func(old, new string) string {
		text := strings.Replace(wholeText, old, new, 1)
		if text == wholeText {
			t.Fatalf("%q is not there", old)
		}
		return text
	}
	for name, c := range map[string]struct{ text, want string }{
		"text without a newline": {"secret", `line 1: this is no ledger: "secret"`},
		"text":                   {"secret\n", "line 1: not a line of a ledger: "},
		"empty line":             {campaignLine + "\n" + roundLine, "line 2: not a line"},
		"torn in the middle":     {campaignLine + roundLine[:20] + "\n" + failedLine, "line 2: not a line"},
		"glued":                  {campaignLine + strings.TrimSuffix(roundLine, "\n") + failedLine, "line 2: not a line of a ledger: more"},
		"zeros":                  {campaignLine + "\x00\x00\x00", `line 2: this is no ledger: "\x00\x00\x00"`},
		"later version":          {line(`"ledger":1`, `"ledger":2,"new":true`), "line 1: the ledger has format version 2; this program reads version 1"},
		"no version":             {line(`"ledger":1,`, ``), "line 1: the ledger has format version 0"},
		"unknown member":         {line(`"ms":5,`, `"ms":5,"host":"x",`), "line 2: not a line of a ledger: json: unknown field \"host\""},
		"no campaign":            {roundLine, "line 1: it belongs to no campaign"},
		"after the end":          {wholeText + roundLine, "line 5: it belongs to no campaign"},
		"nothing":                {"{}\n", "line 1: it belongs to no campaign"},
		"nothing in a campaign":  {campaignLine + "{}\n", "line 2: it must be"},
		"two at once":            {line(`{"round":`, `{"end":{},"round":`), "line 2: it must be"},
		"no suites":              {line(`["a","b"]`, `[]`), "line 1: the campaign has no suites"},
		"suite twice":            {line(`["a","b"]`, `["a","a"]`), `line 1: the campaign has the suite "a", which`},
		"no workers":             {line(`"workers":2`, `"workers":0`), "line 1: the campaign has 0 workers"},
		"foreign suite":          {line(`"suite":"b"`, `"suite":"c"`), `line 3: a round of the suite "c", but the campaign has a, b`},
		"negative time":          {line(`"ms":5`, `"ms":-5`), "line 2: a round of -5 milliseconds"},
		"negative count":         {line(`"faults":3`, `"faults":-3`), `line 2: a round with a count of -3 "faults"`},
		"huge count":             {line(`"faults":3`, `"faults":9000000000000000000`), "line 2: a round with a count of"},
		"changed count":          {line(`"faults":3`, `"faults":4`), "line 4: the totals of the suite a are not"},
		"missing round":          {campaignLine + roundLine + endLine, "line 3: 1 rounds are said to have failed, and 0 did"},
		"missing suite":          {line(`,"b":{"rounds":1,"failed":1,"ms":6}`, ``), "line 4: the end tells of 1 suites"},
		"long campaign":          {line(`"ms":9`, `"ms":-9`), "line 4: a campaign of -9 milliseconds"},
		"long line":              {campaignLine + strings.Repeat(" ", lineBytesMax) + "\n", "line 2: it has more than 1048576 bytes"},
	} {
		if _, _, err := readText(c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	disk := errors.New("disk failed")
	_, err := Read(io.MultiReader(strings.NewReader(campaignLine), iotest.ErrReader(disk)), func(Entry) {})
	if !errors.Is(err, disk) || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("a failed read gives %v", err)
	}
}

// TestLongFailureIsCut writes down a failure that is longer than lines may be.
func TestLongFailureIsCut(t *testing.T) {
	for shift := range 4 {
		r := &Round{Suite: "a", Error: strings.Repeat("x", shift) + strings.Repeat("\u2028é", lineBytesMax)}
		text := campaignLine + writeText(t, []Entry{{Round: r}})
		entries, _, err := readText(text)
		if err != nil || len(entries) != 2 {
			t.Fatal(err)
		}
		short := entries[1].Round.Error
		kept, ok := strings.CutSuffix(short, " (the rest is left out)")
		if !ok || !utf8.ValidString(short) || !strings.HasPrefix(r.Error, kept) || len(kept) < errorBytesMax-3 {
			t.Errorf("kept %d bytes: %.20q ... %q", len(short), short, short[len(short)-40:])
		}
	}
	if r := strings.Repeat("\x00", errorBytesMax); len(writeText(t, []Entry{{Round: &Round{Error: r}}})) > lineBytesMax {
		t.Error("a failure of control characters is too long to be read")
	}
}

func TestReportAddsUp(t *testing.T) {
	var r Report
	later := strings.Replace(strings.Replace(campaignLine, "2026-01-02", "2026-02-02", 1), `"program":"v1"`, `"program":"v2"`, 1)
	early := strings.Replace(endLine, "true", "false", 1)
	for _, text := range []string{later + roundLine, wholeText, campaignLine + roundLine + failedLine + early, strings.Replace(campaignLine, `"a","b"`, `"c"`, 1)} {
		if _, err := Read(strings.NewReader(text), r.Add); err != nil {
			t.Fatal(err)
		}
	}
	if r.Campaigns != 4 || r.CutShort != 3 || len(r.Failures) != 2 || r.Failures[0].Error != "row lost" {
		t.Errorf("%+v", r)
	}
	if r.First.Format(time.DateOnly) != "2026-01-02" || r.Last.Format(time.DateOnly) != "2026-02-02" {
		t.Errorf("from %v to %v", r.First, r.Last)
	}
	if want := []string{"v2, go1, linux/amd64", "v1, go1, linux/amd64"}; !slices.Equal(r.Programs, want) {
		t.Errorf("programs %q", r.Programs)
	}
	if want := (Totals{Rounds: 5, Failed: 2, MS: 27, Counts: map[string]int64{Faults: 9}}); !r.Totals().Equal(want) {
		t.Errorf("totals %+v", r.Totals())
	}
	if len(r.Suites) != 3 || r.Suites[2].Name != "c" || r.Suites[0].Repeated != 2 || r.Suites[0].Seeds.String() != "7" ||
		r.Suites[1].Repeated != 1 || r.Suites[1].Seeds.String() != "8" {
		t.Errorf("suites %+v", r.Suites)
	}
}

func TestTotalsClone(t *testing.T) {
	var totals Totals
	totals.Add(&Round{Counts: map[string]int64{Faults: 1}})
	before := totals.Clone()
	totals.Merge(before)
	if before.Counts[Faults] != 1 || totals.Counts[Faults] != 2 || totals.Rounds != 2 {
		t.Errorf("%+v, then %+v", before, totals)
	}
}

// TestSeeds compares with a map.
func TestSeeds(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var s Seeds
		known := map[uint64]bool{}
		for range 300 {
			// Both ends of the numbers are where additions overflow.
			n := rng.Uint64N(200) - 100
			if got := s.Add(n); got == known[n] {
				t.Fatalf("seed %d: adding %d to %v says %v", seed, n, s.ranges, got)
			}
			known[n] = true
			var listed []uint64
			for i, r := range s.ranges {
				if i > 0 && s.ranges[i-1].last+1 >= r.first || r.first > r.last {
					t.Fatalf("seed %d: bad ranges %v", seed, s.ranges)
				}
				for k := r.first; ; k++ {
					listed = append(listed, k)
					if k == r.last {
						break
					}
				}
			}
			if want := slices.Sorted(maps.Keys(known)); !slices.Equal(listed, want) {
				t.Fatalf("seed %d: %v, not %v", seed, s.ranges, want)
			}
		}
	}
}

func TestSeedsAsText(t *testing.T) {
	var s Seeds
	for _, c := range []struct {
		seed uint64
		want string
	}{
		{5, "5"}, {7, "5, 7"}, {6, "5..7"}, {1, "1, 5..7"}, {math.MaxUint64, "1, 5..7, 18446744073709551615"},
		{20, "1, 5..7, 20, 18446744073709551615"}, {30, "1..18446744073709551615 in 5 ranges"},
	} {
		s.Add(c.seed)
		if got := s.String(); got != c.want {
			t.Errorf("with %d it is %q, not %q", c.seed, got, c.want)
		}
	}
	if empty := (&Seeds{}).String(); empty != "" {
		t.Errorf("no seeds are %q", empty)
	}
}

func TestSortedPutsWhatMattersFirst(t *testing.T) {
	counts := map[string]int64{Operations: 1, "zebras": 1, Faults: 1, "apes": 1, States: 1}
	if got := Sorted(counts); !slices.Equal(got, []string{States, Faults, "apes", "zebras", Operations}) {
		t.Errorf("sorted %q", got)
	}
}

func TestTally(t *testing.T) {
	var tally Tally
	if tally.Counts() != nil || tally.Count(Flips) != 0 {
		t.Error("a new tally has counts")
	}
	tally.Add(Flips, 2)
	counts := tally.Counts()
	tally.Add(Flips, 3)
	if tally.Count(Flips) != 5 || counts[Flips] != 2 {
		t.Errorf("%d now, %d before", tally.Count(Flips), counts[Flips])
	}
}

// FuzzRead: what is read, written again and read again is the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte(wholeText))
	f.Add([]byte(wholeText + campaignLine + roundLine[:30]))
	f.Add([]byte(`{"round":{"suite":"a","seed":18446744073709551615,"ms":1e3,"error":"\ud800"}}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var entries, again []Entry
		tail, err := Read(bytes.NewReader(text), func(e Entry) { entries = append(entries, e) })
		if tail.WholeBytes > int64(len(text)) || err == nil && tail.Torn != (tail.WholeBytes < int64(len(text))) {
			t.Fatalf("%d bytes: %+v, %v", len(text), tail, err)
		}
		var first, second Report
		for _, e := range entries {
			first.Add(e)
		}
		written := writeText(t, entries)
		tail, err = Read(strings.NewReader(written), func(e Entry) {
			again = append(again, e)
			second.Add(e)
		})
		if err != nil || tail.Torn || writeText(t, again) != written {
			t.Fatalf("%q was written again as %q: %v", text, written, err)
		}
		if !first.Totals().Equal(second.Totals()) || first.CutShort != second.CutShort {
			t.Fatalf("%+v became %+v", first, second)
		}
	})
}
