package table

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/lightningdb/lightning/internal/catalogue"

	"github.com/lightningdb/lightning"
)

// FuzzEntry takes arbitrary index entries apart: nothing panics, and the parts
// make the entry again.
func FuzzEntry(f *testing.F) {
	for _, unique := range []bool{false, true} {
		x := index[person]{columns: []*attribute[person]{city.attribute, tag.attribute}, unique: unique}
		entries, err := x.entries(person{City: "Oslo", Tags: []string{"a", "b"}}, []byte{0x21})
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			f.Add(e.key, e.value, 2, unique)
		}
	}
	f.Fuzz(func(t *testing.T, key, value []byte, columns int, unique bool) {
		columns = max(1, columns%8)
		p, err := decodeEntry(nil, key, value, columns, unique)
		if err != nil {
			if !errors.Is(err, lightning.ErrCorrupted) {
				t.Errorf("unexpected %v", err)
			}
			return
		}
		if len(p.ends) != columns || len(p.primary) == 0 {
			t.Fatalf("got %+v", p)
		}
		last := p.ends[columns-1]
		whole := unique && last == len(key) && bytes.HasSuffix(value, p.primary) ||
			!unique && bytes.Equal(append(bytes.Clone(key[:last]), p.primary...), key)
		if !whole {
			t.Errorf("%x %x is taken apart as %+v", key, value, p)
		}
	})
}

// The bytes that docs/format/table.md shows.
func TestGoldenBytes(t *testing.T) {
	unique := index[person]{columns: []*attribute[person]{city.attribute, age.attribute}, unique: true}
	plain := unique
	plain.unique = false
	for _, c := range []struct {
		name       string
		x          index[person]
		key, value string
	}{
		{"unique", unique, "6c4f736c6f003e", "060159012c"},
		{"plain", plain, "6c4f736c6f003e59012c", "0601"},
	} {
		entries, err := c.x.entries(person{City: "Oslo", Age: 30}, catalogue.Key(300))
		if err != nil || len(entries) != 1 {
			t.Fatalf("got %v, %v", entries, err)
		}
		expectHex(t, c.name+" key", entries[0].key, c.key)
		expectHex(t, c.name+" value", entries[0].value, c.value)
	}
}

func expectHex(t *testing.T, name string, got []byte, want string) {
	t.Helper()
	if text := hex.EncodeToString(got); text != want {
		t.Errorf("%s: got %s, want %s", name, text, want)
	}
}
