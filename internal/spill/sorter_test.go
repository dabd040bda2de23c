package spill

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Records of any number and order come out sorted, each key once, with what it was given last.
func TestSorter(t *testing.T) {
	var memory offheap.Accountant
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		all := newSpills(t, memfs.New())
		all.cfg.Memory, all.cfg.MemtableBytes = &memory, 32<<10
		s := all.NewSorter()
		want := map[string]string{}
		keys := 1 + rng.IntN(3000)
		for n := range rng.IntN(6000) {
			key := fmt.Sprintf("\x00%05d", rng.IntN(keys))
			value := fmt.Sprint(n)
			if rng.IntN(2000) == 0 {
				value += string(make([]byte, 100<<10)) // more than a memtable
			}
			kind := base.KindSet
			if n%7 == 0 {
				kind, value = base.KindSetExpiring, string(base.AppendExpiry(nil, base.Instant(1+n)))+value
			}
			must(t, s.Add(kind, []byte(key), []byte(value)))
			want[key] = fmt.Sprint(kind) + value
		}
		checkSorted(t, s, want)
		s.Drop()
	}
	if n := memory.Bytes(offheap.OwnerMemtable); n != 0 {
		t.Errorf("%d bytes of memtables are left", n)
	}
}

func checkSorted(t *testing.T, s *Sorter, want map[string]string) {
	t.Helper()
	records, err := s.Records()
	must(t, err)
	var before []byte
	n := 0
	for rec := records.First(); rec != nil; rec = records.Next() {
		if n > 0 && bytes.Compare(before, rec.Key) >= 0 {
			t.Fatalf("%q behind %q", rec.Key, before)
		}
		before = slices.Clone(rec.Key)
		if got := fmt.Sprint(rec.Trailer.Kind()) + string(rec.Value); got != want[string(rec.Key)] || rec.Trailer.Seq() != 0 {
			t.Fatalf("%q is %.40q at %d, want %.40q", rec.Key, got, rec.Trailer.Seq(), want[string(rec.Key)])
		}
		n++
	}
	if n != len(want) {
		t.Fatalf("%d records, want %d", n, len(want))
	}
	must(t, records.Err())
	must(t, records.Close())
}
