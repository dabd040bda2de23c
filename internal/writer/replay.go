package writer

import (
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/view"
)

// Replay takes up a group that recovery has found in the log: one payload, whose
// first record has sequence number first. It is visible once it is sealed. makeRoom
// is called where it does not fit behind what is there already, to seal and flush that.
func (w *Writer) Replay(first base.SeqNum, payload []byte, makeRoom func() error) (err error) {
	if w.replayed != nil && !w.fitsBehindReplayed(len(payload)) {
		if err := makeRoom(); err != nil {
			return err
		}
	}
	if w.replayed == nil {
		w.replayed, err = view.NewSorter(w.cfg.Memory, w.cfg.MemtableBytes, len(payload))
		if err != nil {
			return fmt.Errorf("make room for the log: %w", err)
		}
	}
	known := len(w.replayed.Acts())
	if _, err := w.replayed.Add(first, payload); err != nil {
		return &base.CorruptionError{File: "log", Offset: -1, Kind: "batch", Err: err}
	}
	if w.replayed.Expires() {
		w.cfg.Timeline.Use()
	}
	return w.applyActs(w.replayed.Acts()[known:])
}

func (w *Writer) fitsBehindReplayed(sizeBytes int) bool {
	return w.replayed.Fits(sizeBytes) && w.replayed.HeapBytes() < w.cfg.MemtableBytes/replayedHeapShare
}

// SealReplayed makes what was replayed a part of the read state that waits for its
// flush.
func (w *Writer) SealReplayed() error {
	if w.replayed == nil {
		return nil
	}
	part, err := w.replayed.Flushable()
	if err != nil {
		return err
	}
	w.replayed = nil
	w.waitingBytes += part.TableBytes()
	w.install(part, part.LastSeq)
	return nil
}

// DropReplayed gives up what was replayed and not sealed.
func (w *Writer) DropReplayed() {
	if w.replayed != nil {
		w.replayed.Free()
		w.replayed = nil
	}
}
