package feed

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/keyspace"
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
