package table

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/checksum"
)

func someDefinition() *definition {
	return &definition{
		nextID: 9, rowsID: 1, codec: "json", key: columnDefinition{"id", "integer", false},
		indexes: []indexDefinition{
			{2, "email", true, true, []columnDefinition{{"email", "string", false}}},
			{8, "tags", false, false, []columnDefinition{{"tag", "string", true}, {"age", "integer", false}}},
		},
	}
}

func someStatistics() *statistics {
	return &statistics{
		analyzed: true, rows: 1000, samples: [][]byte{{0x20}, {0x59, 1, 0}},
		indexes: map[uint64]indexStatistics{2: {1000, 900, []int64{7, 900}, [][]byte{{1}}}, 8: {}},
	}
}

// FuzzRecords reads arbitrary bytes as records of the catalogue: nothing
// panics, and what is accepted is what is written.
func FuzzRecords(f *testing.F) {
	records := [][]byte{
		someDefinition().encode(), (&definition{nextID: 3}).encode(), someStatistics().encode(),
		(&progress{[]byte{1}, []byte{2}, 3}).encode(), seal(),
	}
	for _, record := range records {
		f.Add(record[:len(record)-sealBytes])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, record := range [][]byte{body, binary.BigEndian.AppendUint32(body[:len(body):len(body)], checksum.CRC(0, body))} {
			if d, err := decodeDefinition(record); err == nil && !bytes.Equal(d.encode(), record) {
				t.Errorf("%x is decoded as %+v, which is %x", record, d, d.encode())
			}
			if s, err := decodeStatistics(record); err == nil && !bytes.Equal(s.encode(), record) {
				t.Errorf("%x is decoded as %+v, which is %x", record, s, s.encode())
			}
			if p, err := decodeProgress(record); err == nil && !bytes.Equal(p.encode(), record) {
				t.Errorf("%x is decoded as %+v, which is %x", record, p, p.encode())
			}
		}
	})
}

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

// Damage of one bit is seen, and so is a version of the future.
func TestRecordsAreChecked(t *testing.T) {
	record := someDefinition().encode()
	for i := range len(record) * 8 {
		damaged := bytes.Clone(record)
		damaged[i/8] ^= 1 << (i % 8)
		if _, err := decodeDefinition(damaged); !errors.Is(err, lightning.ErrCorrupted) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
	future := bytes.Clone(record[:len(record)-sealBytes])
	future[0] = 2
	future = binary.BigEndian.AppendUint32(future, checksum.CRC(0, future))
	_, err := decodeDefinition(future)
	if err == nil || errors.Is(err, lightning.ErrCorrupted) || err.Error() != "definition: version 2 is not known, 1 is" {
		t.Errorf("got %v", err)
	}
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
		entries, err := c.x.entries(person{City: "Oslo", Age: 30}, catalogueKey(300))
		if err != nil || len(entries) != 1 {
			t.Fatalf("got %v, %v", entries, err)
		}
		expectHex(t, c.name+" key", entries[0].key, c.key)
		expectHex(t, c.name+" value", entries[0].value, c.value)
	}
	d := definition{nextID: 3, rowsID: 1, key: columnDefinition{"id", "integer", false}, codec: "json"}
	expectHex(t, "definition", d.encode(), "01232174"+"6c696400"+"6c696e746567657200"+"0800"+"6c6a736f6e00"+"7400"+"f77e65a2")
	expectHex(t, "key", catalogueKey(kindDefinition, "a"), "236c6100")
}

func expectHex(t *testing.T, name string, got []byte, want string) {
	t.Helper()
	if text := hex.EncodeToString(got); text != want {
		t.Errorf("%s: got %s, want %s", name, text, want)
	}
}
