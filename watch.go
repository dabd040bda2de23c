package lightning

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/lightningdb/lightning/keyenc"
)

// This file has watchers: loops over the changes of some keys. Those who are up to date share one
// feed, so that a thousand of them cost little more than one: the hub reads each commit once, and
// gives each change to those whose prefix its key has: all of them get the same copy, which nobody
// writes to. Who comes late, or is too slow for that, reads
// a feed of his own until he has caught up.

// WatchOptions choose what Watch tells.
type WatchOptions struct {
	// Prefix leaves only changes of keys that begin with it, and range deletes that may have ended
	// some.
	Prefix []byte
	// From is the sequence number to begin at, as for DB.Changes. 0: with what is written after
	// the call.
	From uint64
}

// WatchedChange is a change, and where to go on behind it. Its slices are shared with other loops: the
// caller may keep them, and must not write to them.
type WatchedChange struct {
	Change
	// Seq is the last sequence number of its commit. Who has made all changes with that number
	// goes on at Seq+1.
	Seq uint64
}

const (
	// A watcher in the hub may have so many changes, and bytes in them, waiting.
	watchQueueMax      = 1024
	watchQueueMaxBytes = 1 << 20
)

// watchHub has the watchers of a database that are up to date. It has a goroutine while there are
// any.
type watchHub struct {
	space    *space // of the database
	readOnly bool   // its feeds end, and are not shared

	mu       sync.Mutex
	watchers map[string]map[int]map[string][]*watcher // by keyspace, length of the prefix, and prefix
	count    int
	next     uint64             // what the feed has not begun to tell yet; 0: there is none
	stop     context.CancelFunc // ends the feed
}

// watcher is one loop. Its fields after hub are guarded by that of the hub.
type watcher struct {
	keyspace string
	prefix   string
	wake     chan struct{}

	from       uint64 // what was before is not for it
	queue      []WatchedChange
	queueBytes int
	inHub      bool
	behind     uint64 // where to go on alone, since the queue was full; 0: it was not
	err        error  // that has ended the feed
}

// watch is DB.Watch and Keyspace.Watch.
func (h *watchHub) watch(ctx context.Context, s *space, o WatchOptions) iter.Seq2[WatchedChange, error] {
	err := s.usable()
	if err == nil && o.From == 0 {
		o.From = uint64(s.engine.Reads().VisibleSeq()) + 1
	}
	return func(yield func(WatchedChange, error) bool) {
		if ctx == nil {
			err = errNilContext
		}
		if err != nil {
			yield(WatchedChange{}, err)
			return
		}
		w := &watcher{prefix: string(o.Prefix), wake: make(chan struct{}, 1), from: o.From}
		if s.info != nil {
			w.keyspace = s.info.Name
		}
		defer h.leave(w)
		for {
			goesOn, err := w.catchUp(ctx, h, yield)
			if err == nil && goesOn {
				goesOn, err = w.follow(ctx, h, yield)
			}
			if err != nil {
				yield(WatchedChange{}, err)
				return
			}
			if !goesOn {
				return
			}
		}
	}
}

// catchUp reads a feed of its own until the watcher can go on in the hub, of which it is a part
// then. It reports whether more is wanted.
func (w *watcher) catchUp(ctx context.Context, h *watchHub, yield func(WatchedChange, error) bool) (goesOn bool, err error) {
	if h.join(w) {
		return true, nil
	}
	for batch, err := range changes(ctx, h.space, w.from) {
		if err != nil {
			return false, err
		}
		for change := range batch.All() {
			if w.wants(change) && !yield(copyChange(change, batch.Last), nil) {
				return false, nil
			}
		}
		if err := batch.Err(); err != nil {
			return false, err
		}
		if w.from = batch.Last + 1; h.join(w) {
			return true, nil
		}
	}
	return false, nil // the feed of a read-only database has come to its end
}

