package wal

import (
	"errors"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// copyOf is a log of several segments, of which the last was prepared and never begun.
func copyOf(t *testing.T) (cfg Config, segments []Segment, w *writer) {
	t.Helper()
	cfg, _ = newConfig(t)
	prepare := func(n base.FileNum) Segment {
		s, err := Prepare(cfg, n, 4096)
		if err != nil {
			t.Fatal(err)
		}
		segments = append(segments, s)
		return s
	}
	l, err := NewLog(cfg, prepare(3), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	w = newWriter(l, 1)
	for n := base.FileNum(4); n < 7; n++ {
		for range 20 {
			if err := w.append(w.size()); err != nil {
				t.Fatal(err)
			}
		}
		if s := prepare(n); n < 6 {
			if err := l.Rotate(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg, segments, w
}

// A copy replays as the log itself does, from any group to any other one.
func TestCopy(t *testing.T) {
	cfg, segments, w := copyOf(t)
	for i := 0; i <= len(w.groups); i += 6 {
		for j := i; j <= len(w.groups); j += 7 {
			from, end := Position(0), Position(0)
			if i > 0 {
				from = w.groups[i-1].end
			}
			if j > 0 {
				end = w.groups[j-1].end
			}
			to, _ := newConfig(t)
			copied, err := Copy(cfg, segments, from, end, to)
			if err != nil {
				t.Fatal(err)
			}
			var got []group
			result, err := Replay(to, copied, from, 0, func(first base.SeqNum, payload []byte) error {
				got = append(got, group{first: first, payload: slices.Clone(payload)})
				return nil
			})
			if err != nil {
				t.Fatalf("groups %d to %d: %v", i, j, err)
			}
			same := func(a, b group) bool { return a.first == b.first && slices.Equal(a.payload, b.payload) }
			if !slices.EqualFunc(got, w.groups[i:j], same) || result.TornBytes != 0 {
				t.Fatalf("groups %d to %d: %d were copied; %+v", i, j, len(got), result)
			}
			if j > i && result.End != end+Position(groupBytes(0)) {
				t.Fatalf("groups %d to %d: the copy ends at %d, want %d and a seal", i, j, result.End, end)
			}
		}
	}
}

// What is damaged between the positions is not copied as if nothing had happened; what is
// damaged elsewhere does not matter.
func TestCopyOfDamage(t *testing.T) {
	cfg, segments, w := copyOf(t)
	from, end := w.groups[9].end, w.groups[49].end
	for _, c := range []struct {
		group   int
		damaged bool
	}{{5, false}, {10, true}, {30, true}, {49, true}, {50, false}} {
		f, err := cfg.FS.OpenReadWrite(cfg.Dir + "/" + FileName(segments[c.group/20].Num))
		if err != nil {
			t.Fatal(err)
		}
		start := Position(0)
		if n := c.group / 20; n > 0 {
			start = w.groups[n*20-1].end
		}
		at := segmentHeaderBytes + int64(w.groups[c.group].end-start) - 8
		var was, flipped [1]byte
		if _, err := f.ReadAt(was[:], at); err != nil {
			t.Fatal(err)
		}
		flipped[0] = was[0] ^ 1
		if _, err := f.WriteAt(flipped[:], at); err != nil {
			t.Fatal(err)
		}
		to, _ := newConfig(t)
		_, err = Copy(cfg, segments, from, end, to)
		if errors.Is(err, base.ErrCorrupted) != c.damaged {
			t.Errorf("group %d is damaged: %v", c.group, err)
		}
		if _, err := f.WriteAt(was[:], at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A log that was closed, and went on behind its seal, is copied with that.
func TestCopyOfSeals(t *testing.T) {
	cfg, _ := newConfig(t)
	var segments []Segment
	at := Position(0)
	for n := base.FileNum(1); n < 4; n++ {
		s, err := Prepare(cfg, n, 4096)
		if err != nil {
			t.Fatal(err)
		}
		segments = append(segments, s)
		l, err := NewLog(cfg, s, at, base.SeqNum(n-1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(base.SeqNum(n), base.SeqNum(n), []byte("payload")); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		at = l.Appended()
	}
	to, _ := newConfig(t)
	copied, err := Copy(cfg, segments, 0, at, to)
	if err != nil {
		t.Fatal(err)
	}
	groups := 0
	result, err := Replay(to, copied, 0, 0, func(base.SeqNum, []byte) error { groups++; return nil })
	if err != nil || groups != 3 {
		t.Fatalf("%d groups: %v", groups, err)
	}
	if result.End != at {
		t.Errorf("the copy ends at %d, want %d", result.End, at)
	}
	seals := 0
	for i, s := range copied[:2] {
		end := segments[i]
		err := walk(to, span{s, 0, at}, func(h groupHeader, _ []byte) error {
			if h.seal {
				if seals++; h.durable != h.position {
					t.Errorf("seal of %s at %d says that %d is durable", FileName(end.Num), h.position, h.durable)
				}
				return errors.New("enough")
			}
			return nil
		})
		if err == nil {
			t.Errorf("%s has no seal", FileName(s.Num))
		}
	}
	if seals != 2 {
		t.Errorf("%d seals", seals)
	}
	if err := Verify(to, copied, 2, 0, at); err != nil {
		t.Error(err)
	}
}
