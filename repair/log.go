package repair

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
)

// logRunBytes is how much of the log is sorted in memory at once.
const logRunBytes = 16 << 20

// readLog reads what the log has that is in no table, into sorted runs: temporary tables in the
// new directory. A log that an open would take is read as an open does it, which knows a torn
// end from damage. Else each group is taken that is intact, behind damage too.
func (w *writer) readLog() error {
	cfg := wal.Config{FS: w.from, Dir: w.dir, DBID: w.source.id}
	if w.report.ManifestLost {
		return w.scanLog(cfg, w.listedLogs())
	}
	segments := make([]wal.Segment, len(w.state.Logs))
	nums := make([]base.FileNum, len(w.state.Logs))
	for i, l := range w.state.Logs {
		segments[i] = wal.Segment(l)
	}
	slices.SortFunc(segments, func(a, b wal.Segment) int { return cmp.Compare(a.Num, b.Num) })
	for i, s := range segments {
		nums[i] = s.Num
	}
	from := wal.Position(w.state.LogStart)
	_, err := wal.Replay(cfg, segments, from, w.state.LastSeq, func(base.SeqNum, []byte) error { return w.ctx.Err() })
	switch {
	case err == nil:
		_, err = wal.Replay(cfg, segments, from, w.state.LastSeq, w.addGroup)
		return err
	case !errors.Is(err, base.ErrCorrupted):
		return err
	}
	w.loseAll(err)
	return w.scanLog(cfg, nums)
}

// loseAll notes damage of which it is not known which keys it concerns.
func (w *writer) loseAll(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, inner := range joined.Unwrap() {
			w.loseAll(inner)
		}
		return
	}
	w.lose(lossOf(err, "log", nil, nil))
}

// listedLogs returns the segments that are in the directory.
func (w *writer) listedLogs() (nums []base.FileNum) {
	for _, name := range w.names {
		if n, ok := wal.ParseFileName(name); ok {
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	return nums
}

// scanLog reads all groups of segments that are intact, and notes which numbers are missing.
func (w *writer) scanLog(cfg wal.Config, nums []base.FileNum) error {
	w.newest = w.flushed
	for _, n := range nums {
		if err := w.scanSegment(cfg, n); err != nil {
			return err
		}
	}
	w.report.LostLogEnd = uint64(w.newest + 1)
	return nil
}

func (w *writer) scanSegment(cfg wal.Config, n base.FileNum) error {
	w.begin(wal.FileName(n))
	id, begun, err := wal.Identify(cfg, n)
	if err == nil && id != (wal.Segment{}) && !begun {
		return nil // it was prepared, and never written to
	}
	c, err := wal.OpenCursor(cfg, n)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) || !w.isLost(wal.FileName(n)) {
			w.loseAll(err)
		}
		return nil
	}
	defer c.Close()
	for {
		g, ok, err := c.Next(math.MaxUint64)
		if err != nil {
			w.loseAll(err)
			return nil
		}
		if ok {
			if err := w.scanned(&g); err != nil {
				return err
			}
			continue
		}
		if _, found, err := c.Skip(math.MaxUint64); err != nil || !found {
			return nil
		}
	}
}

// isLost reports whether a file is named already.
func (w *writer) isLost(file string) bool { return w.named[file] > 0 }

// scanned takes a group, and notes the numbers between it and the one before.
func (w *writer) scanned(g *wal.Group) error {
	if g.First > w.newest+1 && w.newest > 0 {
		w.report.LostSeqs = append(w.report.LostSeqs, SeqRange{uint64(w.newest + 1), uint64(g.First - 1)})
	}
	return w.addGroup(g.First, g.Payload)
}

// addGroup takes the records of a group. Numbers that are in tables are there.
func (w *writer) addGroup(first base.SeqNum, payload []byte) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	reader, last := batch.NewReader(bytes.Clone(payload)), first-1
	var records []base.Record
	for {
		ok, err := reader.Next()
		if err != nil {
			w.lose(lossOf(err, "log", nil, nil))
			return nil
		}
		if !ok {
			break
		}
		last++
		records = append(records, base.Record{Key: reader.Key, Trailer: base.MakeTrailer(last, reader.Kind), Value: reader.Value})
	}
	w.report.LogGroups++
	w.newest = max(w.newest, last)
	if last <= w.flushed {
		return nil
	}
	for i := range records {
		if err := w.addRecord(&records[i]); err != nil {
			return err
		}
	}
	if w.logBytes += int64(len(payload)); w.logBytes >= logRunBytes {
		return w.endRun()
	}
	return nil
}

func (w *writer) addRecord(rec *base.Record) error {
	switch rec.Trailer.Kind() {
	case base.KindKeyspace:
		act, err := keyspace.DecodeAct(rec.Key, rec.Value)
		if err != nil {
			w.lose(lossOf(err, "log", rec.Key, keyspace.PrefixEnd(rec.Key)))
			return nil
		}
		act.Seq = rec.Trailer.Seq()
		w.act(act)
	case base.KindRangeDelete:
		w.tombstones = append(w.tombstones, rangedel.Tombstone{Lo: rec.Key, Hi: rec.Value, Seq: rec.Trailer.Seq()})
	default:
		w.logged = append(w.logged, *rec)
	}
	return nil
}

// endRun writes the records at hand to a run.
func (w *writer) endRun() (err error) {
	if len(w.logged) == 0 {
		return nil
	}
	slices.SortFunc(w.logged, func(a, b base.Record) int { return base.Compare(a.Key, a.Trailer, b.Key, b.Trailer) })
	if w.report.ManifestLost {
		w.lose(Loss{
			File: "log", Offset: -1, Kind: "log of a lost manifest", Reason: "what came after it may be lost",
			Lo: w.logged[0].Key, Hi: base.Successor(nil, w.logged[len(w.logged)-1].Key),
		})
	}
	num := base.FileNum(len(w.runs) + 1)
	path := filepath.Join(w.staged.Path, store.TableName(num))
	f, err := w.FS.Create(path)
	if err != nil {
		return err
	}
	out := sstable.NewWriter(f, sstable.WriterOptions{DBID: w.id, FileNum: num, Compression: compress.Fast, Temporary: true})
	for _, rec := range w.logged {
		if err := out.Add(rec.Key, rec.Trailer, rec.Value); err != nil {
			return errors.Join(err, out.Abort())
		}
	}
	if _, err := out.Finish(nil, nil); err != nil {
		return err
	}
	w.logged, w.logBytes = nil, 0
	in, err := w.FS.Open(path)
	if err != nil {
		return err
	}
	run, err := sstable.OpenReader(in, sstable.ReaderOptions{Name: store.TableName(num), DBID: w.id, FileNum: num})
	if err != nil {
		return err
	}
	w.runs = append(w.runs, run)
	return nil
}
