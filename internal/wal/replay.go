package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/lightningdb/lightning/internal/base"
)

// Result says what a replay found.
type Result struct {
	End     Position    // of the last group that counts; the next log starts here
	LastSeq base.SeqNum // of the last group handed out
	Groups  int         // handed out
	// TornFile and TornBytes tell where the log was cut short, and how much of
	// it was dropped; none of that was durable once. Empty where the log ends
	// cleanly.
	TornFile  string
	TornBytes int64
}

// Replay reads the segments, in the order they were written, and hands the
// payload of each group at or behind position from to fn; the payload is valid
// during the call. from is where the log is needed from, and the segments must
// reach back to it; inTables is the newest sequence number that is in tables.
//
// Each segment must be there, as the one that was prepared, and not shorter than
// it was then; fn is called for nothing where one is not. These findings say
// which commits may be lost.
//
// The log counts up to the first bad place. If anything behind it, in any
// segment, says that it was durable once, that is damage; all damage found is
// returned, joined, as *base.CorruptionError, and what fn got by then is an
// intact beginning of the log. Otherwise the log was cut short there and the
// rest, later segments included, is dropped. A segment that was never begun is
// empty. An error of fn ends the replay.
func Replay(cfg Config, segments []Segment, from Position, inTables base.SeqNum,
	fn func(first base.SeqNum, payload []byte) error) (Result, error) {
	r := replayer{cfg: cfg, from: from, expect: from, intact: inTables, fn: fn}
	for _, s := range segments {
		ok, err := r.sound(s)
		if err != nil {
			return r.result, err
		}
		r.refused = r.refused || !ok
	}
	for _, s := range segments {
		if err := r.segment(s); err != nil {
			return r.result, errors.Join(append(r.damage, err)...)
		}
	}
	r.finish()
	return r.result, errors.Join(r.damage...)
}

// Identify returns which segment file n was prepared as, and whether it was begun;
// a zero Segment where there is no intact header of this database.
func Identify(cfg Config, n base.FileNum) (s Segment, begun bool, err error) {
	var in reader
	if err := in.open(cfg, FileName(n), n); err != nil {
		return s, false, err
	}
	defer func() { err = errors.Join(err, in.f.Close()) }()
	b, err := in.read(0, segmentHeaderBytes)
	if err != nil {
		return s, false, err
	}
	id, s, err := decodePrepared(in.name, b)
	if err != nil || id != cfg.DBID {
		return Segment{}, false, nil // nothing that could be ours
	}
	_, begun, err = in.begun(s)
	return s, begun, err
}

// Owner returns the database that segment file n belongs to, by its header; ok is false where
// that is not intact.
func Owner(cfg Config, n base.FileNum) (id base.DBID, ok bool, err error) {
	var in reader
	if err := in.open(cfg, FileName(n), n); err != nil {
		return id, false, err
	}
	defer func() { err = errors.Join(err, in.f.Close()) }()
	b, err := in.read(0, segmentHeaderBytes)
	if err != nil {
		return id, false, err
	}
	id, _, err = decodePrepared(in.name, b)
	return id, err == nil, nil
}

// replayer walks the log once. It hands out groups until the first gap, and
// goes on behind gaps only to learn whether they are damage: claimed, the
// highest position that anything says was durable, decides it in the end.
type replayer struct {
	cfg    Config
	from   Position
	fn     func(base.SeqNum, []byte) error
	in     reader
	result Result

	// refused says that a segment is not what it was: nothing is handed out.
	refused bool
	intact  base.SeqNum // the newest of which nothing before it is lost

	expect  Position // where the next group must be
	claimed Position
	claimer string // the file that says so
	gaps    []gap
	damage  []error

	// The last segment that has groups, and how much of it behind the last of
	// them looks like the beginning of another one.
	last    tail
	missing bool // a segment, or the end of one, was missing since then
}

