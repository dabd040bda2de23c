package rangedel

import (
	"strings"
	"testing"
)

// Parts that lie side by side have all there is together, and each no more than its own.
func TestWithin(t *testing.T) {
	list := Build([]Tombstone{{Lo: []byte("b"), Hi: []byte("e"), Seq: 7}, {Lo: []byte("g"), Hi: []byte("h"), Seq: 7}})
	bound := func(key string) []byte {
		if key == "" {
			return nil
		}
		return []byte(key)
	}
	for _, c := range []struct{ lo, hi, want string }{
		{"", "", "b-e g-h"}, {"", "a", ""}, {"", "c", "b-c"}, {"c", "d", "c-d"}, {"d", "", "d-e g-h"}, {"e", "g", ""},
		{"h", "", ""}, {"c", "h", "c-e g-h"}, {"e", "", "g-h"},
	} {
		var got []string
		it := Within(list.Iter(), bound(c.lo), bound(c.hi))
		for f, err := it.Next(); f != nil; f, err = it.Next() {
			if err != nil || len(f.Seqs) != 1 || f.Seqs[0] != 7 {
				t.Fatalf("%v, %v", f, err)
			}
			got = append(got, string(f.Lo)+"-"+string(f.Hi))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("in [%s, %s) it is %v, want %s", c.lo, c.hi, got, c.want)
		}
	}
}
