// Package wal is the write-ahead log: groups of records, in segments that are
// prepared ahead and used again.
//
// A Position counts the bytes of all groups since the database was made. The
// log has four of them, which never go back: appended (in the buffer), written
// (handed to the operating system), durable, and the start of each segment. A
// group is in place only at its own position, in the incarnation of the
// segment that it was written for, so that nothing an older use of a file left
// behind is ever replayed.
package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/checksum"
	"github.com/lightningdb/lightning/internal/kernel"
	"github.com/lightningdb/lightning/internal/ranked"
)

// Position is a place in the log.
type Position uint64

const (
	defaultBufferBytes = 1 << 20
	minBufferBytes     = 4 << 10
	// expectedBytes is how much of the buffer is asked for ahead of the next group.
	expectedBytes = 192
)

// Log is the log open for writing.
//
// The buffer is a ring that is addressed by position: Append, of which there
// is one at a time, fills it and moves appended; whoever holds writeMu writes
// [written, appended) to the current segment and moves written. Append takes
// no lock unless the ring is full, so neither a write nor a sync in progress
// holds it up before that.
//
// Invariants: durable <= written <= appended <= written + size of the ring.
// Everything in the ring belongs to the current segment: Rotate empties it
// first. durable moves only after every segment that holds older groups was
// synced, in order. After the first failure nothing is written or synced any
// more, durable stays, and every call returns that failure.
//
// Append, Rotate and Close must not run at the same time; all other methods
// are safe beside them and beside each other.
type Log struct {
	cfg  Config
	ring []byte
	mask Position

	appended atomic.Uint64
	lastSeq  atomic.Uint64 // of the groups below appended; stored after it
	written  atomic.Uint64
	durable  atomic.Uint64
	syncSeq  atomic.Uint64 // last sequence number below durable
	failure  atomic.Pointer[error]

	// number and salt of the current segment, for Append alone.
	number, salt uint32

	// syncMu is held by the one who syncs, and taken before writeMu.
	syncMu ranked.Mutex[ranked.LogSync]

	writeMu  ranked.Mutex[ranked.LogWrite]
	current  *segment
	unsynced []*segment // rotated away from, in order
}

// NewLog begins to write at position start, in a prepared segment. All groups
// before start, up to sequence number last, are taken to be durable elsewhere.
func NewLog(cfg Config, prepared Segment, start Position, last base.SeqNum) (*Log, error) {
	if start%alignBytes != 0 {
		return nil, fmt.Errorf("log position %d is not a multiple of %d", start, alignBytes)
	}
	s, err := openSegment(cfg, prepared, start)
	if err != nil {
		return nil, err
	}
	if err := s.begin(start); err != nil {
		return nil, errors.Join(err, s.close())
	}
	size := cfg.BufferBytes
	if size <= 0 {
		size = defaultBufferBytes
	}
	size = 1 << bits.Len(uint(max(size, minBufferBytes)-1))
	l := &Log{
		cfg:     cfg,
		ring:    make([]byte, size),
		mask:    Position(size - 1),
		number:  uint32(s.num),
		salt:    s.salt,
		current: s,
	}
	for _, p := range []*atomic.Uint64{&l.appended, &l.written, &l.durable} {
		p.Store(uint64(start))
	}
	l.syncSeq.Store(uint64(last))
	return l, nil
}

// Appended returns the end of the last group.
func (l *Log) Appended() Position { return Position(l.appended.Load()) }

// Durable returns the position below which everything is on stable storage.
func (l *Log) Durable() Position { return Position(l.durable.Load()) }

// DurableSeq returns the last sequence number up to which all is durable.
func (l *Log) DurableSeq() base.SeqNum { return base.SeqNum(l.syncSeq.Load()) }

// SegmentBytes returns the size of the current segment's file. It must not run
// beside Append and Rotate.
func (l *Log) SegmentBytes() int64 { return l.current.sizeBytes }

// Append adds one group that holds the sequence numbers first to last, with
// the given pieces as its payload, and returns the position after it. The
// pieces are copied. When the buffer is full Append writes it out itself. Where
// the segment has to grow and cannot, nothing is appended and the log goes on
// as it was, as Failure tells: a full disk is found out before a write fails.
func (l *Log) Append(first, last base.SeqNum, payload ...[]byte) (Position, error) {
	if err := l.failed(); err != nil {
		return 0, err
	}
	var length uint64
	for _, p := range payload {
		length += uint64(len(p))
	}
	if last < first || last > base.SeqNumMax || last-first > math.MaxUint32 ||
		length > base.MaxBatchBytes {
		return 0, fmt.Errorf("log group %d..%d of %d bytes is out of range", first, last, length)
	}
	// Close is to have space for the seal.
	if err := l.current.reserve(l.Appended() + Position(groupBytes(length)+groupBytes(0))); err != nil {
		return 0, err
	}
	return l.append(groupHeader{
		length: uint32(length), first: first, count: uint32(last - first),
	}, payload)
}

