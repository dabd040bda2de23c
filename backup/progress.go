package backup

import "github.com/lightningdb/lightning/internal/ranked"

// Progress is how far a backup or a restore has come.
type Progress struct {
	Files, TotalFiles int
	DoneBytes         int64 // of files, whether they were at the target already or not
	TotalBytes        int64
	// MovedBytes is what a backup has stored at the target, compressed.
	MovedBytes int64
}

// meter adds up what several goroutines have done, and tells it.
type meter struct {
	tell func(Progress) // may be nil

	mu   ranked.Mutex[ranked.Progress] // tell, which is the caller's, is called under it
	done Progress
}

func (m *meter) add(doneBytes, movedBytes int64, files int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done.DoneBytes += doneBytes
	m.done.MovedBytes += movedBytes
	m.done.Files += files
	if m.tell != nil {
		m.tell(m.done)
	}
}
