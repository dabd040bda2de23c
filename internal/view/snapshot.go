package view

import (
	"cmp"
	"container/list"
	"slices"
	"sync/atomic"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/hotcache"
	"github.com/lightningdb/lightning/internal/ranked"
)

// snapshotList holds the read points of snapshots, oldest first. New ones are
// never older than those before, so it is always sorted. It is safe for
// concurrent use; its lock is never held during I/O.
type snapshotList struct {
	mu     ranked.Mutex[ranked.Snapshots]
	points list.List // of ReadPoint
}

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

// newest returns the largest sequence number, 0 if there is none.
func (l *snapshotList) newest() base.SeqNum {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.points.Back(); e != nil {
		return e.Value.(ReadPoint).Seq
	}
	return 0
}

// distinct returns the sequence numbers, of some other read points as well, and the
// earliest time for each. The caller holds l.mu.
func (l *snapshotList) distinct(others []ReadPoint) (seqs []base.SeqNum, times []base.Instant) {
	points := others
	for e := l.points.Front(); e != nil; e = e.Next() {
		points = append(points, e.Value.(ReadPoint))
	}
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
	l := &r.snapshots
	l.mu.Lock()
	defer l.mu.Unlock()
	seqs, times := l.distinct(r.handles.points())
	at := r.cfg.Timeline.ReadTime()
	if at == 0 {
		return Pinned{Seqs: seqs}
	}
	r.cfg.Timeline.Purge(at) // before anything is dropped
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
	r.snapshots.mu.Lock()
	defer r.snapshots.mu.Unlock()
	seqs, _ := r.snapshots.distinct(r.handles.points())
	return seqs
}

// KeepSnapshotsOut calls fn while no new snapshot or iterator is made, with the newest
// sequence number that one reads at. fn must not touch files.
func (r *Reader) KeepSnapshotsOut(fn func(newest base.SeqNum) error) error {
	r.joins.Lock()
	defer r.joins.Unlock()
	newest := r.handles.join(true)
	defer r.handles.join(false)
	return fn(max(newest, r.snapshots.newest()))
}

// Snapshot is a view of the database at one moment. Until it is closed, what
// it sees is kept. It is safe for concurrent use.
type Snapshot struct {
	reader *Reader
	at     ReadPoint
	elem   *list.Element
	closed atomic.Bool
	handle handle
}

// Snapshot returns a view of what is visible now.
func (r *Reader) Snapshot() (*Snapshot, error) { return r.snapshot(snapshotKind) }

// SnapshotForTx is Snapshot for a transaction; Close calls it one, if it is open then.
func (r *Reader) SnapshotForTx() (*Snapshot, error) { return r.snapshot(transactionKind) }

func (r *Reader) snapshot(kind string) (*Snapshot, error) {
	if r.closed.Load() {
		return nil, base.ErrClosed
	}
	s := &Snapshot{reader: r}
	r.joins.Lock()
	defer r.joins.Unlock()
	r.snapshots.mu.Lock()
	s.at.Time = r.cfg.Timeline.ReadTime()
	// The number is taken under the lock, so that a compaction that listed
	// the snapshots before this one exists has only seen older records.
	s.at.Seq = base.SeqNum(r.visible.Load())
	s.elem = r.snapshots.points.PushBack(s.at)
	r.snapshots.mu.Unlock()
	s.handle = r.cfg.newHandle(kind)
	r.handles.open(&s.handle)
	return s, nil
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
	r := s.reader
	r.handles.close(&s.handle)
	r.snapshots.mu.Lock()
	r.snapshots.points.Remove(s.elem)
	r.snapshots.mu.Unlock()
	r.cfg.SnapshotClosed()
	return nil
}

func (s *Snapshot) usable() error {
	if s.reader.closed.Load() {
		return base.ErrClosed
	}
	if s.closed.Load() {
		return base.ErrInvalidHandle
	}
	return nil
}

// state returns a read state that holds what the snapshot sees. The caller is in
// an epoch guard. Whether the snapshot is open is looked at after the state was
// loaded: a state that is installed after Close may lack what the snapshot saw.
func (s *Snapshot) state() (*State, error) {
	state, _ := s.reader.now()
	return state, s.usable()
}

// AppendGet is Reader.AppendGet as of the snapshot.
func (s *Snapshot) AppendGet(dst, key []byte) ([]byte, error) {
	dst, _, err := s.AppendGetExpiry(dst, key)
	return dst, err
}

// AppendGetExpiry is AppendGet that also tells when the key expires, 0 if never.
func (s *Snapshot) AppendGetExpiry(dst, key []byte) (_ []byte, expiry base.Instant, err error) {
	g := s.reader.Epochs.Enter()
	defer g.Exit()
	state, err := s.state()
	if err != nil {
		return dst, 0, err
	}
	hash := base.Hash(key)
	switch found, answer := s.reader.hot.append(dst, key, hash, s.at.Seq); answer {
	case hotcache.Found:
		return found, 0, nil
	case hotcache.Absent:
		return dst, 0, base.ErrNotFound
	}
	value, expiry, err := state.Get(key, hash, s.at.Seq, s.at.Time)
	if err != nil {
		return dst, 0, err
	}
	return append(dst, value...), expiry, nil
}

// GetFunc is Reader.GetFunc as of the snapshot.
func (s *Snapshot) GetFunc(key []byte, fn func(value []byte) error) error {
	g := s.reader.Epochs.Enter()
	defer g.Exit()
	state, err := s.state()
	if err != nil {
		return err
	}
	hash := base.Hash(key)
	if known, err := s.reader.hot.call(key, hash, s.at.Seq, fn); known {
		return err
	}
	value, _, err := state.Get(key, hash, s.at.Seq, s.at.Time)
	if err != nil {
		return err
	}
	return fn(value)
}
