// Package janitor has goroutines of its own do the clean-up that others must not wait
// for.
package janitor

import (
	"context"
	"sync"

	"github.com/lightningdb/lightning/internal/ranked"
)

// Janitor runs the clean-up that must not happen in a user's or a worker's
// call: waiting for readers to leave an old state, freeing memory, closing and
// deleting files. Tasks run one at a time, in order, but for those that touch files: they
// are a line of their own, so that memory is given back without waiting for a disk.
// After Stop all run in the goroutine that adds them, for the iterators that outlive the
// database.
type Janitor struct{ memory, files line }

// line is tasks that one goroutine runs, in order.
type line struct {
	mu      ranked.Mutex[ranked.Janitor]
	tasks   []func()
	wake    chan struct{}
	done    chan struct{}
	stopped bool
}

// New returns a janitor at work. It must be stopped.
func New() *Janitor {
	j := &Janitor{}
	j.memory.start()
	j.files.start()
	return j
}

// Add has a task done after those before it. It does not touch files.
func (j *Janitor) Add(task func()) { j.memory.add(task) }

// AddFile has a task done that touches files, after those of its kind before it.
func (j *Janitor) AddFile(task func()) { j.files.add(task) }

// HoldFiles waits until what was added before it and touches files is done, and has all that
// comes after it wait until the function is called that it returns. The janitor must not be
// stopped meanwhile.
func (j *Janitor) HoldFiles(ctx context.Context) (letGo func(), err error) {
	entered, released := make(chan struct{}), make(chan struct{})
	letGo = sync.OnceFunc(func() { close(released) })
	j.AddFile(func() {
		close(entered)
		<-released
	})
	select {
	case <-entered:
		return letGo, nil
	case <-ctx.Done():
		letGo()
		return nil, context.Cause(ctx)
	}
}

// Stop runs what is left and ends the goroutines.
func (j *Janitor) Stop() {
	j.memory.stop()
	j.files.stop()
}

func (l *line) start() {
	l.wake, l.done = make(chan struct{}, 1), make(chan struct{})
	go l.run()
}

func (l *line) add(task func()) {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		task()
		return
	}
	l.tasks = append(l.tasks, task)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *line) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		tasks := l.tasks
		l.tasks = nil
		if len(tasks) == 0 && l.stopped {
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if len(tasks) == 0 {
			<-l.wake
			continue
		}
		for _, task := range tasks {
			task()
		}
	}
}

func (l *line) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	<-l.done
}