// gap is a place where groups are missing, or may be.
type gap struct {
	at     Position // everything from here on is lost, or was never there
	file   string
	offset int64
	length int64 // 0 where unknown
	kind   string
}

type tail struct {
	file   string
	offset int64
	torn   int64
}

func (r *replayer) claim(p Position) {
	if p > r.claimed {
		r.claimed, r.claimer = p, r.in.name
	}
}

// sound reports whether a segment is there, is the one that was prepared, and has
// at least the size that it had then.
func (r *replayer) sound(s Segment) (bool, error) {
	err := r.in.open(r.cfg, FileName(s.Num), s.Num)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	strange, err := r.stranger(s)
	return strange == nil && r.in.size >= s.SizeBytes, errors.Join(err, r.in.f.Close())
}

// stranger returns in which way the open file is not the segment that was prepared,
// or nil.
func (r *replayer) stranger(s Segment) (strange, err error) {
	b, err := r.in.read(0, preparedHeaderBytes)
	if err != nil {
		return nil, err
	}
	id, was, finding := decodePrepared(r.in.name, b)
	if _, newer := errors.AsType[*base.FormatError](finding); newer {
		return nil, finding
	}
	switch {
	case finding != nil:
		return finding, nil
	case id != r.cfg.DBID:
		return errors.New("segment of another database"), nil
	case was.Num != s.Num || was.Salt != s.Salt || was.SizeBytes > s.SizeBytes:
		return fmt.Errorf("segment of another place: it was prepared as %s", FileName(was.Num)), nil
	}
	return nil, nil
}

func (r *replayer) segment(s Segment) error {
	err := r.in.open(r.cfg, FileName(s.Num), s.Num)
	if errors.Is(err, fs.ErrNotExist) {
		r.lost(gap{file: FileName(s.Num), offset: -1, kind: "missing file"}, err)
		return nil
	} else if err != nil {
		return err
	}
	err = r.contents(s)
	if closeErr := r.in.f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", r.in.name, closeErr)
	}
	return err
}

func (r *replayer) contents(s Segment) error {
	strange, err := r.stranger(s)
	if err != nil {
		return err
	}
	if strange == nil {
		err = r.begun(s)
	}
	if r.in.size < s.SizeBytes {
		// Its size was durable before anyone counted on it.
		finding := fmt.Errorf("it has %d bytes, %d were reserved", r.in.size, s.SizeBytes)
		if strange != nil {
			finding = fmt.Errorf("%w, and its %w", finding, strange)
		}
		r.lost(gap{
			file: r.in.name, offset: r.in.size, length: s.SizeBytes - r.in.size, kind: "wal segment",
		}, finding)
	} else if strange != nil {
		r.lost(gap{file: r.in.name, length: preparedHeaderBytes, kind: "wal segment header"}, strange)
	}
	return err
}

// begun reads the groups of a segment. Where the header that says where it starts
// was not written, did not reach the disk or has rotted, the groups themselves
// tell; a segment without either was never begun, or nothing of it was ever
// durable.
func (r *replayer) begun(s Segment) error {
	r.in.salt = s.Salt
	h, ok, err := r.in.begun(s)
	if err != nil {
		return err
	}
	if ok {
		r.in.start = h.start
	} else if found, err := r.in.findStart(segmentHeaderBytes); err != nil || !found {
		return err
	}
	r.arrive()
	if ok {
		r.claim(h.durable)
	}
	return r.groups()
}

// arrive checks that the segment starts where the one before it ended.
func (r *replayer) arrive() {
	start := r.in.start
	switch {
	case start <= r.from:
		// Nothing before this segment is needed.
		r.gaps = r.gaps[:0]
	case len(r.gaps) > 0 && r.gaps[0].at == start && r.claimed <= start:
		// An earlier replay cut the log short there, and it went on here.
		r.gaps = r.gaps[:0]
	case start > r.expect && !r.missing:
		r.gaps = append(r.gaps, r.gapBefore(start))
	case start < r.expect:
		r.report(gap{
			file: r.in.name, offset: preparedHeaderBytes, length: beginHeaderBytes, kind: "wal segment header",
		},
			fmt.Errorf("segment starts at %d, inside the one before it, which ends at %d",
				start, r.expect))
	}
	r.expect = start
	r.missing = false
}

