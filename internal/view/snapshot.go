package view

import (
	"cmp"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/epoch"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/invariant"
)

// Pinned is what snapshots and iterators keep alive.
type Pinned struct {
	// Seqs are the distinct sequence numbers that snapshots and iterators read at,
	// ascending.
	Seqs []base.SeqNum
	// Times are, for each stripe between two of them, the earliest time at which
	// one who reads in it, or in a newer one, lives; see compact.Config. Nil where
	// nothing expires.
	Times []base.Instant
}

// distinct returns the sequence numbers of read points, ascending, and the earliest time
// for each.
func distinct(points []ReadPoint) (seqs []base.SeqNum, times []base.Instant) {
	slices.SortFunc(points, func(a, b ReadPoint) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, p := range points {
		if n := len(seqs); n > 0 && seqs[n-1] == p.Seq {
			times[n-1] = min(times[n-1], p.Time)
			continue
		}
		seqs, times = append(seqs, p.Seq), append(times, p.Time)
	}
	return seqs, times
}

// Pinned returns what snapshots and iterators keep alive of the states that were current
// before the call. What has expired for all of them may be dropped from now on:
// the timeline is told.
func (r *Reader) Pinned() Pinned {
	at := r.cfg.Timeline.ReadTime()
	if at != 0 {
		// Before anything is dropped, and before the list: who is not in it has seen this.
		r.cfg.Timeline.Purge(at)
	}
	invariant.Yield()
	seqs, times := distinct(r.handles.listed())
	if at == 0 {
		return Pinned{Seqs: seqs}
	}
	times = append(times, at)
	for i := len(times) - 2; i >= 0; i-- {
		times[i] = min(times[i], times[i+1])
	}
	return Pinned{Seqs: seqs, Times: times}
}

// SnapshotSeqs returns the distinct sequence numbers that snapshots and iterators read
// at, ascending. Of the states that were current before the call, nobody else
// will ever see anything but the newest.
func (r *Reader) SnapshotSeqs() []base.SeqNum {
	seqs, _ := distinct(r.handles.listed())
	return seqs
}

// KeepSnapshotsOut calls fn while no new snapshot or iterator is made, with the newest
// sequence number that one reads at. fn must not touch files.
func (r *Reader) KeepSnapshotsOut(fn func(newest base.SeqNum) error) error {
	r.joins.Lock()
	defer r.joins.Unlock()
	newest := r.handles.join(true)
	defer r.handles.join(false)
	invariant.Yield()
	return fn(max(newest, r.handles.pins.newest())) // those that are not pinned by now wait
}

// Snapshot is a view of the database at one moment. Until it is closed, what
// it sees is kept. It is safe for concurrent use.
type Snapshot struct {
	reader *Reader
	at     ReadPoint
	pin    *pin
	closed atomic.Bool
	ofTx   bool // what it reads goes into the hot-record cache

	cleanup runtime.Cleanup // of one that is forgotten; not of those of transactions
}

// Snapshot returns a view of what is visible now.
func (r *Reader) Snapshot() (*Snapshot, error) {
	s := new(Snapshot)
	if err := r.open(s, KindSnapshot); err != nil {
		return nil, err
	}
	s.closeIfForgotten()
	return s, nil
}

// OpenForTx makes s, which is new, a view of what is visible now, for a transaction: Close
// of the reader calls it one, if it is open then.
func (r *Reader) OpenForTx(s *Snapshot) error { return r.open(s, KindTransaction) }

// open opens a snapshot, unless the reader is closed: then it takes no pin, which would be a
// leak to who looks just then.
func (r *Reader) open(s *Snapshot, kind HandleKind) error {
	if r.closed.Load() {
		return base.ErrClosed
	}
	invariant.Yield()
	return s.pinIn(r, kind)
}

// pinIn gives a new snapshot a pin. Whoever looks at the pins, before he drops what nobody sees,
// joins operands or closes the database, has said so before: so either he finds the pin, or
// that is seen here.
func (s *Snapshot) pinIn(r *Reader, kind HandleKind) error {
	at := r.readPoint()
	invariant.Yield()
	p := r.handles.pins.claim(kind, at)
	for {
		invariant.Yield()
		switch {
		case r.closed.Load():
			r.handles.unpin(p)
			return base.ErrClosed
		case r.handles.joining.Load():
			r.joins.Lock() // until the operands that are being applied are visible
			r.joins.Unlock()
		case r.VisibleSeq() == at.Seq && !r.cfg.Timeline.Purged(at.Time):
			p.noteOpened(r.cfg.Clock.Now(), r.cfg.TrackHandles)
			s.reader, s.at, s.pin, s.ofTx = r, at, p, kind == KindTransaction
			return nil
		}
		at = r.readPoint()
		invariant.Yield()
		p.move(kind, at)
	}
}

// Seq returns the sequence number that the snapshot reads at.
func (s *Snapshot) Seq() base.SeqNum { return s.at.Seq }

// Expires reports whether anything that the snapshot sees may expire.
func (s *Snapshot) Expires() bool { return s.at.Time != 0 }

// Close gives the snapshot up. A second call returns base.ErrInvalidHandle.
func (s *Snapshot) Close() error {
	if s.closed.Swap(true) {
		return base.ErrInvalidHandle
	}
	s.cleanup.Stop()
	if s.reader.handles.unpin(s.pin) {
		s.reader.cfg.SnapshotClosed()
	}
	return nil
}

// Opened returns when, and where, the snapshot was opened; the snapshot must be open.
func (s *Snapshot) Opened() Opened { return s.pin.opened() }

// Usable says why the snapshot cannot be used, if it cannot.
func (s *Snapshot) Usable() error {
	if s.reader.closed.Load() {
		return base.ErrClosed
	}
	if s.closed.Load() {
		return base.ErrInvalidHandle
	}
	if s.pin.hasExpired() {
		return base.ErrHandleExpired
	}
	return nil
}

// state returns a read state that holds what the snapshot sees. The caller is in
// an epoch guard. Whether the snapshot is open is looked at after the state was
// loaded: a state that is installed after Close may lack what the snapshot saw.
func (s *Snapshot) state() (*State, error) {
	state, _ := s.reader.now()
	return state, s.Usable()
}

// AppendGet is Reader.AppendGet as of the snapshot.
func (s *Snapshot) AppendGet(dst, key []byte) ([]byte, error) {
	dst, _, err := s.AppendGetExpiry(dst, key)
	return dst, err
}

// AppendGetExpiry is AppendGet that also tells when the key expires, 0 if never.
func (s *Snapshot) AppendGetExpiry(dst, key []byte) ([]byte, base.Instant, error) {
	g, sampled := s.reader.Epochs.EnterCounted()
	var began time.Time
	if sampled {
		began = s.reader.measures.begin(g)
	}
	dst, expiry, err := s.appendSeen(g, dst, key)
	if sampled {
		s.reader.measures.end(began)
	}
	leave(g, err == nil)
	return dst, expiry, err
}

// appendSeen is AppendGetExpiry inside a guard.
func (s *Snapshot) appendSeen(g epoch.Guard, dst, key []byte) (_ []byte, expiry base.Instant, err error) {
	hash := base.Hash(key)
	hot := &s.reader.hot
	var ticket hotcache.Ticket
	if s.ofTx { // before the state is loaded: what is distrusted from then on is not filled in
		ticket = hot.ticketAt(hash, s.at)
	}
	invariant.Yield()
	state, err := s.state()
	if err != nil {
		return dst, 0, err
	}
	switch found, answer := hot.append(dst, key, hash, s.at.Seq); answer {
	case hotcache.Found:
		return found, 0, nil
	case hotcache.Absent:
		return dst, 0, base.ErrNotFound
	}
	g.Note(epoch.NoteTree)
	value, expiry, err := state.Get(key, hash, s.at.Seq, s.at.Time)
	if expiry == 0 {
		hot.fill(ticket, key, value, hash, s.at.Seq, err)
	}
	if err != nil {
		return dst, 0, err
	}
	return append(dst, value...), expiry, nil
}

// GetFunc is Reader.GetFunc as of the snapshot.
func (s *Snapshot) GetFunc(key []byte, fn func(value []byte) error) (err error) {
	g, sampled := s.reader.Epochs.EnterCounted()
	defer func() { leave(g, err == nil) }()
	if sampled {
		began := s.reader.measures.begin(g)
		defer func() { s.reader.measures.end(began) }()
	}
	state, err := s.state()
	if err != nil {
		return err
	}
	hash := base.Hash(key)
	if known, err := s.reader.hot.call(key, hash, s.at.Seq, fn); known {
		return err
	}
	g.Note(epoch.NoteTree)
	value, _, err := state.Get(key, hash, s.at.Seq, s.at.Time)
	if err != nil {
		return err
	}
	return fn(value)
}

// Expiry returns when key expires, 0 if never; or base.ErrNotFound.
func (s *Snapshot) Expiry(key []byte) (base.Instant, error) {
	g := s.reader.Epochs.Enter()
	defer g.Exit()
	state, err := s.state()
	if err != nil {
		return 0, err
	}
	_, expiry, err := state.Get(key, base.Hash(key), s.at.Seq, s.at.Time)
	return expiry, err
}
