package engine

import (
	"fmt"
	"path/filepath"

	"github.com/lightningdb/lightning/internal/ranked"
)

// janitor runs the clean-up that must not happen in a user's or a worker's
// call: waiting for readers to leave an old state, freeing memory, closing and
// deleting files. Tasks run one at a time, in order. After stop they run in
// the goroutine that adds them, for the iterators that outlive the database.
type janitor struct {
	mu      ranked.Mutex[ranked.Janitor]
	tasks   []func()
	wake    chan struct{}
	done    chan struct{}
	stopped bool
}

func (j *janitor) start() {
	j.wake = make(chan struct{}, 1)
	j.done = make(chan struct{})
	go j.run()
}

func (j *janitor) add(task func()) {
	j.mu.Lock()
	if j.stopped {
		j.mu.Unlock()
		task()
		return
	}
	j.tasks = append(j.tasks, task)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *janitor) run() {
	defer close(j.done)
	for {
		j.mu.Lock()
		tasks := j.tasks
		j.tasks = nil
		if len(tasks) == 0 && j.stopped {
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		if len(tasks) == 0 {
			<-j.wake
			continue
		}
		for _, task := range tasks {
			task()
		}
	}
}

// stop runs what is left and ends the goroutine.
func (j *janitor) stop() {
	j.mu.Lock()
	j.stopped = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	<-j.done
}

// disposeTables closes tables that no tree holds and deletes the files of
// those that the manifest no longer names. A file that cannot be deleted is
// left for the next open.
func (db *DB) disposeTables(tables []*table) {
	for _, t := range tables {
		if r := t.reader.Load(); r != nil {
			if err := r.Close(); err != nil {
				db.opts.Logger.Warn("close table", "table", t.meta.Num, "err", err)
			}
		}
		if !t.obsolete.Load() {
			continue
		}
		if err := db.removeFile(tableName(t.meta.Num)); err != nil {
			db.opts.Logger.Warn("remove table", "err", err)
		}
	}
}

func (db *DB) removeFile(name string) error {
	if err := db.opts.FS.Remove(filepath.Join(db.dir, name)); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}
