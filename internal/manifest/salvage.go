package manifest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs"
)

// Salvage returns what can be read of the newest manifest of a directory that Load refuses,
// without CURRENT: the state that the edits before the first damaged one come to. It is nil
// where no manifest has a header and a snapshot that are intact. whole says that no edit was
// found damaged; that the end of the file is missing cannot be seen. It writes nothing.
func Salvage(fsys vfs.FS, dir string, names []string) (state *State, whole bool, err error) {
	numbers := manifestsOf(names)
	slices.Sort(numbers)
	for _, n := range slices.Backward(numbers) {
		b, err := readFile(fsys, dir, FileName(n))
		if errors.Is(err, base.ErrCorrupted) {
			continue // too large to be one
		} else if err != nil {
			return nil, false, err
		}
		h, err := decodeFileHeader(FileName(n), b)
		if _, newer := errors.AsType[*base.FormatError](err); newer {
			return nil, false, fmt.Errorf("read %s: %w", FileName(n), err)
		}
		if err != nil || h.num != n {
			continue
		}
		if state, whole = prefix(h, b); state != nil {
			return state, whole, nil
		}
	}
	return nil, false, nil
}

// prefix applies the records of a manifest up to the first that is not intact. The state is
// nil where there is none.
func prefix(h fileHeader, b []byte) (state *State, whole bool) {
	next, after := newState(h.id), chain(h.salt)
	for off := headerBytes; ; {
		rec, ok := decodeRecord(b[off:], h.salt)
		if !ok || rec.after != after || rec.synced > uint64(off) {
			return state, nextRecord(b, h.salt, off) == len(b)
		}
		applied, err := applyPayload(next, rec.payload)
		if err != nil {
			return state, false
		}
		state, next = applied, applied
		after = rec.after.next(rec.payload)
		off += rec.sizeBytes
	}
}
