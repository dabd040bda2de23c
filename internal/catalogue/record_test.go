package catalogue

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
)

func someDefinition() *Definition {
	return &Definition{
		NextID: 9, RowsID: 1, Codec: "json", Key: Column{"id", "integer", false},
		Indexes: []Index{
			{2, "email", true, true, []Column{{"email", "string", false}}},
			{8, "tags", false, false, []Column{{"tag", "string", true}, {"age", "integer", false}}},
		},
	}
}

func someStatistics() *Statistics {
	return &Statistics{
		Analyzed: true, Rows: 1000, Samples: [][]byte{{0x20}, {0x59, 1, 0}},
		Indexes: map[uint64]IndexStatistics{2: {1000, 900, []int64{7, 900}, [][]byte{{1}}}, 8: {}},
	}
}

// FuzzRecords reads arbitrary bytes as records of the catalogue: nothing
// panics, and what is accepted is what is written.
func FuzzRecords(f *testing.F) {
	records := [][]byte{
		someDefinition().Encode(), (&Definition{NextID: 3}).Encode(),
		(&Definition{NextID: 3, RowsID: 1, Expires: true, Version: 7, Oldest: 2}).Encode(), (&Definition{NextID: 3, Home: "a", Moved: "b"}).Encode(), someStatistics().Encode(),
		(&Progress{[]byte{1}, []byte{2}, 3}).Encode(), seal(), EncodeSequence(300),
	}
	for _, record := range records {
		f.Add(record[:len(record)-sealBytes])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, record := range [][]byte{body, binary.BigEndian.AppendUint32(body[:len(body):len(body)], checksum.CRC(0, body))} {
			if d, err := DecodeDefinition(record); err == nil && !bytes.Equal(d.Encode(), record) {
				t.Errorf("%x is decoded as %+v, which is %x", record, d, d.Encode())
			}
			if s, err := DecodeStatistics(record); err == nil && !bytes.Equal(s.Encode(), record) {
				t.Errorf("%x is decoded as %+v, which is %x", record, s, s.Encode())
			}
			if n, err := DecodeSequence(record); err == nil && !bytes.Equal(EncodeSequence(n), record) {
				t.Errorf("%x is decoded as %d, which is %x", record, n, EncodeSequence(n))
			}
			if p, err := DecodeProgress(record); err == nil && !bytes.Equal(p.Encode(), record) {
				t.Errorf("%x is decoded as %+v, which is %x", record, p, p.Encode())
			}
		}
	})
}

// Damage of one bit is seen, and so is a version of the future.
func TestRecordsAreChecked(t *testing.T) {
	record := someDefinition().Encode()
	for i := range len(record) * 8 {
		damaged := bytes.Clone(record)
		damaged[i/8] ^= 1 << (i % 8)
		if _, err := DecodeDefinition(damaged); !errors.Is(err, base.ErrCorrupted) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
	future := bytes.Clone(record[:len(record)-sealBytes])
	future[0] = 2
	future = binary.BigEndian.AppendUint32(future, checksum.CRC(0, future))
	_, err := DecodeDefinition(future)
	if err == nil || errors.Is(err, base.ErrCorrupted) || err.Error() != "definition: version 2 is not known, 1 is" {
		t.Errorf("got %v", err)
	}
}

// The bytes that docs/format/table.md shows.
func TestGoldenRecords(t *testing.T) {
	d := Definition{NextID: 3, RowsID: 1, Key: Column{"id", "integer", false}, Codec: "json"}
	expectHex(t, "definition", d.Encode(), "01232174"+"6c696400"+"6c696e746567657200"+"0800"+"6c6a736f6e00"+"7400"+"f77e65a2")
	d.Expires, d.Version, d.Oldest = true, 300, 2
	expectHex(t, "definition with a version", d.Encode(), "01232174"+"6c696400"+"6c696e746567657200"+"0800"+"6c6a736f6e00"+"7400"+"740959012c226c006c0000"+"6063f26e")
	expectHex(t, "key", Key(KindDefinition, "a"), "236c6100")
}

func expectHex(t *testing.T, name string, got []byte, want string) {
	t.Helper()
	if text := hex.EncodeToString(got); text != want {
		t.Errorf("%s: got %s, want %s", name, text, want)
	}
}
