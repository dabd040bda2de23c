package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
)

// onlyRecords hides that records come from blocks.
type onlyRecords struct{ Records }

// coarse is a job: two levels of a keyspace whose tables are compressed, whose keys interleave in
// runs, with what there may be besides.
type coarse struct {
	levels  [2][]base.Record
	deletes [2][]rangedel.Tombstone
	cfg     compact.Config
	borders [][]byte
}

func coarseJob(rng *rand.Rand) (j coarse) {
	const keys = 600
	key := func(n int) []byte { return fmt.Appendf(nil, "\x07key%04d", n) }
	level, seq := 1, 0
	odd := rng.IntN(4) == 0 // there are records that have to be looked at
	for n := range keys {
		if rng.IntN(40) == 0 {
			level = rng.IntN(2)
		}
		r := rec(string(key(n)), base.SeqNum(2*n+1), strings.Repeat("value ", rng.IntN(6)))
		switch kind := rng.IntN(60); {
		case level == 1 && rng.IntN(20) > 0 && j.cfg.Bottom:
			r.Trailer = base.MakeTrailer(0, base.KindSet)
		case odd && kind == 0:
			r.Trailer, r.Value = base.MakeTrailer(r.Trailer.Seq(), base.KindDelete), nil
		case odd && kind == 1:
			r.Trailer = base.MakeTrailer(r.Trailer.Seq(), base.KindSetExpiring)
			r.Value = append(base.AppendExpiry(nil, base.Instant(1+rng.IntN(100))), r.Value...)
		case odd && kind < 6: // two versions, in one table or in two
			older := r
			older.Trailer = base.MakeTrailer(r.Trailer.Seq()-1, base.KindSet)
			at := max(level, rng.IntN(2))
			j.levels[at] = append(j.levels[at], older)
		}
		j.levels[level] = append(j.levels[level], r)
		seq = 2*n + 1
	}
	for level := range 2 {
		for range rng.IntN(3) * rng.IntN(2) {
			lo := rng.IntN(keys - 1)
			hi := min(keys, lo+1+rng.IntN(50))
			j.deletes[level] = append(j.deletes[level], rangedel.Tombstone{Lo: key(lo), Hi: key(hi), Seq: base.SeqNum(1 + rng.IntN(seq))})
		}
	}
	if rng.IntN(2) == 0 {
		j.cfg.Snapshots = []base.SeqNum{base.SeqNum(1 + rng.IntN(seq))}
	}
	j.cfg.ReadTimes = []base.Instant{50, 60}[:1+len(j.cfg.Snapshots)]
	for at := rng.IntN(keys); at < keys && rng.IntN(2) == 0; at += 1 + rng.IntN(200) {
		j.borders = append(j.borders, key(at))
	}
	return j
}

// settled makes the older records of a job those that a compaction into the last level has written.
func (j *coarse) settled() {
	j.cfg.Bottom = true
	for i, r := range j.levels[1] {
		if r.Trailer.Kind() == base.KindSet {
			j.levels[1][i].Trailer = base.MakeTrailer(0, base.KindSet)
		}
	}
	j.levels[1] = slices.CompactFunc(j.levels[1], func(a, b base.Record) bool { return string(a.Key) == string(b.Key) })
	j.deletes[1] = nil
}

// run does the job.
func (j *coarse) run(r *room, records func(*Merge) Records) ([]*manifest.FileMeta, compact.Stats, error) {
	var files [2][]*manifest.FileMeta
	for level := range files {
		var err error
		files[level], err = r.write(Output{Level: 1 + level, FileBytes: 3 << 10}, j.levels[level], j.deletes[level]...)
		must(r.t, err)
	}
	return j.merge(r, files, records)
}

func (j *coarse) merge(r *room, files [2][]*manifest.FileMeta, records func(*Merge) Records) ([]*manifest.FileMeta, compact.Stats, error) {
	tree := r.NewTree(r.version(nil, files[0], files[1]))
	defer r.drop(tree)
	open := func(lo, hi []byte) (Records, rangedel.Iterator, error) {
		merged, deletes, err := tree.MergeInputs(1, 2, files, 1)
		if err != nil {
			return nil, nil, err
		}
		return records(merged), rangedel.Within(deletes, lo, hi), nil
	}
	return r.WriteParts(context.Background(), j.borders, open, Output{Level: 2, Bottom: j.cfg.Bottom, FileBytes: 5 << 10}, j.cfg)
}

