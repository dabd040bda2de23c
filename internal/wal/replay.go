package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

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
// reach back to it.
//
// The log counts up to the first bad place. If anything behind it, in any
// segment, says that it was durable once, that is damage; all damage found is
// returned, joined, as *base.CorruptionError, and what fn got by then is an
// intact beginning of the log. Otherwise the log was cut short there and the
// rest, later segments included, is dropped. A segment that was never begun is
// empty; one that is missing is damage. An error of fn ends the replay.
func Replay(cfg Config, segments []base.FileNum, from Position,
	fn func(first base.SeqNum, payload []byte) error) (Result, error) {
	r := replayer{cfg: cfg, live: segments, from: from, expect: from, fn: fn}
	for _, n := range segments {
		if err := r.segment(n); err != nil {
			return r.result, errors.Join(append(r.damage, err)...)
		}
	}
	r.finish()
	return r.result, errors.Join(r.damage...)
}

// Owner returns the number of the segment that the content of file n was begun
// as, which is another one where n was recycled and not begun again; 0 where
// there is no intact header of this database.
func Owner(cfg Config, n base.FileNum) (base.FileNum, error) {
	var in reader
	if err := in.open(cfg, FileName(n), n); err != nil {
		return 0, err
	}
	b, err := in.read(0, segmentHeaderBytes)
	if err = errors.Join(err, in.f.Close()); err != nil {
		return 0, err
	}
	h, err := decodeSegmentHeader(in.name, b)
	if err != nil || h.id != cfg.DBID {
		return 0, nil // nothing that could be ours
	}
	return h.num, nil
}

// replayer walks the log once. It hands out groups until the first gap, and
// goes on behind gaps only to learn whether they are damage: claimed, the
// highest position that anything says was durable, decides it in the end.
type replayer struct {
	cfg    Config
	live   []base.FileNum
	from   Position
	fn     func(base.SeqNum, []byte) error
	in     reader
	result Result

	expect  Position // where the next group must be
	claimed Position
	claimer string // the file that says so
	gaps    []gap
	damage  []error

	// The last segment that has groups, and how much of it behind the last of
	// them looks like the beginning of another one.
	last    tail
	missing bool // a segment was missing since then
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

func (r *replayer) segment(n base.FileNum) error {
	err := r.in.open(r.cfg, FileName(n), n)
	if errors.Is(err, fs.ErrNotExist) {
		r.report(gap{file: FileName(n), offset: -1, kind: "missing file"}, err)
		r.missing = true
		return nil
	} else if err != nil {
		return err
	}
	err = r.contents(n)
	if closeErr := r.in.f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", r.in.name, closeErr)
	}
	return err
}

func (r *replayer) contents(n base.FileNum) error {
	if r.in.size < segmentHeaderBytes {
		// Its size was durable before anyone counted on it.
		r.report(gap{file: r.in.name, kind: "wal segment"}, fmt.Errorf("it has only %d bytes", r.in.size))
		r.missing = true
		return nil
	}
	b, err := r.in.read(0, segmentHeaderBytes)
	if err != nil {
		return err
	}
	h, err := decodeSegmentHeader(r.in.name, b)
	if _, newer := errors.AsType[*base.FormatError](err); newer {
		return err
	}
	// A recycled segment may have the header of an older use, but never that of
	// a segment that is still in use.
	if err == nil && (h.id != r.cfg.DBID || h.num > n || h.num < n && slices.Contains(r.live, h.num)) {
		err = errors.New("segment of another place")
	}
	switch {
	case errors.Is(err, errNotBegun), err == nil && h.num < n:
		return r.withoutHeader()
	case err != nil:
		r.report(gap{file: r.in.name, length: segmentHeaderBytes, kind: "wal segment header"}, err)
		r.missing = true
		return nil
	}
	r.in.salt, r.in.start = h.salt, h.start
	r.arrive()
	r.claim(h.durable)
	return r.groups()
}

// withoutHeader reads a segment that has no header of its own: nothing was
// written to it, or it was cut short before its header was durable, or the
// header rotted.
func (r *replayer) withoutHeader() error {
	found, err := r.in.findLost()
	if err != nil || !found {
		return err
	}
	r.arrive()
	r.gaps = append(r.gaps, gap{
		at: r.in.start, file: r.in.name, length: segmentHeaderBytes, kind: "wal segment header",
	})
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
		r.report(gap{file: r.in.name, length: segmentHeaderBytes, kind: "wal segment header"},
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
		if len(r.gaps) == 0 && len(r.damage) == 0 && h.position >= r.from {
			if err := r.fn(h.first, payload); err != nil {
				return err
			}
			r.result.Groups++
			r.result.LastSeq = h.first + base.SeqNum(h.count)
		}
	}
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

func (r *replayer) report(g gap, err error) {
	r.damage = append(r.damage, &base.CorruptionError{
		File: g.file, Offset: g.offset, Length: g.length, Kind: g.kind, Err: err,
	})
}
