// Package janitor has one goroutine do the clean-up that others must not wait
// for.
package janitor

import "github.com/lightningdb/lightning/internal/ranked"

// Janitor runs the clean-up that must not happen in a user's or a worker's
// call: waiting for readers to leave an old state, freeing memory, closing and
// deleting files. Tasks run one at a time, in order, but for those that touch files: they
// wait until there are no others, so that memory is given back without waiting for a disk.
// After Stop all run in the goroutine that adds them, for the iterators that outlive the
// database.
type Janitor struct {
	mu      ranked.Mutex[ranked.Janitor]
	tasks   []func()
	files   []func()
	wake    chan struct{}
	done    chan struct{}
	stopped bool
}

// New returns a janitor at work. It must be stopped.
func New() *Janitor {
	j := &Janitor{wake: make(chan struct{}, 1), done: make(chan struct{})}
	go j.run()
	return j
}

// Add has a task done after those before it. It does not touch files.
func (j *Janitor) Add(task func()) { j.add(&j.tasks, task) }

// AddFile has a task done that touches a file, after those of its kind.
func (j *Janitor) AddFile(task func()) { j.add(&j.files, task) }

func (j *Janitor) add(tasks *[]func(), task func()) {
	j.mu.Lock()
	if j.stopped {
		j.mu.Unlock()
		task()
		return
	}
	*tasks = append(*tasks, task)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *Janitor) run() {
	defer close(j.done)
	for {
		j.mu.Lock()
		tasks := j.tasks
		j.tasks = nil
		if len(tasks) == 0 && len(j.files) > 0 {
			tasks, j.files = j.files[:1:1], j.files[1:]
		}
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

// Stop runs what is left and ends the goroutine.
func (j *Janitor) Stop() {
	j.mu.Lock()
	j.stopped = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	<-j.done
}
