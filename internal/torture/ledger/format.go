package ledger

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"time"
	"unicode/utf8"
)

// The file. A ledger holds campaigns one after the other: a line that begins the
// campaign, a line for each round in the order in which they ended, and a line
// that ends it. Each line is a JSON object with one member, which names its
// kind. A campaign whose process was killed has no end, and its last line may be
// torn. Nothing in a line tells of the machine but its system and architecture.

// Version is the version of the format that this package writes and reads.
const Version = 1

// Entry is a line: one of the three is set.
type Entry struct {
	Campaign *Campaign `json:"campaign,omitempty"`
	Round    *Round    `json:"round,omitempty"`
	End      *End      `json:"end,omitempty"`
}

// Campaign begins a campaign.
type Campaign struct {
	Version int       `json:"ledger"`
	Program string    `json:"program"` // its version or revision
	Go      string    `json:"go"`
	System  string    `json:"system"` // and architecture: linux/amd64
	Seed    uint64    `json:"seed"`   // round k of every suite has the seed Seed+k
	Suites  []string  `json:"suites"`
	Workers int       `json:"workers"`
	Started time.Time `json:"started"` // UTC
}

// Round is one round of a suite. It failed where Error is set.
type Round struct {
	Suite  string           `json:"suite"`
	Seed   uint64           `json:"seed"`
	MS     int64            `json:"ms"`
	Counts map[string]int64 `json:"counts,omitempty"`
	Error  string           `json:"error,omitempty"`
}

// End ends a campaign. Its totals are those of the rounds before it.
type End struct {
	Complete bool              `json:"complete"` // it did all that it was told to
	MS       int64             `json:"ms"`
	Failed   int64             `json:"failed"` // rounds
	Suites   map[string]Totals `json:"suites"`
}

// Totals add up rounds.
type Totals struct {
	Rounds int64            `json:"rounds"`
	Failed int64            `json:"failed"` // of the rounds
	MS     int64            `json:"ms"`
	Counts map[string]int64 `json:"counts,omitempty"`
}

// Add adds a round.
func (t *Totals) Add(r *Round) {
	t.Rounds++
	if r.Error != "" {
		t.Failed++
	}
	t.MS += r.MS
	t.addCounts(r.Counts)
}

// Merge adds other totals.
func (t *Totals) Merge(o Totals) {
	t.Rounds += o.Rounds
	t.Failed += o.Failed
	t.MS += o.MS
	t.addCounts(o.Counts)
}

func (t *Totals) addCounts(counts map[string]int64) {
	if t.Counts == nil && len(counts) > 0 {
		t.Counts = map[string]int64{}
	}
	for what, n := range counts {
		t.Counts[what] += n
	}
}

// Clone returns a copy that later additions do not change.
func (t Totals) Clone() Totals {
	t.Counts = maps.Clone(t.Counts)
	return t
}

// Equal reports whether both are the same.
func (t Totals) Equal(o Totals) bool {
	return t.Rounds == o.Rounds && t.Failed == o.Failed && t.MS == o.MS && maps.Equal(t.Counts, o.Counts)
}

// errorBytesMax bounds the text of a failure. The whole of it was printed when
// it happened.
const errorBytesMax = 64 << 10

// Write writes a line, in one call, so that what a crash leaves of a ledger is
// whole lines and at most one torn one.
func Write(w io.Writer, e Entry) error {
	if e.Round != nil && len(e.Round.Error) > errorBytesMax {
		short := *e.Round
		short.Error = cut(short.Error, errorBytesMax)
		e.Round = &short
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return err
	}
	_, err := w.Write(line.Bytes())
	return err
}

// cut returns the beginning of text, without half a character at its end.
func cut(text string, sizeBytes int) string {
	for sizeBytes > 0 && !utf8.RuneStart(text[sizeBytes]) {
		sizeBytes--
	}
	return text[:sizeBytes] + " (the rest is left out)"
}
