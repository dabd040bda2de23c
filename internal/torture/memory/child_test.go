//go:build linux && !race

package memory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
)

// The process of a shape: this same program, started again with a job in its
// environment. It prints a result.

const jobEnv = "LIGHTNING_MEMORY_JOB"

// job is what a child has to do.
type job struct {
	Shape       string
	BudgetBytes int64
	Sizes       sizes
	Dir         string
}

// result is what a child has taken.
type result struct {
	PeakBytes    int64   // resident, as the kernel says
	OffHeapBytes int64   // as the engine counts it, at its peak, but for large values being read
	GoBytes      int64   // what the Go runtime had of the system, at its peak
	StalledShare float64 // of the time of the shape
	Seconds      float64
}

func runChild(ctx context.Context, j job) (r result, err error) {
	text, err := json.Marshal(j)
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), jobEnv+"="+string(text))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("the child ended with %w: %s", err, said.String())
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

// runJob is the child's main function; it returns the exit code.
func runJob(text string) int {
	r, err := doJob(text)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func doJob(text string) (*result, error) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return nil, err
	}
	s := shapeOf(j.Shape)
	if s == nil {
		return nil, fmt.Errorf("no such shape: %s", j.Shape)
	}
	opts := &lightning.Options{MemoryBudget: j.BudgetBytes, Durability: lightning.DurabilityAsync}
	db, err := lightning.Open(j.Dir, opts)
	if err != nil {
		return nil, err
	}
	r := &result{}
	watch := startWatch(db, r)
	begin := time.Now()
	err = s.run(&use{DB: db, sizes: j.Sizes})
	took := time.Since(begin)
	stalled := db.Metrics().Health.StallTime
	watch.stop()
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	r.Seconds, r.StalledShare = took.Seconds(), stalled.Seconds()/took.Seconds()
	r.PeakBytes, err = peakBytes()
	return r, err
}

// watch looks at the memory of a database again and again.
type watch struct {
	db    *lightning.DB
	r     *result
	ended atomic.Bool
	done  chan struct{}
}

const watchDelay = 5 * time.Millisecond

func startWatch(db *lightning.DB, r *result) *watch {
	w := &watch{db: db, r: r, done: make(chan struct{})}
	w.look()
	return w
}

func (w *watch) look() {
	memory := w.db.Metrics().Memory
	w.r.OffHeapBytes = max(w.r.OffHeapBytes, memory.OffHeapBytes-memory.OwnerBytes["large values"])
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.r.GoBytes = max(w.r.GoBytes, int64(m.Sys-m.HeapReleased))
	if w.ended.Load() {
		close(w.done)
		return
	}
	clock.System.AfterFunc(watchDelay, w.look)
}

func (w *watch) stop() {
	w.ended.Store(true)
	<-w.done
}

// peakBytes is the peak of what this process had resident. It is not that of getrusage,
// which a child inherits.
func peakBytes() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the kernel does not tell the peak of the memory")
}
