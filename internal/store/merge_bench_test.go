package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/filepool"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/offheap"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/vfs"
)

// merged are the rows of two levels, of 16 and 100 bytes; every fifth is in the
// upper one. In runs there are as many neighbours of a level in a row, as where keys begin
// with a tenant and go on with a time; 1 is no order at all.
func merged(rows, run int) (levels [2][]base.Record) {
	rng := rand.New(rand.NewPCG(1, uint64(run)))
	numbers := make([]uint64, rows)
	for i := range numbers {
		numbers[i] = rng.Uint64()
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		level := 1
		if run == 1 && rng.IntN(5) == 0 || run > 1 && i/run%5 == 4 {
			level = 0
		}
		key := make([]byte, 17)
		binary.BigEndian.PutUint64(key[1:], n)
		binary.LittleEndian.PutUint64(key[9:], rng.Uint64())
		value := make([]byte, 100)
		for at := 0; at < 50; at += 8 { // half of it can be compressed
			binary.LittleEndian.PutUint64(value[at:], rng.Uint64())
		}
		levels[level] = append(levels[level], base.Record{
			Key: key, Value: value, Trailer: base.MakeTrailer(base.SeqNum(1-level)*base.SeqNum(1+i), base.KindSet),
		})
	}
	return levels
}

// BenchmarkMerge compacts two levels of 400,000 rows, 47 MB, into the lower one, the last. Its
// files are in TMPDIR.
func BenchmarkMerge(b *testing.B) {
	const rows = 400_000
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		for _, run := range []int{1, 20, 100, 500, 5000} {
			b.Run(fmt.Sprintf("%s/runs=%d", codec, run), func(b *testing.B) { benchmarkMerge(b, codec, merged(rows, run)) })
		}
	}
}

func benchmarkMerge(b *testing.B, codec compress.Codec, levels [2][]base.Record) {
	r := newRoom(b)
	cfg := r.cfg
	cfg.FS, cfg.Dir, cfg.BlockBytes = vfs.OS, b.TempDir(), 8<<10
	cfg.Files = filepool.New(cfg.FS, 100)
	cfg.Keyspaces = keyspace.NewRegistry(keyspace.Config{Codec: func(int, bool) compress.Policy { return compress.Policy{Codec: codec} }})
	cfg.Memory, cfg.Later, cfg.MergeBytes = new(offheap.Accountant), func(task func()) { task() }, 16<<20
	r.Store = New(cfg)
	r.SkipFileNums(1)
	out := Output{Level: 2, Bottom: true, FileBytes: 16 << 20}
	var files [2][]*manifest.FileMeta
	for i, records := range levels {
		var err error
		files[i], _, err = r.Write(context.Background(), newSource(records), out, compact.Config{})
		must(b, err)
	}
	tree := r.NewTree(r.version(nil, files[0], files[1]))
	defer r.drop(tree)
	open := func(lo, hi []byte) (Records, rangedel.Iterator, error) {
		merged, deletes, err := tree.MergeInputs(1, 2, files, 1)
		return merged, rangedel.Within(deletes, lo, hi), err
	}
	b.SetBytes(int64(117 * (len(levels[0]) + len(levels[1]))))
	taken := uint64(0)
	for b.Loop() {
		outputs, stats, err := r.WriteParts(context.Background(), nil, open, out, compact.Config{Bottom: true})
		must(b, err)
		taken = stats.BlocksTaken
		r.RemoveOutputs(outputs)
	}
	b.ReportMetric(float64(taken), "blocks-taken")
}
