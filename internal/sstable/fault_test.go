package sstable

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
)

var errDisk = errors.New("disk is on fire")

// wantDisk fails unless err is the failed read, with the file's name and not
// taken for corruption.
func wantDisk(t *testing.T, doing string, err error) {
	t.Helper()
	if !errors.Is(err, errDisk) || errors.Is(err, base.ErrCorrupted) ||
		!strings.Contains(err.Error(), "000042.sst") {
		t.Fatalf("%s: %v", doing, err)
	}
}

// TestReadFaults fails each read of a run in turn. The call that needed it
// returns the error, and a later call succeeds.
func TestReadFaults(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		f, m, dels := smallTable(t, codec)
		for _, capacityBytes := range []int64{0, 1 << 20} {
			for failing := 0; ; failing++ {
				if readWithFault(t, f, m, capacityBytes, failing) {
					break
				}
				r := open(t, &memFile{data: f.data}, capacityBytes)
				if m.readAll(t, "after the fault", r, dels) {
					t.Fatal("a fault left damage behind")
				}
			}
		}
	}
}

// readWithFault opens and reads a table of which read number failing fails. It
// reports whether that number was beyond the last read.
func readWithFault(t *testing.T, f *memFile, m model, capacityBytes int64, failing int) bool {
	var c testCache
	if capacityBytes > 0 {
		c = newTestCache(t, capacityBytes)
	}
	count := 0
	hit := false
	file := &memFile{data: f.data}
	file.readFault = func(int64, int) error {
		count++
		if count-1 == failing {
			hit = true
			return errDisk
		}
		return nil
	}
	// ask fails where a call fails without a fault, or swallows one.
	ask := func(doing string, err error) {
		t.Helper()
		if hit {
			wantDisk(t, doing, err)
		} else if err != nil {
			t.Fatalf("%s: %v", doing, err)
		}
		hit = false
	}
	r, err := OpenReader(file, c.options())
	if err != nil {
		ask("open", err)
		return false
	}
	defer r.Close()
	mayContain(r, m[0].key)
	hit = false // the filter degrades silently
	for _, e := range m[:5] {
		_, _, found, err := get(r, e.key, e.tr.Seq())
		if err == nil && !found {
			t.Fatalf("%q is gone", e.key)
		}
		ask("get", err)
	}
	it := r.NewIter(IterOptions{})
	defer it.Close()
	for _, seek := range []func() *base.Record{
		it.First, it.Last, it.First,
		func() *base.Record { return it.SeekGE(m[len(m)/2].key) },
		func() *base.Record { return it.SeekLT(m[len(m)/3].key) },
	} {
		if seek() == nil && it.Err() == nil {
			t.Fatal("no record and no error")
		}
		ask("seek", it.Err())
	}
	if _, err = readDeletes(r); err == nil {
		hit = false // as for verify below
	}
	ask("range deletes", err)
	_, err = covering(r, []byte("key01"), base.SeqNumMax)
	ask("covering", err)
	if _, err = r.Verify(t.Context()); err == nil {
		hit = false // a large read that failed was tried again as a small one
	}
	ask("verify", err)
	return count <= failing
}

// TestFaultBehindTheBlock makes a piece of the file unreadable: scans that
// read ahead get everything up to it.
func TestFaultBehindTheBlock(t *testing.T) {
	f, _, _ := smallTable(t, compress.None)
	blocks := allBlocks(t, open(t, f, 0))
	bad := blocks[6].ref
	file := &memFile{data: f.data}
	fault := func(offset int64, n int) error {
		if offset < newest.end(bad) && offset+int64(n) > bad.offset {
			return errDisk
		}
		return nil
	}
	for _, noFill := range []bool{false, true} {
		for _, capacityBytes := range []int64{0, 1 << 20} {
			file.readFault = nil
			r := open(t, file, capacityBytes)
			file.readFault = fault
			it := r.NewIter(IterOptions{NoFill: noFill})
			last := ""
			for rec := it.First(); rec != nil; rec = it.Next() {
				last = string(rec.Key)
			}
			wantDisk(t, "scan", it.Err())
			if it.block != 5 {
				t.Fatalf("scan ends in block %d, at %q", it.block, last)
			}
			if it.SeekGE([]byte("key039")) == nil {
				t.Fatal(it.Err())
			}
			it.Close()
		}
	}
}

func TestVerifyStopsWithTheContext(t *testing.T) {
	f, _, _ := smallTable(t, compress.None)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, f, 0).Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
