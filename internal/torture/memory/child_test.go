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
	"runtime/pprof"
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
	Profile     string // file for a profile of Go's heap near its peak; "": none
}

// result is what a child has taken.
type result struct {
	PeakBytes    int64            // resident, as the kernel says
	OffHeapBytes int64            // as the engine counts it, at its peak, but for large values being read
	OwnerBytes   map[string]int64 // that, by owner
	LargeBytes   int64            // of large values being read, at their peak
	GoBytes      int64            // what the Go runtime had of the system, at its peak
	StalledShare float64          // of the time of the shape
	LongestWrite time.Duration
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
	watch := startWatch(db, r, j.Profile)
	u := &use{DB: db, sizes: j.Sizes}
	begin := time.Now()
	err = s.run(u)
	took := time.Since(begin)
	r.LongestWrite = u.longestWrite
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

	profile  string
	profiled int64 // what Go had when the profile was written
}

const (
	watchDelay = 5 * time.Millisecond
	// profileStepBytes is by how much Go's heap grows from one profile to the next.
	profileStepBytes = 2 << 20
)

func startWatch(db *lightning.DB, r *result, profile string) *watch {
	w := &watch{db: db, r: r, profile: profile, done: make(chan struct{})}
	w.look()
	return w
}

func (w *watch) look() {
	memory := w.db.Metrics().Memory
	large := memory.OwnerBytes["large values"]
	w.r.LargeBytes = max(w.r.LargeBytes, large)
	if n := memory.OffHeapBytes - large; n > w.r.OffHeapBytes {
		w.r.OffHeapBytes, w.r.OwnerBytes = n, memory.OwnerBytes
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.r.GoBytes = max(w.r.GoBytes, int64(m.Sys-m.HeapReleased))
	w.writeProfile()
	if w.ended.Load() {
		close(w.done)
		return
	}
	clock.System.AfterFunc(watchDelay, w.look)
}

// writeProfile writes a profile of Go's heap, in place of an earlier one, when that has
// grown.
func (w *watch) writeProfile() {
	if w.profile == "" || w.r.GoBytes < w.profiled+profileStepBytes {
		return
	}
	w.profiled = w.r.GoBytes
	var profile bytes.Buffer
	err := pprof.WriteHeapProfile(&profile)
	if err == nil {
		err = os.WriteFile(w.profile, profile.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
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
