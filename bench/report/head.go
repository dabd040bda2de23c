package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/lightningdb/lightning/bench/result"
)

// fact is one line of the head of a report.
type fact struct{ Name, Value string }

// method says how figures are to be read. It stands under every report.
const method = "Each figure is the median of the repeats; the longest latency and the peak of " +
	"memory are the highest of them. A ratio above 1 is better, also for times. Write " +
	"amplification is bytes written to the device for each byte of keys and values; the " +
	"figure after the disk is bytes for each live byte of keys and values."

// facts says where and how the run was made, without its engines.
func facts(run *result.Run) []fact {
	h, c := &run.Host, &run.Config
	all := []fact{
		{"date", dateText(run)},
		{"host", joined(h.CPU, countText(h.Cores, "core"), memoryText(h.MemoryBytes, "memory"),
			h.OS, h.FileSystem)},
		{"Go", h.Go},
		{"commit", run.Commit},
		{"records", joined(countsText(c.Records), keyValueText(c))},
		{"memory", memoryText(c.MemoryBytes, "asked of each engine")},
		{"durability", c.Durability},
		{"load", joined(countText(c.Goroutines, "goroutine"), countText(c.Repeats, "repeat"))},
		{"timed workloads", fmt.Sprintf("%s each after a warm-up of %s",
			secondsText(c.TimeS), secondsText(c.WarmUpS))},
		{"command", run.Command},
	}
	var present []fact
	for _, f := range all {
		if f.Value != "" {
			present = append(present, f)
		}
	}
	return present
}

func dateText(run *result.Run) string {
	if run.Began.IsZero() {
		return ""
	}
	text := run.Began.UTC().Format("2006-01-02 15:04 MST")
	if took := run.Ended.Sub(run.Began); took > 0 {
		text += ", took " + took.Round(time.Second).String()
	}
	return text
}

func memoryText(b int64, what string) string {
	if b == 0 {
		return ""
	}
	return bytesText(float64(b)) + " " + what
}

func keyValueText(c *result.Config) string {
	total := c.Records * int64(c.KeyBytes+c.ValueBytes)
	return fmt.Sprintf("keys of %d B, values of %d B, %s together", c.KeyBytes, c.ValueBytes,
		bytesText(float64(total)))
}

// engineFacts says what each engine is and how it was set up.
func engineFacts(engines []result.Engine) []fact {
	all := make([]fact, len(engines))
	for i, e := range engines {
		all[i] = fact{e.Name, joined(e.Version, e.Tuning)}
		if e.Memory != "" {
			all[i].Value = joined(all[i].Value, "memory: "+e.Memory)
		}
	}
	return all
}

// joined joins the parts that are not empty.
func joined(parts ...string) string {
	var present []string
	for _, p := range parts {
		if p != "" {
			present = append(present, p)
		}
	}
	return strings.Join(present, "; ")
}
