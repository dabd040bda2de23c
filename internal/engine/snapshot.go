package engine

import (
	"container/list"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
)

// snapshotList holds the sequence numbers that snapshots read at, oldest
// first. New ones are never older than those before, so it is always sorted.
// DB.mu guards it.
type snapshotList struct{ seqs list.List }

func (l *snapshotList) add(s snapshotAt) *list.Element { return l.seqs.PushBack(s) }

// snapshotAt is what a snapshot sees: writes up to a sequence number, of those
// that expire the ones that do so after a moment.
type snapshotAt struct {
	seq    base.SeqNum
	moment base.Instant
}

func (l *snapshotList) remove(e *list.Element) { l.seqs.Remove(e) }

// newest returns the largest number, 0 if there is none.
func (l *snapshotList) newest() base.SeqNum {
	if e := l.seqs.Back(); e != nil {
		return e.Value.(snapshotAt).seq
	}
	return 0
}

// all returns the distinct numbers, ascending.
func (l *snapshotList) all() []base.SeqNum {
	var out []base.SeqNum
	for e := l.seqs.Front(); e != nil; e = e.Next() {
		seq := e.Value.(snapshotAt).seq
		if n := len(out); n == 0 || out[n-1] != seq {
			out = append(out, seq)
		}
	}
	return out
}

// moments returns the earliest moment for each number that all returns.
func (l *snapshotList) moments() []base.Instant {
	var out []base.Instant
	last := base.SeqNumMax
	for e := l.seqs.Front(); e != nil; e = e.Next() {
		s := e.Value.(snapshotAt)
		if len(out) > 0 && s.seq == last {
			out[len(out)-1] = min(out[len(out)-1], s.moment)
			continue
		}
		out, last = append(out, s.moment), s.seq
	}
	return out
}

// Snapshot is a view of the database at one moment. Until it is closed, what
// it sees is kept. It is safe for concurrent use.
type Snapshot struct {
	db     *DB
	seq    base.SeqNum
	moment base.Instant
	elem   *list.Element
	closed atomic.Bool
	handle *handle
}

// Snapshot returns a view of what is visible now.
func (db *DB) Snapshot() (*Snapshot, error) {
	if db.closed.Load() {
		return nil, base.ErrClosed
	}
	s := &Snapshot{db: db}
	db.joins.Lock() // see DB.joins
	defer db.joins.Unlock()
	db.mu.Lock()
	s.moment = db.timeline.moment()
	// The number is taken under the lock, so that a compaction that listed
	// the snapshots before this one exists has only seen older records.
	s.seq = base.SeqNum(db.visible.Load())
	s.elem = db.fields.snapshots.add(snapshotAt{s.seq, s.moment})
	db.mu.Unlock()
	s.handle = db.handles.open(snapshotKind, &db.opts)
	return s, nil
}

// Seq returns the sequence number that the snapshot reads at.
func (s *Snapshot) Seq() base.SeqNum { return s.seq }

// Expires reports whether anything that the snapshot sees may expire.
func (s *Snapshot) Expires() bool { return s.moment != 0 }

// Close gives the snapshot up. A second call returns base.ErrInvalidHandle.
func (s *Snapshot) Close() error {
	if s.closed.Swap(true) {
		return base.ErrInvalidHandle
	}
	s.db.handles.close(s.handle)
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.db.fields.snapshots.remove(s.elem)
	s.db.broadcast()
	return nil
}

func (s *Snapshot) usable() error {
	if s.db.closed.Load() {
		return base.ErrClosed
	}
	if s.closed.Load() {
		return base.ErrInvalidHandle
	}
	return nil
}

// view returns a read state that holds what the snapshot sees. The caller is in
// an epoch guard. Whether the snapshot is open is looked at after the state was
// loaded: a state that is installed after Close may lack what the snapshot saw.
func (s *Snapshot) view() (*readState, error) {
	rs, _ := s.db.view()
	return rs, s.usable()
}

// AppendGet is DB.AppendGet as of the snapshot.
func (s *Snapshot) AppendGet(dst, key []byte) ([]byte, error) {
	dst, _, err := s.AppendGetExpiry(dst, key)
	return dst, err
}

// AppendGetExpiry is AppendGet that also tells when the key expires, 0 if never.
func (s *Snapshot) AppendGetExpiry(dst, key []byte) (_ []byte, expiry base.Instant, err error) {
	g := s.db.epochs.Enter()
	defer g.Exit()
	value, expiry, err := s.get(key)
	if err != nil {
		return dst, 0, err
	}
	return append(dst, value...), expiry, nil
}

// GetFunc is DB.GetFunc as of the snapshot.
func (s *Snapshot) GetFunc(key []byte, fn func(value []byte) error) error {
	g := s.db.epochs.Enter()
	defer g.Exit()
	value, _, err := s.get(key)
	if err != nil {
		return err
	}
	return fn(value)
}

// get finds what the snapshot sees of a key. The caller is in an epoch guard as
// long as it uses the value.
func (s *Snapshot) get(key []byte) (value []byte, expiry base.Instant, err error) {
	rs, err := s.view()
	if err != nil {
		return nil, 0, err
	}
	return s.db.getAt(rs, key, base.Hash(key), s.seq, s.moment)
}
