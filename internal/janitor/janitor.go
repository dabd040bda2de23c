// Package janitor has one goroutine do the clean-up that others must not wait
// for.
package janitor

import "github.com/lightningdb/lightning/internal/ranked"

// Janitor runs the clean-up that must not happen in a user's or a worker's
// call: waiting for readers to leave an old state, freeing memory, closing and
// deleting files. Tasks run one at a time, in order. After Stop they run in
// the goroutine that adds them, for the iterators that outlive the database.
type Janitor struct {
	mu      ranked.Mutex[ranked.Janitor]
	tasks   []func()
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

// Add has a task done after those before it.
func (j *Janitor) Add(task func()) {
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

func (j *Janitor) run() {
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