// append completes the header and adds the group.
func (l *Log) append(h groupHeader, payload [][]byte) (Position, error) {
	at := Position(l.appended.Load())
	h.number, h.salt, h.position = l.number, l.salt, at
	h.durable = Position(l.durable.Load())
	end := at + Position(h.sizeBytes())
	if end-Position(l.written.Load()) > Position(len(l.ring)) {
		if h.sizeBytes() > uint64(len(l.ring)) {
			return l.appendLarge(h, payload)
		}
		if err := l.Flush(); err != nil {
			return 0, err
		}
	}
	var header [groupHeaderBytes]byte
	h.encode(&header)
	if h.length > 0 {
		binary.LittleEndian.PutUint64(l.ring[(end-alignBytes)&l.mask:], 0) // the padding
	}
	l.put(at, header[:])
	next := at + groupHeaderBytes
	for _, p := range payload {
		l.put(next, p)
		next += Position(len(p))
	}
	binary.LittleEndian.PutUint32(l.ring[at&l.mask:], l.checksum(at+4, end))
	l.publish(end, &h)
	next = end & l.mask
	kernel.PrefetchBytes(l.ring[next:min(next+expectedBytes, Position(len(l.ring)))])
	return end, nil
}

// put copies b into the ring.
func (l *Log) put(at Position, b []byte) {
	n := copy(l.ring[at&l.mask:], b)
	if n < len(b) {
		copy(l.ring, b[n:])
	}
}

// checksum is that of the bytes [from, to) in the ring.
func (l *Log) checksum(from, to Position) uint32 {
	i, j := from&l.mask, to&l.mask
	if i < j {
		return checksum.CRC(0, l.ring[i:j])
	}
	return checksum.CRC(checksum.CRC(0, l.ring[i:]), l.ring[:j])
}

// publish lets the writer have the group. Whoever loads lastSeq before
// appended gets a position that includes the group of that number.
func (l *Log) publish(end Position, h *groupHeader) {
	l.appended.Store(uint64(end))
	if !h.seal {
		l.lastSeq.Store(uint64(h.first) + uint64(h.count))
	}
}

// fail poisons the log with the first failure and returns that.
func (l *Log) fail(err error) error {
	l.failure.CompareAndSwap(nil, &err)
	return *l.failure.Load()
}

// Failure returns the first failure, after which the log does nothing any more;
// nil while it works.
func (l *Log) Failure() error { return l.failed() }

func (l *Log) failed() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Flush hands everything that was appended to the operating system.
func (l *Log) Flush() error {
	if err := l.failed(); err != nil {
		return err
	}
	target := l.appended.Load()
	if l.written.Load() >= target {
		return nil
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	return l.flushLocked()
}

// flushLocked empties the ring, of which Append may go on to fill the rest.
func (l *Log) flushLocked() error {
	if err := l.failed(); err != nil {
		return err
	}
	from, to := Position(l.written.Load()), Position(l.appended.Load())
	for from < to {
		i := from & l.mask
		n := min(to-from, Position(len(l.ring))-i)
		if err := l.current.write(l.ring[i:i+n], from); err != nil {
			return l.fail(err)
		}
		from += n
		l.written.Store(uint64(from))
	}
	return nil
}

// Sync makes everything that was appended before the call durable. Callers
// that wait for one another share the sync of the first who gets its turn.
func (l *Log) Sync() error {
	if err := l.failed(); err != nil {
		return err
	}
	target := l.appended.Load()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if l.durable.Load() >= target {
		return nil
	}
	l.writeMu.Lock()
	seq, position := l.lastSeq.Load(), l.appended.Load() // in this order
	err := l.flushLocked()
	old, current := l.unsynced, l.current
	if err == nil {
		l.unsynced = nil
	}
	l.writeMu.Unlock()
	if err != nil {
		return err
	}
	// Nobody else syncs or closes a segment now, and Append and Flush only
	// write behind position, so the log goes on while the disk works.
	for i, s := range old {
		if err := errors.Join(s.sync(), s.close()); err != nil {
			l.writeMu.Lock()
			l.unsynced = old[i+1:] // for Close to close
			l.writeMu.Unlock()
			return l.fail(err)
		}
	}
	if position > uint64(current.start) {
		if err := current.sync(); err != nil {
			return l.fail(err)
		}
	}
	l.durable.Store(position)
	l.syncSeq.Store(seq)
	return nil
}

// Rotate makes the Appends that follow go to a prepared segment. What the old
// segment holds is handed to the operating system; it becomes durable with the
// next Sync, which closes the file. If the new one cannot be opened, the log goes
// on as it was.
func (l *Log) Rotate(prepared Segment) error {
	if err := l.failed(); err != nil {
		return err
	}
	s, err := openSegment(l.cfg, prepared, l.Appended())
	if err != nil {
		return err
	}
	if err := s.begin(l.Durable()); err != nil {
		return l.fail(errors.Join(err, s.close()))
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if err := l.flushLocked(); err != nil {
		_ = s.close()
		return err
	}
	l.unsynced = append(l.unsynced, l.current)
	l.current, l.number, l.salt = s, uint32(s.num), s.salt
	return nil
}

// Close makes everything durable, leaves a seal that says so, and closes the
// files. A log that failed is closed as it is, and Close returns the failure.
// Closing again does nothing.
func (l *Log) Close() error {
	if errors.Is(l.failed(), base.ErrClosed) {
		return nil
	}
	err := l.Sync()
	if err == nil {
		_, err = l.append(groupHeader{seal: true}, nil)
	}
	if err == nil {
		err = l.Sync()
	}
	closed := error(base.ErrClosed)
	l.failure.Store(&closed)
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	for _, s := range append(l.unsynced, l.current) {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}
	l.unsynced, l.current = nil, nil
	return err
}
