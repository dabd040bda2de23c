package store

import "github.com/lightningdb/lightning/vfs"

// writebackBytes is how much of a table is written before it is sent to the disk.
const writebackBytes = 512 << 10

// sentEarly is a file that goes to the disk while it is written, in steps, instead of all at once
// when it is synced: a commit that is synced meanwhile would wait behind all of that. It is
// written from the begin to the end, by one goroutine.
type sentEarly struct {
	vfs.File
	early vfs.WritebackFile // the same file
	sent  int64             // up to there
}

// sendEarly returns a file that is sent early, where that can be done.
func sendEarly(f vfs.File) vfs.File {
	if early, ok := f.(vfs.WritebackFile); ok {
		return &sentEarly{File: f, early: early}
	}
	return f
}

// WriteAt implements vfs.File.
func (f *sentEarly) WriteAt(b []byte, offset int64) (n int, err error) {
	for n < len(b) && err == nil {
		at := offset + int64(n)
		piece := b[n:min(int64(len(b)), int64(n)+writebackBytes-at%writebackBytes)]
		var written int
		written, err = f.File.WriteAt(piece, at)
		n += written
		if err == nil {
			err = f.send(at + int64(written))
		}
	}
	return n, err
}

// send sends what is written up to end, but for a step that is not full: a page that is on its
// way to the disk is not to be written to.
func (f *sentEarly) send(end int64) error {
	end -= end % writebackBytes
	if end <= f.sent {
		return nil
	}
	from := f.sent
	f.sent = end
	return f.early.StartWriteback(from, end-from)
}
