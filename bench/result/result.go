// Package result holds what a run measured, and reads and writes it as JSON.
//
// A Run is a list of rows; a row is one workload on one engine in one repeat.
// Units stand in the names of the fields. What was not measured is absent (nil
// or zero with omitempty), never a made-up number.
package result

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// FormatVersion is that of the JSON. A file of another version is refused.
const FormatVersion = 1

// Run is everything that one call of the program measured.
type Run struct {
	Format  int       `json:"format"`
	Command string    `json:"command"` // to get it again
	Commit  string    `json:"commit,omitempty"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended"`
	Host    Host      `json:"host"`
	Config  Config    `json:"config"`
	Engines []Engine  `json:"engines"` // in the order of the report
	Rows    []Row     `json:"rows"`    // in the order in which they were measured
}

// Host describes the machine.
type Host struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memory_bytes"`
	OS          string `json:"os"` // kernel and version
	FileSystem  string `json:"file_system"`
	Go          string `json:"go"`
}

// Config is what all rows of a run have in common.
type Config struct {
	Records     int64   `json:"records"`
	KeyBytes    int     `json:"key_bytes"`
	ValueBytes  int     `json:"value_bytes"`
	Goroutines  int     `json:"goroutines"`
	MemoryBytes int64   `json:"memory_bytes"` // asked of each engine
	Durability  string  `json:"durability"`   // but for rows that say otherwise
	Repeats     int     `json:"repeats"`
	WarmUpS     float64 `json:"warm_up_s"` // before each timed workload of reads or mixes
	TimeS       float64 `json:"time_s"`    // of each such workload
}

// Engine says what was measured.
type Engine struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Tuning  string `json:"tuning"`
	Memory  string `json:"memory"`
}

// Row is one workload on one engine in one repeat.
type Row struct {
	Workload   string  `json:"workload"`
	Engine     string  `json:"engine"`
	Repeat     int     `json:"repeat"` // from 1
	Unit       string  `json:"unit"`   // of the operations: "puts", "gets", "rows", "opens"
	Operations int64   `json:"operations"`
	Seconds    float64 `json:"seconds"`
	Goroutines int     `json:"goroutines"`
	Durability string  `json:"durability"`
	// Latency of single operations; nil where there are none to time.
	Latency *Latency `json:"latency,omitempty"`

	InputBytes   int64    `json:"input_bytes,omitempty"`   // keys and values that were written
	WrittenBytes int64    `json:"written_bytes,omitempty"` // by the process to the device, while that was done
	LiveBytes    int64    `json:"live_bytes,omitempty"`    // keys and values that are in it now
	DiskBytes    int64    `json:"disk_bytes,omitempty"`    // that the files take, after settling
	PeakBytes    int64    `json:"peak_bytes,omitempty"`    // most resident memory of the process while it ran
	CPUSeconds   float64  `json:"cpu_seconds"`
	AllocsPerOp  *float64 `json:"allocs_per_op,omitempty"` // nil for engines outside the Go heap

	// SettleSeconds of Seconds were spent on waiting for compactions.
	SettleSeconds float64 `json:"settle_seconds,omitempty"`
	Timeline      []Point `json:"timeline,omitempty"`
	// Notes say what makes the row different from the same row of another
	// engine, such as a load that was stopped at its time limit.
	Notes []string `json:"notes,omitempty"`
}

// Latency holds percentiles in nanoseconds.
type Latency struct {
	Of    string `json:"of"` // what was timed: "every put", "1 in 32 gets"
	Count int64  `json:"count"`
	P50   int64  `json:"p50_ns"`
	P99   int64  `json:"p99_ns"`
	P999  int64  `json:"p999_ns"`
	Max   int64  `json:"max_ns"`
	// Paced says that operations were due at fixed times, and that latency is
	// counted from then (corrected for coordinated omission).
	Paced bool `json:"paced,omitempty"`
}

// Point is one interval of a time line.
type Point struct {
	Second     float64 `json:"second"` // of its end, from the beginning
	Operations int64   `json:"operations"`
	P50        int64   `json:"p50_ns"`
	P99        int64   `json:"p99_ns"`
	P999       int64   `json:"p999_ns"`
	Max        int64   `json:"max_ns"`
}

// Rate returns operations per second.
func (r *Row) Rate() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return float64(r.Operations) / r.Seconds
}

// WriteAmplification returns bytes written to the device for each byte of
// input; 0 where nothing was written.
func (r *Row) WriteAmplification() float64 {
	if r.InputBytes == 0 {
		return 0
	}
	return float64(r.WrittenBytes) / float64(r.InputBytes)
}

// SpaceAmplification returns bytes on disk for each byte of live keys and
// values; 0 where the disk was not measured.
func (r *Row) SpaceAmplification() float64 {
	if r.LiveBytes == 0 {
		return 0
	}
	return float64(r.DiskBytes) / float64(r.LiveBytes)
}

// Save writes a run to a file, replacing it.
func (r *Run) Save(path string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// Merge returns several runs as one. They must be of the same configuration;
// the machine is taken to be the same.
func Merge(runs []*Run) (*Run, error) {
	merged := *runs[0]
	merged.Rows, merged.Engines = nil, nil
	commands := map[string]bool{}
	merged.Command = ""
	for _, r := range runs {
		if err := sameWork(&merged.Config, &r.Config); err != nil {
			return nil, err
		}
		merged.Rows = append(merged.Rows, r.Rows...)
		for _, e := range r.Engines {
			if !slices.ContainsFunc(merged.Engines, func(m Engine) bool { return m.Name == e.Name }) {
				merged.Engines = append(merged.Engines, e)
			}
		}
		if !commands[r.Command] {
			commands[r.Command] = true
			merged.Command = strings.TrimPrefix(merged.Command+"\n"+r.Command, "\n")
		}
		merged.Config.Repeats = max(merged.Config.Repeats, r.Config.Repeats)
		merged.Ended = r.Ended
	}
	return &merged, nil
}

// sameWork reports what two configurations do not have in common, but for the
// number of repeats.
func sameWork(a, b *Config) error {
	x, y := *a, *b
	x.Repeats, y.Repeats = 0, 0
	if x != y {
		return fmt.Errorf("the results are of different work: %+v and %+v", x, y)
	}
	return nil
}

// Load reads a run from a file.
func Load(path string) (*Run, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s is no result of this program: %w", path, err)
	}
	if r.Format != FormatVersion {
		return nil, fmt.Errorf("%s has format %d, not %d", path, r.Format, FormatVersion)
	}
	if len(r.Rows) == 0 {
		return nil, fmt.Errorf("%s holds no rows", path)
	}
	return &r, nil
}
