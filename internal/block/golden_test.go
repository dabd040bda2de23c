package block

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// TestGolden freezes the bytes of docs/format/block.md: a change here is a
// change of the file format.
func TestGolden(t *testing.T) {
	set := base.MakeTrailer(0x105, base.KindSet)
	del := base.MakeTrailer(0x106, base.KindDelete)
	type record struct {
		key     string
		trailer base.Trailer
		value   string
		hash    uint64
	}
	for _, c := range []struct {
		name    string
		records []record
		want    string
	}{
		{"empty", nil, `
			00000000 00 01 00 00 0000000000000000 00000000 00000000
			0000000000000000`},
		{"one", []record{{"key", set, "value", 0xaa << 56}}, `
			01000000 00 01 00 00 0205010000000000 03000000 00000000
			6b65790000000000
			aa00000000000000
			0000000000000000
			00
			0500000000000000
			76616c7565`},
		{"several", []record{
			{"ab", set, "x", 0x11 << 56},
			{"abcdefghijKL", del, "", 0x22 << 56},
			{"abcdefghijKL", set, "yz", 0x22 << 56},
		}, `
			03000000 01 01 01 00 0205010000000000 02000000 00000000
			6162000000000000
			1122220000000000
			0000000000000000 6a69686766656463 6a69686766656463
			00 ff 00
			0000 010a 030a
			0700000000000000
			78 4b4c 4b4c797a`},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
			if err != nil {
				t.Fatal(err)
			}
			var b Builder
			for _, r := range c.records {
				b.Add([]byte(r.key), r.trailer, []byte(r.value), r.hash)
			}
			if got := b.Finish(); !bytes.Equal(got, want) {
				t.Errorf("the format changed:\n%s\nwant\n%s", hex.Dump(got), hex.Dump(want))
			}
			v, err := Parse(want)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range c.records {
				if key := v.AppendKey(nil, i); string(key) != r.key ||
					v.Trailer(i) != r.trailer || string(v.Value(i)) != r.value {
					t.Errorf("slot %d: %q %v %q", i, key, v.Trailer(i), v.Value(i))
				}
				slot, found, _ := v.Find([]byte(r.key), Fingerprint(r.hash), r.trailer.Seq())
				if !found || slot != i {
					t.Errorf("Find(%q, %v) = %d, %v", r.key, r.trailer, slot, found)
				}
			}
		})
	}
}
