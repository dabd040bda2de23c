package feed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/wal"
)

// What a group holds is judged before any of it is delivered.
func TestFeedRefusesBadBatches(t *testing.T) {
	archive := NewArchive(Config{Keyspaces: keyspace.NewRegistry(keyspace.Config{})})
	batch := func(records ...string) string {
		return string(binary.LittleEndian.AppendUint32(nil, uint32(len(records)))) + strings.Join(records, "")
	}
	set := "\x02\x02\x00a\x01b"
	for name, c := range map[string]struct {
		payload string
		last    base.SeqNum
		ok      bool
	}{
		"good":             {batch(set, set) + batch(set), 3, true},
		"unknown kind":     {batch(set, "\x09\x02\x00a\x01b"), 2, false},
		"unknown keyspace": {batch("\x02\x02\x07a\x01b"), 1, false},
		"empty key":        {batch("\x02\x01\x00\x01b"), 1, true},
		"drop of default":  {batch("\x01\x01\x00"), 1, true},
		"range leaves":     {batch("\x03\x02\x00a\x02\x02b"), 1, false},
		"too few records":  {batch(set), 2, false},
		"too many records": {batch(set) + batch(set), 1, false},
		"cut short":        {batch(set, set)[:12], 2, false},
	} {
		f := &Feed{archive: archive, cur: new(wal.Cursor), names: map[uint64]string{}, rest: []byte(c.payload), first: 1}
		f.group = wal.Group{First: 1, Last: c.last}
		err := error(nil)
		for err == nil && len(f.rest) > 0 {
			err = f.split()
		}
		if c.ok != (err == nil) || err != nil && !errors.Is(err, base.ErrCorrupted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzSplit takes any bytes for the payload of a group, which has an intact checksum:
// what is no list of batches is told as damage, and what is delivered can be walked, in
// numbers that follow and fill the group.
func FuzzSplit(f *testing.F) {
	var good batch.Batch
	for _, err := range []error{
		good.Set(nil, []byte("\x00key"), []byte("value")),
		good.SetExpiring(nil, []byte("\x00key"), []byte("value"), 5),
		good.Merge(nil, []byte("\x01key"), []byte("operand")),
		good.Delete(nil, []byte("\x01key")),
		good.Delete(nil, []byte("\x01")), // its empty key
		good.Keyspace(keyspace.Act{ID: 1, Keyspace: &manifest.Keyspace{ID: 1, Name: "named"}}),
		good.Keyspace(keyspace.Act{ID: 1}), // drops it
		good.DeleteRange([]byte("\x01a"), []byte("\x02")),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(good.Bytes(), uint8(good.Len()))
	f.Add(append(bytes.Clone(good.Bytes()), good.Bytes()...), uint8(2*good.Len()))
	f.Add([]byte{0, 0, 0, 0}, uint8(0))
	f.Add([]byte{1, 0, 0, 0, 9}, uint8(1))
	keyspaces := keyspace.NewRegistry(keyspace.Config{})
	if err := keyspaces.Apply(keyspace.Act{ID: 1, Keyspace: &manifest.Keyspace{ID: 1, Name: "named"}}); err != nil {
		f.Fatal(err)
	}
	archive := NewArchive(Config{Keyspaces: keyspaces})
	f.Fuzz(func(t *testing.T, payload []byte, records uint8) {
		const first = 10
		feed := &Feed{archive: archive, cur: new(wal.Cursor), names: map[uint64]string{}, rest: payload, first: first}
		feed.group = wal.Group{First: first, Last: first + base.SeqNum(records) - 1, Payload: payload}
		next := base.SeqNum(first)
		for len(feed.rest) > 0 {
			left := len(feed.rest)
			if err := feed.split(); err != nil {
				if !errors.Is(err, base.ErrCorrupted) {
					t.Fatalf("%v is no damage", err)
				}
				return
			}
			c := feed.commit
			if c.First != next || len(feed.rest) >= left {
				t.Fatalf("a commit from %d, want %d; %d bytes of %d are left", c.First, next, len(feed.rest), left)
			}
			count := 0
			for change := range c.Changes() {
				if change.Kind == 0 || change.Kind != ChangeKeyspace && change.Keyspace != "" && change.Keyspace != "named" {
					t.Fatalf("a change %+v", change)
				}
				count++
			}
			if count != c.Len() {
				t.Fatalf("a commit of %d changes says it has %d", count, c.Len())
			}
			next = c.Last + 1
		}
		if len(payload) > 0 && next != feed.group.Last+1 {
			t.Fatalf("a group up to %d ended at %d", feed.group.Last, next-1)
		}
	})
}
