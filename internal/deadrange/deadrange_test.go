package deadrange

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/property"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func (m *Map) String() string {
	var parts []string
	for _, r := range m.known.Load().ranges {
		text := fmt.Sprintf("%s-%s@%d/%d", r.Lo, bytes.ReplaceAll(r.Hi, []byte{0}, []byte("+")), r.Seq, r.At)
		if r.pending {
			text = fmt.Sprintf("%s-%s?", r.Lo, r.Hi)
		}
		parts = append(parts, text)
	}
	return strings.ReplaceAll(strings.Join(parts, " "), "\x00", "+")
}

func expect(t *testing.T, m *Map, want string) {
	t.Helper()
	if got := m.String(); got != want {
		t.Errorf("the map is %q, want %q", got, want)
	}
}

func note(m *Map, lo, hi string) { m.Note([]byte(lo), []byte(hi)) }

func TestLifeOfARange(t *testing.T) {
	m := New()
	if _, _, ok := m.Begin(); ok {
		t.Error("something began that was not noted")
	}
	note(m, "b", "f")
	note(m, "p", "q") // comes while another waits
	<-m.Noted()
	lo, hi, ok := m.Begin()
	if !ok || string(lo) != "b" || string(hi) != "f" {
		t.Fatalf("began %q-%q, %v", lo, hi, ok)
	}
	expect(t, m, "b-f?")
	if m.Find([]byte("c"), 100, 100) != nil {
		t.Error("what is pending was found")
	}
	m.Wrote([]byte("d"))
	expect(t, m, "b-d? d+-f?")
	m.Settle([]byte("e"), 7, 3)
	expect(t, m, "b-d@7/3 d+-e@7/3")
	for _, c := range []struct {
		key  string
		seq  base.SeqNum
		at   base.Instant
		want bool
	}{
		{"b", 7, 3, true}, {"c", 8, 4, true}, {"d", 9, 9, false}, {"d\x00", 7, 3, true}, {"e", 9, 9, false},
		{"a", 9, 9, false}, {"c", 6, 9, false}, {"c", 9, 2, false},
	} {
		if got := m.Find([]byte(c.key), c.seq, c.at) != nil; got != c.want {
			t.Errorf("find %q as of %d, %d: %v", c.key, c.seq, c.at, got)
		}
	}
	m.Wrote([]byte("b"))
	m.Wrote([]byte("z"))
	expect(t, m, "b+-d@7/3 d+-e@7/3")
	note(m, "c", "d") // known
	if _, _, ok := m.Begin(); ok {
		t.Error("what is known was noted")
	}
	note(m, "a", "e")
	m.Begin()
	m.Abandon()
	expect(t, m, "b+-d@7/3 d+-e@7/3")
	note(m, "a", "e")
	m.Begin()
	m.Settle([]byte("e"), 9, 9)
	expect(t, m, "a-e@9/9")
	m.Clear()
	m.Clear()
	expect(t, m, "")
}

// What is noted at an end of an active range makes that larger; until it is settled the
// active one stands.
func TestRangesGrow(t *testing.T) {
	m := New()
	settle := func(lo, hi, end string) {
		t.Helper()
		if !m.Note([]byte(lo), []byte(hi)) {
			t.Fatalf("%s-%s was not taken", lo, hi)
		}
		m.Begin()
		m.Settle([]byte(end), 5, 5)
	}
	settle("c", "f", "f")
	settle("f", "h", "h")
	expect(t, m, "c-h@5/5")
	settle("g", "k", "k")
	expect(t, m, "c-k@5/5")
	settle("a", "d", "x")
	expect(t, m, "a-k@5/5")
	settle("l", "m", "m") // a gap is between
	expect(t, m, "a-k@5/5 l-m@5/5")
	settle("k", "l", "m")
	expect(t, m, "a-m@5/5")
	if got := m.Active(); len(got) != 1 || string(got[0].Hi) != "m" {
		t.Errorf("active are %v", got)
	}
	if !m.Note([]byte("b"), []byte("c")) || !m.Note([]byte("m"), []byte("n")) || m.Note([]byte("p"), []byte("q")) {
		t.Error("what is taken is not what is free or known")
	}
	if !m.Note([]byte("n"), []byte("o")) {
		t.Error("what meets the one that waits was not taken")
	}
	if lo, hi, _ := m.Begin(); string(lo) != "a" || string(hi) != "o" {
		t.Errorf("began %s-%s", lo, hi)
	}
	expect(t, m, "a-m@5/5 a-o?")
	if got := m.Active(); len(got) != 1 {
		t.Errorf("active are %v, of which one is pending", got)
	}
}

func TestBounds(t *testing.T) {
	m := New()
	note(m, "b", "b")
	note(m, "c", "b")
	note(m, strings.Repeat("x", 2000), strings.Repeat("y", 3000))
	if _, _, ok := m.Begin(); ok {
		t.Error("what is empty or long was noted")
	}
	for i := range 3 * maxRanges {
		note(m, fmt.Sprintf("%04d", i), fmt.Sprintf("%04d+", i))
		m.Begin()
		m.Settle([]byte("9"), 1, 1)
	}
	ranges := m.known.Load().ranges
	if len(ranges) != maxRanges || string(ranges[0].Lo) != fmt.Sprintf("%04d", 2*maxRanges) {
		t.Errorf("%d ranges are kept, from %q on", len(ranges), ranges[0].Lo)
	}
}

// Against a model that knows of each key when it was last written: whatever is noted,
// written and scanned, a range that is found holds no row of the reader.
func TestAgainstAModel(t *testing.T) {
	property.Check(t, func(t *property.T) {
		m := New()
		key := property.SampledFrom(strings.Split("a b c d e f g h", " "))
		rows := map[string]base.SeqNum{} // written at; never deleted here
		seq, pending, from := base.SeqNum(1), false, ""
		for range property.Times(t, 1, 60) {
			k, l := key.Draw(t, "key"), key.Draw(t, "other")
			switch property.IntRange(0, 4).Draw(t, "step") {
			case 0:
				note(m, k, l)
			case 1:
				if !pending {
					var lo []byte
					lo, _, pending = m.Begin()
					from = string(lo)
				}
			case 2:
				if pending {
					end := "z"
					for row := range rows {
						if row >= from {
							end = min(end, row)
						}
					}
					m.Settle([]byte(end), seq, 0)
					pending = false
				}
			case 3:
				seq++
				m.Wrote([]byte(k))
				rows[k] = seq
			case 4:
				at := base.SeqNum(property.IntRange(1, int(seq)).Draw(t, "read"))
				if r := m.Find([]byte(k), at, 0); r != nil {
					for row, written := range rows {
						if written <= at && r.holds([]byte(row)) {
							t.Fatalf("as of %d %q is a row, and the map is %v", at, row, m)
						}
					}
				}
			}
		}
	})
}

func BenchmarkWrote(b *testing.B) {
	for _, n := range []int{0, 1, maxRanges} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := New()
			for i := range n {
				note(m, fmt.Sprintf("%04d", i), fmt.Sprintf("%04d+", i))
				m.Begin()
				m.Settle([]byte("9"), 1, 1)
			}
			key := []byte("z")
			for b.Loop() {
				m.Wrote(key)
			}
		})
	}
}