// follow yields what the hub gives, until the watcher is too slow for it.
func (w *watcher) follow(ctx context.Context, h *watchHub, yield func(WatchedChange, error) bool) (goesOn bool, err error) {
	var queue []WatchedChange
	for {
		var behind uint64
		queue, behind, err = h.take(w, queue)
		for _, change := range queue {
			if !yield(change, nil) {
				return false, nil
			}
		}
		switch {
		case err != nil:
			return false, err
		case behind > 0:
			w.from = behind
			return true, nil
		case len(queue) > 0:
			continue
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// wants reports whether a change is for the watcher.
func (w *watcher) wants(c Change) bool {
	if c.Keyspace != w.keyspace {
		return false
	}
	switch c.Kind {
	case ChangeKeyspace, ChangeDropKeyspace:
		return true
	case ChangeDeleteRange:
		end := keyenc.PrefixEnd([]byte(w.prefix)) // nil: there is none
		return (c.End == nil || string(c.End) > w.prefix) && (end == nil || bytes.Compare(c.Key, end) < 0)
	}
	return len(c.Key) >= len(w.prefix) && string(c.Key[:len(w.prefix)]) == w.prefix
}

// copyChange returns a change whose slices stay as they are when the feed goes on.
func copyChange(c Change, seq uint64) WatchedChange {
	c.Key, c.End, c.Value = bytes.Clone(c.Key), bytes.Clone(c.End), bytes.Clone(c.Value)
	return WatchedChange{c, seq}
}

// join makes a watcher a part of the hub, unless that has told already what he has not seen.
func (h *watchHub) join(w *watcher) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readOnly || h.next > w.from {
		return false
	}
	if h.next == 0 {
		h.begin(w.from)
	}
	w.inHub, w.behind, w.err = true, 0, nil
	h.count++
	if h.watchers == nil {
		h.watchers = map[string]map[int]map[string][]*watcher{}
	}
	lengths := h.watchers[w.keyspace]
	if lengths == nil {
		lengths = map[int]map[string][]*watcher{}
		h.watchers[w.keyspace] = lengths
	}
	if lengths[len(w.prefix)] == nil {
		lengths[len(w.prefix)] = map[string][]*watcher{}
	}
	lengths[len(w.prefix)][w.prefix] = append(lengths[len(w.prefix)][w.prefix], w)
	return true
}

// begin begins a feed. The caller holds the lock.
func (h *watchHub) begin(from uint64) {
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	h.next = from
	go h.run(ctx, from)
}

// remove takes a watcher out, and ends the feed with the last one. The caller holds the lock.
func (h *watchHub) remove(w *watcher) {
	if !w.inHub {
		return
	}
	w.inHub = false
	lengths := h.watchers[w.keyspace]
	same := lengths[len(w.prefix)]
	same[w.prefix] = slices.DeleteFunc(same[w.prefix], func(other *watcher) bool { return other == w })
	if len(same[w.prefix]) == 0 {
		delete(same, w.prefix)
	}
	if len(same) == 0 {
		delete(lengths, len(w.prefix))
	}
	if len(lengths) == 0 {
		delete(h.watchers, w.keyspace)
	}
	if h.count--; h.count == 0 {
		h.end()
	}
}

// end ends the feed. The caller holds the lock.
func (h *watchHub) end() {
	h.stop()
	h.next, h.stop = 0, nil
}

func (h *watchHub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(w)
}

// take returns what waits for a watcher, and where he has to go on alone, if he has to. The memory of
// what he has taken before is used again.
func (h *watchHub) take(w *watcher, before []WatchedChange) (queue []WatchedChange, behind uint64, err error) {
	clear(before)
	h.mu.Lock()
	defer h.mu.Unlock()
	queue, w.queue, w.queueBytes = w.queue, before[:0], 0
	return queue, w.behind, w.err
}

// run reads the feed, until ctx ends or it does.
func (h *watchHub) run(ctx context.Context, from uint64) {
	for batch, err := range changes(ctx, h.space, from) {
		if err == nil && h.reach(ctx, batch.Last+1) {
			for change := range batch.All() {
				h.tell(ctx, change, batch)
			}
			err = batch.Err()
		}
		if err != nil {
			h.fail(ctx, err)
			return
		}
	}
	h.fail(ctx, ErrClosed) // unless ctx has ended it
}

// reach says what the feed has not begun to tell. It returns false when the feed is not that of
// the hub any more.
func (h *watchHub) reach(ctx context.Context, next uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	h.next = next
	return true
}

// tell gives a change to those who want it.
func (h *watchHub) tell(ctx context.Context, c Change, batch *ChangeBatch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	var told WatchedChange // the same for all
	for _, w := range h.whoWants(c) {
		if w.from > batch.Last {
			continue
		}
		if told.Seq == 0 {
			told = copyChange(c, batch.Last)
		}
		h.give(w, told, batch.First)
	}
}

// whoWants returns the watchers of a change. The caller holds the lock.
func (h *watchHub) whoWants(c Change) (found []*watcher) {
	lengths := h.watchers[c.Keyspace]
	if c.Kind == ChangePut || c.Kind == ChangeDelete || c.Kind == ChangeMerge {
		for length, same := range lengths {
			if length <= len(c.Key) {
				found = append(found, same[string(c.Key[:length])]...)
			}
		}
		return found
	}
	for same := range maps.Values(lengths) {
		for _, watchers := range same {
			if watchers[0].wants(c) {
				found = append(found, watchers...)
			}
		}
	}
	return found
}

// give puts a change into the queue of a watcher, or sends him away where that is full: he goes on
// alone with the commit, which begins with first. The caller holds the lock.
func (h *watchHub) give(w *watcher, c WatchedChange, first uint64) {
	size := len(c.Key) + len(c.End) + len(c.Value)
	if len(w.queue) < watchQueueMax && w.queueBytes+size <= watchQueueMaxBytes {
		w.queue, w.queueBytes = append(w.queue, c), w.queueBytes+size
	} else {
		w.queue = slices.DeleteFunc(w.queue, func(other WatchedChange) bool { return other.Seq == c.Seq })
		w.behind = first
		h.remove(w)
	}
	w.notify()
}

func (w *watcher) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// fail sends all watchers away with an error, if the feed is still that of the hub.
func (h *watchHub) fail(ctx context.Context, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	for _, lengths := range h.watchers {
		for _, same := range lengths {
			for _, watchers := range same {
				for _, w := range watchers {
					w.err, w.inHub = err, false
					w.notify()
				}
			}
		}
	}
	h.watchers, h.count = nil, 0
	h.end()
}