// Taking blocks over changes nothing of what a merge comes to. Tables are read back in full when
// they are written, so all that they say of themselves is true.
func TestWholeBlocks(t *testing.T) {
	taken, plain := uint64(0), 0
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 37))
		j := coarseJob(rng)
		if rng.IntN(3) > 0 {
			j.settled()
		}
		r := newRoom(t)
		got, stats, err := j.run(r, func(m *Merge) Records { return m })
		must(t, err)
		want, plainStats, err := j.run(r, func(m *Merge) Records { return onlyRecords{m} })
		must(t, err)
		if got, want := r.content(got), r.content(want); got != want {
			t.Fatalf("seed %d, borders %q: there is\n%s\nwant\n%s", seed, j.borders, got, want)
		}
		taken, plain = taken+stats.BlocksTaken, plain+int(plainStats.BlocksTaken)
		stats.BlocksTaken, stats.BytesOut, plainStats.BytesOut = 0, 0, 0
		if stats != plainStats {
			t.Errorf("seed %d: %+v, want %+v", seed, stats, plainStats)
		}
		for i := range got[1:] {
			if string(got[i].Hi) > string(got[i+1].Lo) {
				t.Errorf("seed %d: a table ends at %q, the next begins at %q", seed, got[i].Hi, got[i+1].Lo)
			}
		}
	}
	if taken < 1000 || plain > 0 {
		t.Errorf("%d blocks were taken over, and %d without blocks", taken, plain)
	}
}

// A block that is damaged is not taken over: the merge ends, and names it.
func TestDamagedWholeBlock(t *testing.T) {
	j := coarse{cfg: compact.Config{Bottom: true}}
	for n, r := range fineRecords(compressed) {
		j.levels[n/50%2] = append(j.levels[n/50%2], r)
	}
	for _, damaged := range []bool{false, true} {
		r := newRoom(t)
		files := [2][]*manifest.FileMeta{}
		for level := range files {
			var err error
			files[level], err = r.write(Output{Level: 1 + level}, j.levels[level])
			must(t, err)
		}
		name := TableName(files[1][0].Num)
		if damaged {
			r.flip(name, int64(files[1][0].SizeBytes/4))
		}
		before := len(r.files())
		_, stats, err := j.merge(r, files, func(m *Merge) Records { return m })
		var damage *base.CorruptionError
		switch {
		case !damaged && (err != nil || stats.BlocksTaken < 72):
			t.Errorf("%d blocks were taken over, %v", stats.BlocksTaken, err)
		case damaged && (!errors.As(err, &damage) || damage.File != name || damage.Kind != "data block"):
			t.Errorf("the merge of a damaged block: %v", err)
		case damaged && len(r.files()) != before:
			t.Errorf("%d files are left, %d were there", len(r.files()), before)
		}
	}
}

// A block is not taken over into a table of another codec.
func TestWholeBlocksOfOtherCodec(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Fast, compress.Small} {
		r := newRoom(t)
		cfg := r.cfg
		cfg.Keyspaces = keyspace.NewRegistry(keyspace.Config{Codec: func(level int, _ bool) compress.Policy {
			if level == 2 {
				return compress.Policy{Codec: codec}
			}
			return compress.Policy{Codec: compress.Fast}
		}})
		r.Store = New(cfg)
		r.SkipFileNums(1)
		input, err := r.write(Output{Level: 1}, fineRecords(0))
		must(t, err)
		j := coarse{cfg: compact.Config{Bottom: true}}
		_, stats, err := j.merge(r, [2][]*manifest.FileMeta{input, nil}, func(m *Merge) Records { return m })
		must(t, err)
		if taken := stats.BlocksTaken > 0; taken != (codec == compress.Fast) {
			t.Errorf("%d blocks went into a table with codec %s", stats.BlocksTaken, codec)
		}
	}
}

// fineRecords are some in a keyspace, which can be compressed.
func fineRecords(keyspace byte) (records []base.Record) {
	for n := range 300 {
		records = append(records, rec(fmt.Sprintf("%ckey%04d", keyspace, n), 0, strings.Repeat("value ", 5)))
	}
	return records
}

// flip changes a bit of a file.
func (r *room) flip(name string, at int64) {
	r.t.Helper()
	f, err := r.fs.OpenReadWrite(filepath.Join("db", name))
	must(r.t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(r.t, err)
	_, err = f.WriteAt([]byte{b[0] ^ 1}, at)
	must(r.t, errors.Join(err, f.Close()))
}