// gapBefore is the gap between the last group of the segments before and the
// start of this one.
func (r *replayer) gapBefore(start Position) gap {
	g := gap{at: r.expect, file: r.last.file, offset: r.last.offset,
		length: int64(start - r.expect), kind: "wal group"}
	if g.file == "" {
		g.file, g.offset, g.kind = r.in.name, -1, "wal segment before this one"
	}
	return g
}

// groups walks the groups of a segment.
func (r *replayer) groups() error {
	offset := int64(segmentHeaderBytes)
	for {
		h, payload, ok, err := r.in.group(offset)
		if err != nil {
			return err
		}
		if !ok {
			next, err := r.in.scan(offset + alignBytes)
			if err != nil {
				return err
			}
			if next == r.in.size {
				return r.leave(offset)
			}
			r.gaps = append(r.gaps, gap{
				at: r.in.position(offset), file: r.in.name, offset: offset,
				length: next - offset, kind: "wal group",
			})
			offset = next
			continue
		}
		r.claim(h.durable)
		offset += int64(h.sizeBytes())
		r.expect = r.in.position(offset)
		if h.seal {
			r.last = tail{file: r.in.name, offset: offset}
			return nil
		}
		if err := r.deliver(h, payload); err != nil {
			return err
		}
	}
}

// deliver hands out a group unless something before it is missing.
func (r *replayer) deliver(h groupHeader, payload []byte) error {
	whole := len(r.gaps) == 0 && len(r.damage) == 0
	if !whole {
		return nil
	}
	last := h.first + base.SeqNum(h.count)
	r.intact = max(r.intact, last)
	if r.refused || h.position < r.from {
		return nil
	}
	if err := r.fn(h.first, payload); err != nil {
		return err
	}
	r.result.Groups++
	r.result.LastSeq = last
	return nil
}

// leave ends a segment whose last group ends at offset.
func (r *replayer) leave(offset int64) error {
	r.last = tail{file: r.in.name, offset: offset}
	b, err := r.in.read(offset, groupHeaderBytes)
	if err != nil || len(b) < groupHeaderBytes {
		return err
	}
	h, _ := decodeGroupHeader(b)
	if h.number == r.in.number && h.salt == r.in.salt && h.position == r.in.position(offset) {
		r.last.torn = min(int64(h.sizeBytes()), r.in.size-offset)
	}
	return nil
}

// finish judges the gaps.
func (r *replayer) finish() {
	end := r.expect
	r.result.End = max(end, r.from)
	if r.last.torn > 0 {
		r.result.TornFile, r.result.TornBytes = r.last.file, r.last.torn
	}
	for _, g := range r.gaps {
		if g.at < r.claimed {
			r.report(g, fmt.Errorf("not what was written: %s says that the log was durable up to %d",
				r.claimer, r.claimed))
		}
	}
	if len(r.gaps) > 0 {
		first := r.gaps[0]
		r.result.End = max(first.at, r.from)
		r.result.TornFile = first.file
		r.result.TornBytes = int64(end-min(end, first.at)) + r.last.torn
	}
}

// lost reports that a segment, or the end of one, is not there.
func (r *replayer) lost(g gap, err error) {
	r.report(g, fmt.Errorf("%w: commits after number %d may be lost", err, r.intact))
	r.missing = true
}

func (r *replayer) report(g gap, err error) {
	r.damage = append(r.damage, &base.CorruptionError{
		File: g.file, Offset: g.offset, Length: g.length, Kind: g.kind, Err: err,
	})
}
