package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/internal/torture"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// tortureOutput tells of a campaign: what begins, each failure as it comes, and
// the sums at the end.
type tortureOutput interface {
	intro(c *torture.Campaign, left []string) error
	failure(torture.Failure) error
	summary(*torture.Campaign, torture.Summary) error
}

// tortureJSON prints an object for each failure, and one for the whole.
type tortureJSON struct {
	out   io.Writer
	flags *tortureFlags
}

type tortureFailureResult struct {
	Suite   string  `json:"suite"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error"`
	Stacks  string  `json:"stacks,omitempty"`
}

type tortureResult struct {
	Seed     uint64        `json:"seed"`
	Seconds  float64       `json:"seconds"`
	Complete bool          `json:"complete"`
	Suites   []suiteResult `json:"suites"`
	Ledger   string        `json:"ledger,omitempty"`
}

// suiteResult is what a suite did, in a campaign or in several.
type suiteResult struct {
	Name string `json:"name"`
	ledger.Totals
	Seeds    string `json:"seeds,omitempty"`
	Repeated int64  `json:"repeated,omitempty"` // rounds whose seed another one had before
}

func (tortureJSON) intro(*torture.Campaign, []string) error { return nil }

func (t tortureJSON) failure(f torture.Failure) error {
	return printJSONLine(t.out, tortureFailureResult{f.Suite, f.Seed, f.Elapsed.Seconds(), f.Err.Error(), f.Stacks})
}

func (t tortureJSON) summary(c *torture.Campaign, s torture.Summary) error {
	result := tortureResult{Seed: c.Seed, Seconds: s.Elapsed.Seconds(), Complete: s.Complete, Ledger: t.flags.ledger}
	for _, suite := range s.Suites {
		result.Suites = append(result.Suites, suiteResult{Name: suite.Name, Totals: suite.Totals})
	}
	return printJSONLine(t.out, result)
}

// suiteListed is a suite in the list, in the form of its JSON.
type suiteListed struct {
	Name     string `json:"name"`
	About    string `json:"about"`
	Obstacle string `json:"obstacle,omitempty"` // why it cannot run here
}

func (f *tortureFlags) printListJSON(out io.Writer) error {
	for _, s := range f.all {
		listed := suiteListed{Name: s.Name, About: s.About}
		if obstacle := obstacleTo(s); obstacle != nil {
			listed.Obstacle = obstacle.Error()
		}
		if err := printJSONLine(out, listed); err != nil {
			return err
		}
	}
	return nil
}

// tortureText tells it to people.
type tortureText struct {
	out   io.Writer
	style console.Style
	flags *tortureFlags
}

// intro tells what begins now, with the seed it takes to do it again.
func (t tortureText) intro(c *torture.Campaign, left []string) error {
	var names []string
	for _, s := range c.Suites {
		names = append(names, s.Name)
	}
	limits := []string{}
	if c.For > 0 {
		limits = append(limits, c.For.String())
	}
	if c.Rounds > 0 {
		limits = append(limits, console.CountOf(c.Rounds, "round")+" each")
	}
	lines := append([]string{fmt.Sprintf("seed %d, %s, %s, %s", c.Seed, strings.Join(names, " "),
		strings.Join(limits, " or "), console.CountOf(int64(c.Workers), "worker"))}, left...)
	return t.print(lines...)
}

// print writes lines, each broken where the terminal is narrow.
func (t tortureText) print(lines ...string) error {
	for i, line := range lines {
		lines[i] = console.Fill(line, 2, console.LineWidth(t.out))
	}
	_, err := fmt.Fprintln(t.out, strings.Join(lines, "\n"))
	return err
}

func (t tortureText) failure(f torture.Failure) error {
	_, err := io.WriteString(t.out, failureText(t.style, f))
	return err
}

func (t tortureText) summary(_ *torture.Campaign, s torture.Summary) error {
	lines := summaryLines(s)
	if t.flags.ledger != "" {
		lines = append(lines, "ledger: "+t.flags.ledger)
	}
	return t.print(lines...)
}

// failureText tells of a failure all there is to tell.
func failureText(style console.Style, f torture.Failure) string {
	text := fmt.Sprintf("\n%s suite %s, seed %d, after %s\n%s\nto repeat it: lightning torture --suite %s --seed %d --rounds 1\n\n",
		style.Bad("FAILED"), f.Suite, f.Seed, console.Duration(f.Elapsed), indented(f.Err.Error()), f.Suite, f.Seed)
	if f.Stacks != "" {
		text += "the stacks of all goroutines:\n\n" + f.Stacks + "\n"
	}
	return text
}

func indented(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

// summaryLines is a line for each suite, and one for all.
func summaryLines(s torture.Summary) (lines []string) {
	columns := 0
	for _, suite := range s.Suites {
		columns = max(columns, len(suite.Name))
	}
	for _, suite := range s.Suites {
		lines = append(lines, console.Left(suite.Name, columns)+"  "+totalsText(suite.Totals))
	}
	how := "done"
	if !s.Complete {
		how = "ended early"
	}
	totals := s.Totals()
	return append(lines, fmt.Sprintf("%s after %s: %s, %s", how, elapsedText(s.Elapsed),
		console.CountOf(totals.Rounds, "round"), failedText(totals.Failed)))
}
