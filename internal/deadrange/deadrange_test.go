package deadrange

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/leak"
	"github.com/lightningdb/lightning/internal/property"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func (m *Map) forget() {
	m.Upset()
	m.Calm()
}

func (m *Map) String() string {
	var parts []string
	for _, r := range m.known.Load().ranges {
		text := fmt.Sprintf("%s-%s?", r.Lo, r.Hi)
		if r.proof == 0 {
			text = fmt.Sprintf("%s-%s@%d/%d", r.Lo, r.Hi, r.Seq, r.At)
		}
		for o := r.older; o != nil; o = o.older {
			text += fmt.Sprintf("<%s-%s@%d/%d", o.Lo, o.Hi, o.Seq, o.At)
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

// nothingAdded is of a map beside which nobody writes.
func nothingAdded([]byte, []byte, base.SeqNum) bool { return false }

func TestLifeOfARange(t *testing.T) {
	m := New(nothingAdded)
	if _, ok := m.Begin(); ok {
		t.Error("something began that was not noted")
	}
	note(m, "b", "f")
	note(m, "p", "q") // comes while another waits
	<-m.Noted()
	p, ok := m.Begin()
	if !ok || string(p.Lo) != "b" || string(p.Hi) != "f" {
		t.Fatalf("began %q-%q, %v", p.Lo, p.Hi, ok)
	}
	expect(t, m, "b-f?")
	if m.Find([]byte("c"), 100, 100) != nil {
		t.Error("what is pending was found")
	}
	m.Wrote([]byte("d"))
	expect(t, m, "b-d? d+-f?")
	m.Settle(p, []byte("e"), 7, 3)
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
	if _, ok := m.Begin(); ok {
		t.Error("what is known was noted")
	}
	note(m, "a", "e")
	p, _ = m.Begin()
	m.Abandon(p)
	expect(t, m, "b+-d@7/3 d+-e@7/3")
	note(m, "a", "e")
	p, _ = m.Begin()
	m.Settle(p, []byte("e"), 9, 9)
	expect(t, m, "a-e@9/9<b+-d@7/3")
	m.forget()
	m.forget()
	expect(t, m, "")
}

// settleNoted has what is noted become active up to a key.
func settleNoted(t testing.TB, m *Map, lo, hi, end string) {
	t.Helper()
	if !m.Note([]byte(lo), []byte(hi)) {
		t.Fatalf("%s-%s was not taken", lo, hi)
	}
	if p, ok := m.Begin(); ok {
		m.Settle(p, []byte(end), 5, 5)
	}
}

// What is noted beside an active range makes that larger; until it is settled the
// active one stands.
func TestRangesGrow(t *testing.T) {
	m := New(nothingAdded)
	settleNoted(t, m, "c", "f", "f")
	settleNoted(t, m, "f", "h", "h")
	expect(t, m, "c-h@5/5")
	settleNoted(t, m, "g", "k", "k")
	expect(t, m, "c-k@5/5")
	settleNoted(t, m, "a", "d", "x")
	expect(t, m, "a-k@5/5")
	settleNoted(t, m, "l", "m", "m") // a gap is between
	expect(t, m, "a-k@5/5 l-m@5/5")
	settleNoted(t, m, "k", "l", "m")
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
	if p, _ := m.Begin(); string(p.Lo) != "m" || string(p.Hi) != "o" {
		t.Errorf("began %s-%s", p.Lo, p.Hi)
	}
	expect(t, m, "a-m@5/5 m-o?")
	if got := m.Active(); len(got) != 1 {
		t.Errorf("active are %v, of which one is pending", got)
	}
}

// prove has m prove a range as of seq, after a walk that has all up to then.
func prove(m *Map, lo, hi string, seq base.SeqNum) {
	m.Prove(m.NewWalk(seq), []byte(lo), []byte(hi), seq, 0)
}

// Who has walked over a range himself has it known at once, where nobody has written there
// meanwhile; otherwise it is a hint.
func TestProve(t *testing.T) {
	var m *Map
	var asked []string
	added := func([]byte, []byte, base.SeqNum) bool { return false }
	m = New(func(lo, hi []byte, after base.SeqNum) bool {
		asked = append(asked, fmt.Sprintf("%s-%s after %d in %v", lo, hi, after, m))
		return added(lo, hi, after)
	})
	w := m.NewWalk(9)
	m.Prove(w, []byte("b"), []byte("d"), 7, 1)
	expect(t, m, "b-d@7/1")
	if len(asked) != 1 || asked[0] != "b-d after 9 in b-d?" {
		t.Errorf("asked for %q", asked)
	}
	added = func([]byte, []byte, base.SeqNum) bool { return true }
	prove(m, "d", "f", 8)
	expect(t, m, "b-d@7/1")
	if p, ok := m.Begin(); !ok || string(p.Lo) != "d" || string(p.Hi) != "f" {
		t.Errorf("noted are %q-%q, %v", p.Lo, p.Hi, ok)
	} else {
		m.Abandon(p)
	}
	added = func([]byte, []byte, base.SeqNum) bool { m.Wrote([]byte("e")); return false }
	prove(m, "d", "f", 8)
	expect(t, m, "b-e@8/1<b-d@7/1 e+-f@8/0")
	prove(m, "x", "x", 8)
	prove(m, strings.Repeat("x", 2000), strings.Repeat("y", 3000), 8)
	expect(t, m, "b-e@8/1<b-d@7/1 e+-f@8/0")
}

// A walk that was under way, or began, while something was written that may be anywhere
// proves nothing.
func TestUpsets(t *testing.T) {
	for when, upset := range map[string]func(m *Map) Walk{
		"before":      func(m *Map) Walk { m.forget(); return m.NewWalk(1) },
		"after":       func(m *Map) Walk { w := m.NewWalk(1); m.forget(); return w },
		"meanwhile":   func(m *Map) Walk { m.Upset(); return m.NewWalk(1) },
		"around":      func(m *Map) Walk { w := m.NewWalk(1); m.Upset(); return w },
		"overlapping": func(m *Map) Walk { m.Upset(); w := m.NewWalk(1); m.Calm(); return w },
		"two":         func(m *Map) Walk { m.Upset(); m.Upset(); m.Calm(); return m.NewWalk(1) },
	} {
		m := New(nothingAdded)
		prove(m, "c", "d", 1)
		w := upset(m)
		expect(t, m, "")
		m.Prove(w, []byte("a"), []byte("b"), 1, 1)
		if known := m.Find([]byte("a"), 1, 1) != nil; known != (when == "before") {
			t.Errorf("%s: what was walked over is known: %v", when, known)
		}
	}
	m := New(func([]byte, []byte, base.SeqNum) bool { return false })
	m.added = func([]byte, []byte, base.SeqNum) bool { m.Upset(); return false }
	prove(m, "a", "b", 1)
	expect(t, m, "")
}

// Readers who are older find what was known then, or nearly, however far a range has
// grown since; it is little that is kept for that.
func TestReadersOfThePast(t *testing.T) {
	m := New(nothingAdded)
	const grown = 10_000
	key := func(i int) string { return fmt.Sprintf("%06d", i) }
	for i := 1; i <= grown; i++ {
		prove(m, key(i-1), key(i), base.SeqNum(i))
		if i < 100 || i%1000 > 0 {
			continue
		}
		for seq := i; seq > 0; seq -= 1 + (i-seq)/7 {
			r := m.Find([]byte(key(0)), base.SeqNum(seq), 0)
			if r == nil {
				if seq < 10 {
					continue // the oldest that is kept
				}
				t.Fatalf("at %d one of %d finds nothing", i, seq)
			}
			if age := i - seq; int(r.Seq) > seq || i-int(r.Seq) > 12*(age+1) {
				t.Fatalf("at %d one of %d finds %q as of %d", i, seq, r.Hi, r.Seq)
			}
		}
	}
	steps := 0
	for r := m.Find([]byte(key(0)), grown, 0); r != nil; r = r.older {
		steps++
	}
	if steps >= maxSteps {
		t.Errorf("%d steps are kept", steps)
	}
	m.Wrote([]byte(key(1)))
	for seq := range base.SeqNum(grown) {
		if r := m.Find([]byte(key(0)), seq, 0); r != nil && string(r.Hi) > key(1) {
			t.Fatalf("%q was written, and one of %d passes it with %q", key(1), seq, r.Hi)
		}
	}
	// What a reader of the past has walked over is known for its like.
	for range 2 {
		prove(m, key(500), key(600), 700)
	}
	if r := m.Find([]byte(key(550)), 700, 0); r == nil {
		t.Error("what one of 700 has found another one does not know")
	}
}

func TestBounds(t *testing.T) {
	m := New(nothingAdded)
	note(m, "b", "b")
	note(m, "c", "b")
	note(m, strings.Repeat("x", 2000), strings.Repeat("y", 3000))
	if _, ok := m.Begin(); ok {
		t.Error("what is empty or long was noted")
	}
	for i := range 3 * maxRanges {
		settleNoted(t, m, fmt.Sprintf("%04d", i), fmt.Sprintf("%04d+", i), "9")
	}
	ranges := m.known.Load().ranges
	if len(ranges) != maxRanges || string(ranges[0].Lo) != fmt.Sprintf("%04d", 2*maxRanges) {
		t.Errorf("%d ranges are kept, from %q on", len(ranges), ranges[0].Lo)
	}
}

// Against a model that knows of each key when it was last written: whatever is noted,
// written and scanned, a range that is found holds no row of the reader. Half of the
// writes come while a range is being proved, before or after it is looked at.
func TestAgainstAModel(t *testing.T) {
	property.Check(t, func(t *property.T) {
		key := property.SampledFrom(strings.Split("a b c d e f g h", " "))
		rows := map[string]base.SeqNum{} // written at; never deleted here
		seq, at := base.SeqNum(1), base.Instant(0)
		var m *Map
		write := func() {
			k := key.Draw(t, "written")
			seq++
			rows[k] = seq
			m.Wrote([]byte(k))
		}
		m = New(func(lo, hi []byte, after base.SeqNum) bool {
			if property.IntRange(0, 2).Draw(t, "before") == 0 {
				write()
			}
			added := false
			for row, written := range rows {
				added = added || written > after && string(lo) <= row && row < string(hi)
			}
			if property.IntRange(0, 2).Draw(t, "behind") == 0 {
				write()
			}
			return added
		})
		// rowFrom returns the first row from a key on as of a number, and whether a newer
		// one is on the way.
		rowFrom := func(from string, seq base.SeqNum) (row string, newer bool) {
			row = "z"
			for k, written := range rows {
				if k >= from && written <= seq {
					row = min(row, k)
				}
			}
			for k, written := range rows {
				newer = newer || k >= from && k < row && written > seq
			}
			return row, newer
		}
		var proofs []Proof
		for range property.Times(t, 1, 80) {
			k, l := key.Draw(t, "key"), key.Draw(t, "other")
			read := base.SeqNum(property.IntRange(1, int(seq)).Draw(t, "read"))
			switch property.IntRange(0, 6).Draw(t, "step") {
			case 0:
				note(m, k, l)
			case 1:
				if p, ok := m.Begin(); ok {
					proofs = append(proofs, p)
				}
			case 2:
				if len(proofs) > 0 {
					end, _ := rowFrom(string(proofs[0].Lo), seq)
					m.Settle(proofs[0], []byte(end), seq, at)
					proofs = proofs[1:]
				}
			case 3:
				write()
			case 4: // a reader of the past has walked from k
				w := m.NewWalk(seq)
				end, newer := rowFrom(k, read)
				if property.IntRange(0, 2).Draw(t, "late") == 0 {
					write()
				}
				if !newer {
					m.Prove(w, []byte(k), []byte(end), read, at)
				}
			case 5:
				at++
			default:
				if r := m.Find([]byte(k), read, at); r != nil {
					for row, written := range rows {
						if written <= read && r.holds([]byte(row)) {
							t.Fatalf("as of %d %q is a row, and the map is %v", read, row, m)
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
			m := New(nothingAdded)
			for i := range n {
				settleNoted(b, m, fmt.Sprintf("%04d", i), fmt.Sprintf("%04d+", i), "9")
			}
			key := []byte("z")
			for b.Loop() {
				m.Wrote(key)
			}
		})
	}
}

// Deletes that are noted faster than they are proved are to wait for the worker.
func TestBehind(t *testing.T) {
	m := New(nothingAdded)
	notes := func(n int) {
		for range n {
			note(m, "a", "b")
		}
	}
	notes(behindNotes)
	if m.Behind() {
		t.Error("behind before one note has waited along with each of those allowed")
	}
	notes(1)
	if !m.Behind() {
		t.Error("not behind")
	}
	p, _ := m.Begin()
	if m.Behind() {
		t.Error("behind with what is being proved")
	}
	m.Abandon(p)
}
