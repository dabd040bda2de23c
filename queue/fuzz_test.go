package queue

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
)

func someRecord() *record {
	return &record{
		place: keyLeased, priority: -2, due: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), claims: 4, failures: 3, reason: "no",
	}
}

// FuzzRecord reads arbitrary bytes as records: nothing panics, and what is accepted is
// what is written.
func FuzzRecord(f *testing.F) {
	f.Add(someRecord().encode())
	f.Add((&record{place: keyReady}).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err == nil && !bytes.Equal(r.encode(), data) {
			t.Errorf("%x is decoded as %+v, which is %x", data, r, r.encode())
		}
	})
}

// FuzzIndex does the same to keys of the indexes.
func FuzzIndex(f *testing.F) {
	for place := keyReady; place <= keyDead; place++ {
		f.Add((&record{place: place, priority: 7}).index(ID{1, 2}))
	}
	f.Fuzz(func(t *testing.T, k []byte) {
		_, _, err := decodeIndex(k)
		if err != nil && !errors.Is(err, lightning.ErrCorrupted) {
			t.Errorf("unexpected %v", err)
		}
	})
}

// What the index says is what the record says, and versions of the future are told from
// damage.
func TestIndexKeys(t *testing.T) {
	for place := keyReady; place <= keyDead; place++ {
		r := someRecord()
		r.place = place
		id, due, err := decodeIndex(r.index(ID{9}))
		timed := place == keyDelayed || place == keyLeased
		if err != nil || id != (ID{9}) || timed && !due.Equal(r.due) {
			t.Errorf("place %d: %x, %v, %v", place, id, due, err)
		}
	}
	future := someRecord().encode()
	future[0] = 2
	if _, err := decodeRecord(future); err == nil || errors.Is(err, lightning.ErrCorrupted) {
		t.Errorf("a version of the future: %v", err)
	}
	for _, place := range []int{0, keyRecord, keyPayload} {
		r := someRecord()
		r.place = place
		if _, err := decodeRecord(r.encode()); !errors.Is(err, lightning.ErrCorrupted) {
			t.Errorf("place %d: %v", place, err)
		}
	}
}

// The bytes that docs/format/queue.md shows.
func TestGolden(t *testing.T) {
	r := &record{place: keyReady, priority: 5}
	id := ID{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x70, 0x00, 0x80}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"record": {r.encode(), "0122256400000000000000000020206c00"},
		"key":    {key(keyRecord, id), "2168018bcfe5680070008000000000000000"},
		"ready":  {r.index(id), "22da68018bcfe5680070008000000000000000"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
