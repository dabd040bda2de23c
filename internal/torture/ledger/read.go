package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// lineBytesMax is more than any line can have: the text of a failure takes at
// most six times its size when it is written down.
const lineBytesMax = 1 << 20

// countMax is more than a round can count. It keeps sums from overflowing.
const countMax = 1 << 40

// Tail says how a ledger ends.
type Tail struct {
	WholeBytes int64 // up to the end of the last whole line
	Torn       bool  // after which there is a piece of a line
}

// Read reads a ledger and calls visit with each line. A line is whole when it
// ends with a newline; what is left of one at the end of the file is passed
// over, because that is how a killed campaign leaves its ledger. Everything else
// that Write would not write is an error that tells the line. The totals at the
// end of a campaign must be the sum of its rounds.
func Read(from io.Reader, visit func(Entry)) (Tail, error) {
	in := bufio.NewReaderSize(from, lineBytesMax)
	var tail Tail
	var c checker
	for number := 1; ; number++ {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && !isPiece(line):
			return tail, fmt.Errorf("line %d: this is no ledger: %.40q", number, line)
		case errors.Is(err, io.EOF):
			tail.Torn = len(line) > 0
			return tail, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return tail, fmt.Errorf("line %d: it has more than %d bytes", number, lineBytesMax)
		case err != nil:
			return tail, fmt.Errorf("line %d: %w", number, err)
		}
		e, err := parse(line)
		if err == nil {
			err = c.check(e)
		}
		if err != nil {
			return tail, fmt.Errorf("line %d: %w", number, err)
		}
		visit(e)
		tail.WholeBytes += int64(len(line))
	}
}

// isPiece reports whether line may be the beginning of a line of a ledger.
func isPiece(line []byte) bool {
	return slices.ContainsFunc([]string{`{"campaign":`, `{"round":`, `{"end":`}, func(opening string) bool {
		size := min(len(line), len(opening))
		return string(line[:size]) == opening[:size]
	})
}

func parse(line []byte) (Entry, error) {
	var e Entry
	err := unmarshal(line, &e)
	if err == nil {
		return e, nil
	}
	// A later version is told by its number, not by what is new in it.
	var later struct{ Campaign struct{ Ledger int } }
	if json.Unmarshal(line, &later) == nil && later.Campaign.Ledger > Version {
		return e, versionError(later.Campaign.Ledger)
	}
	return e, err
}

func versionError(found int) error {
	return fmt.Errorf("the ledger has format version %d; this program reads version %d", found, Version)
}

func unmarshal(line []byte, e *Entry) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(e); err != nil {
		return fmt.Errorf("not a line of a ledger: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("not a line of a ledger: more follows after its end")
	}
	return nil
}

// checker knows the campaign that a line belongs to.
type checker struct {
	campaign *Campaign // nil between campaigns
	totals   map[string]Totals
	failed   int64
}

func (c *checker) check(e Entry) error {
	switch {
	case e.Campaign != nil && e.Round == nil && e.End == nil:
		return c.begin(e.Campaign)
	case c.campaign == nil:
		return errors.New("it belongs to no campaign")
	case e.Round != nil && e.Campaign == nil && e.End == nil:
		return c.round(e.Round)
	case e.End != nil && e.Campaign == nil && e.Round == nil:
		return c.end(e.End)
	}
	return errors.New("it must be a campaign, a round or an end")
}

func (c *checker) begin(campaign *Campaign) error {
	switch {
	case campaign.Version != Version:
		return versionError(campaign.Version)
	case len(campaign.Suites) == 0:
		return errors.New("the campaign has no suites")
	case campaign.Workers < 1:
		return fmt.Errorf("the campaign has %d workers", campaign.Workers)
	}
	*c = checker{campaign: campaign, totals: map[string]Totals{}}
	for _, name := range campaign.Suites {
		if _, twice := c.totals[name]; twice || name == "" {
			return fmt.Errorf("the campaign has the suite %q, which is empty or named twice", name)
		}
		c.totals[name] = Totals{}
	}
	return nil
}

func (c *checker) round(r *Round) error {
	totals, ok := c.totals[r.Suite]
	if !ok {
		return fmt.Errorf("a round of the suite %q, but the campaign has %s",
			r.Suite, strings.Join(c.campaign.Suites, ", "))
	}
	if r.MS < 0 || r.MS > countMax {
		return fmt.Errorf("a round of %d milliseconds", r.MS)
	}
	for what, n := range r.Counts {
		if n < 0 || n > countMax || what == "" {
			return fmt.Errorf("a round with a count of %d %q", n, what)
		}
	}
	totals.Add(r)
	c.totals[r.Suite] = totals
	if r.Error != "" {
		c.failed++
	}
	return nil
}

func (c *checker) end(e *End) error {
	if e.MS < 0 || e.MS > countMax {
		return fmt.Errorf("a campaign of %d milliseconds", e.MS)
	}
	if e.Failed != c.failed {
		return fmt.Errorf("%d rounds are said to have failed, and %d did", e.Failed, c.failed)
	}
	if len(e.Suites) != len(c.totals) {
		return fmt.Errorf("the end tells of %d suites, and the campaign has %d", len(e.Suites), len(c.totals))
	}
	for _, name := range c.campaign.Suites {
		if told, ok := e.Suites[name]; !ok || !told.Equal(c.totals[name]) {
			return fmt.Errorf("the totals of the suite %s are not those of its rounds: %+v, not %+v",
				name, told, c.totals[name])
		}
	}
	c.campaign = nil
	return nil
}
