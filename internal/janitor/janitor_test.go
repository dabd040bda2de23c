package janitor

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

// Tasks run one at a time in the order in which they came, also those that a task
// adds; Add does not wait for them.
func TestTasksRunInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New()
		var done []int // without a lock: one at a time
		gate := make(chan struct{})
		j.Add(func() { <-gate; done = append(done, 0) })
		for i := 1; i < 5; i++ {
			j.Add(func() {
				done = append(done, i)
				j.Add(func() { done = append(done, 10+i) })
			})
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Error("a task did not wait for the one before it")
		}
		close(gate)
		synctest.Wait()
		j.Stop()
		if want := []int{0, 1, 2, 3, 4, 11, 12, 13, 14}; !slices.Equal(done, want) {
			t.Errorf("done were %v, want %v", done, want)
		}
	})
}

// Stop waits for all that is left.
func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New()
		done := 0
		gate := make(chan struct{})
		for range 3 {
			j.Add(func() { <-gate; done++ })
		}
		stopped := make(chan struct{})
		go func() { j.Stop(); close(stopped) }()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("stopped before the tasks were done")
		default:
		}
		close(gate)
		<-stopped
		if done != 3 {
			t.Errorf("%d tasks were done", done)
		}
	})
}

// After Stop a task runs in the goroutine that adds it.
func TestTasksAfterStop(t *testing.T) {
	j := New()
	j.Stop()
	done := false
	j.Add(func() { done = true })
	if !done {
		t.Error("the task was not done at once")
	}
}

func TestManyAdd(t *testing.T) {
	j := New()
	const goroutines, each = 8, 500
	last := make([]int, goroutines)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				j.Add(func() {
					if last[g] != i {
						t.Errorf("task %d after %d", i, last[g])
					}
					last[g]++
				})
			}
		})
	}
	wg.Wait()
	j.Stop()
	for g, n := range last {
		if n != each {
			t.Errorf("%d tasks of goroutine %d were done", n, g)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	j := New()
	defer j.Stop()
	b.ReportAllocs()
	for b.Loop() {
		j.Add(func() {})
	}
}

// What touches files keeps its own order, and nothing else waits for it but Stop.
func TestFilesHoldUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New()
		var files, others []int // without a lock: one at a time
		gate := make(chan struct{})
		for i := range 3 {
			j.AddFile(func() { <-gate; files = append(files, i) })
			j.Add(func() { others = append(others, i) })
		}
		synctest.Wait()
		if len(files) != 0 || !slices.Equal(others, []int{0, 1, 2}) {
			t.Errorf("done are %v beside a file that is slow, and files %v", others, files)
		}
		close(gate)
		j.Stop()
		if !slices.Equal(files, []int{0, 1, 2}) {
			t.Errorf("files are %v", files)
		}
	})
}

// Who holds the files gets them when what was there before is done, and keeps what comes
// after waiting; memory does not wait. An end of waiting leaves nothing behind.
func TestHoldFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := New()
		defer j.Stop()
		var order []string
		first := make(chan struct{})
		j.AddFile(func() { <-first; order = append(order, "before") })
		ctx, cancel := context.WithCancelCause(context.Background())
		reason := errors.New("enough")
		cancel(reason)
		if _, err := j.HoldFiles(ctx); !errors.Is(err, reason) {
			t.Errorf("after the end of its context: %v", err)
		}
		close(first)
		letGo, err := j.HoldFiles(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, "held")
		j.AddFile(func() { order = append(order, "after") })
		memory := make(chan struct{})
		j.Add(func() { close(memory) })
		<-memory
		synctest.Wait()
		if !slices.Equal(order, []string{"before", "held"}) {
			t.Errorf("while it is held: %q", order)
		}
		letGo()
		letGo() // a second time without effect
		synctest.Wait()
		if !slices.Equal(order, []string{"before", "held", "after"}) {
			t.Errorf("in the end: %q", order)
		}
	})
}
