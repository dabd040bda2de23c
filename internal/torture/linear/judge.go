package linear

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// What a picture holds is judged like this. Every write of a client counts in
// the client's session key, in the same batch. So what is found there says
// exactly which writes survived, and it must be that
//
//   - no write survived that began after the crash;
//   - every write survived that was known to have happened before the crash,
//     be it by its acknowledgement or because somebody read it, if its
//     durability promises that, or if a SyncLog came between;
//   - what is lost is the end of the commit order: no survivor began when a
//     lost write was already known to have happened;
//   - some order of the surviving writes, and of the reads that saw nothing
//     else, explains the values of all keys.

// found is what a picture holds.
type found struct {
	state    []values
	sessions []int64
	last     []*event // the reads that found it
}

// judge judges the answers of a life and its pictures, and returns one of them
// for the next life to go on with.
func (l *life) judge(rng *rand.Rand, tally *ledger.Tally) (*memfs.FS, *found, error) {
	var history []*event
	for _, c := range l.clients {
		history = append(history, c.events...)
	}
	if err := judge(history, l.state); err != nil {
		return nil, nil, err
	}
	tally.Add(ledger.Histories, int64(l.families))
	tally.Add(ledger.Operations, int64(len(history)))
	l.mu.Lock()
	pictures := l.pictures
	l.mu.Unlock()
	chosen := rng.IntN(len(pictures))
	var disk *memfs.FS
	var goOn *found
	for i, p := range pictures {
		f, err := l.open(rng, p)
		if err == nil {
			err = l.judgePicture(p, f, history)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s, between %d and %d: %w", p.name, p.after, p.before, err)
		}
		if i == chosen {
			disk, goOn = p.disk, f
		}
		if p.disk != l.disk {
			tally.Add(ledger.States, 1)
		}
		tally.Add(ledger.Histories, int64(l.families))
	}
	if l.fault != nil {
		tally.Add(ledger.Faults, l.fault.Fired())
	}
	return disk, goOn, nil
}

// open reads what a picture holds.
func (l *life) open(rng *rand.Rand, p *picture) (*found, error) {
	db, err := lightning.Open("db", options(rng, p.disk))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	f, err := l.look(db, p)
	return f, errors.Join(err, db.Close())
}

func (l *life) look(db *lightning.DB, p *picture) (*found, error) {
	if seq := db.Metrics().VisibleSeq; seq < p.durableSeq {
		return nil, fmt.Errorf("recovered up to sequence number %d, but %d was durable", seq, p.durableSeq)
	}
	f := &found{}
	for i := range l.sessions {
		n, err := decodeResult(db.Get(sessionKey(i)))
		if err != nil {
			return nil, fmt.Errorf("session of client %d: %w", i, err)
		}
		f.sessions = append(f.sessions, n)
	}
	var err error
	if f.last, err = l.readAll(db); err != nil {
		return nil, err
	}
	for _, e := range f.last {
		f.state = append(f.state, e.values)
	}
	return f, nil
}

// knownTimes returns for each write when it was first known to have happened:
// when it was acknowledged or when a read returned that saw it.
func knownTimes(history []*event) map[*event]int64 {
	known := map[*event]int64{}
	writer := map[int64]*event{}
	for _, e := range history {
		if e.write {
			known[e] = e.ret
			for _, v := range e.values {
				writer[v] = e
			}
		}
	}
	delete(writer, absent)
	for _, e := range history {
		if e.write || !e.acknowledged() {
			continue
		}
		for _, v := range e.values {
			if w := writer[v]; w != nil {
				known[w] = min(known[w], e.ret)
			}
		}
	}
	return known
}

func (l *life) judgePicture(p *picture, f *found, history []*event) error {
	for i, c := range l.clients {
		if f.sessions[i] < l.sessions[i] || f.sessions[i] > c.session {
			return fmt.Errorf("client %d made its writes %d to %d, but the last one found is %d",
				i, l.sessions[i]+1, c.session, f.sessions[i])
		}
	}
	survived := func(e *event) bool { return e.session <= f.sessions[e.client] }
	known := knownTimes(history)
	if err := judgePromises(p, history, known, survived); err != nil {
		return err
	}
	var youngest *event // of the survivors
	for _, e := range history {
		if e.write && survived(e) && (youngest == nil || e.call > youngest.call) {
			youngest = e
		}
	}
	for _, e := range history {
		if e.write && !survived(e) && youngest != nil && known[e] < youngest.call {
			return fmt.Errorf("%v is lost, known to have happened at %d, before the survivor %v",
				e, known[e], youngest)
		}
	}
	if err := judge(l.explicable(f, history, survived), l.state); err != nil {
		return fmt.Errorf("what was recovered, %x: %w", f.state, err)
	}
	return nil
}

// judgePromises looks for what must not be there, and for what must be and is
// not.
func judgePromises(p *picture, history []*event, known map[*event]int64, survived func(*event) bool) error {
	var synced int64 // what was known before this time was made durable
	for _, e := range history {
		if e.name == syncName && e.ret < p.after {
			synced = max(synced, e.call)
		}
	}
	for _, e := range history {
		switch {
		case !e.write:
		case survived(e) && e.call > p.before:
			return fmt.Errorf("%v survived, but began after the crash", e)
		case survived(e):
		case e.durability <= p.kept && known[e] < p.after:
			return fmt.Errorf("%v is lost, though it was known to have happened at %d", e, known[e])
		case known[e] < synced:
			return fmt.Errorf("%v is lost, though the log was synced from %d on", e, synced)
		}
	}
	return nil
}

// explicable returns the history as it was for those who know only what
// survived: the surviving writes, the reads that saw nothing else, and the
// reads that found it.
func (l *life) explicable(f *found, history []*event, survived func(*event) bool) []*event {
	lost := map[int64]bool{}
	lostDeletes := make([]uint, l.families) // keys that a lost write deleted
	for _, e := range history {
		if !e.write || survived(e) {
			continue
		}
		for i, v := range e.values {
			switch {
			case e.mask&(1<<i) == 0:
			case v == absent:
				lostDeletes[e.family] |= 1 << i
			default:
				lost[v] = true
			}
		}
	}
	out := append([]*event(nil), f.last...)
	for _, e := range history {
		switch {
		case e.write && survived(e):
			if !e.acknowledged() { // it happened all the same
				settled := *e
				settled.ret = f.last[0].call - 1
				e = &settled
			}
			out = append(out, e)
		case !e.write && !sawLost(e, lost, lostDeletes[e.family]):
			out = append(out, e)
		}
	}
	return out
}

// sawLost reports whether a read saw, or may have seen, the effect of a write
// that did not survive.
func sawLost(e *event, lost map[int64]bool, deleted uint) bool {
	for i, v := range e.values {
		if e.mask&(1<<i) == 0 {
			continue
		}
		if lost[v] || v == present || v == absent && deleted&(1<<i) != 0 {
			return true
		}
	}
	return false
}
