// Package session runs a group of workloads on one engine in processes of their
// own, one for each phase, so that memory, garbage and page cache of one engine
// are not another's, and so that one can be killed.
//
// The program starts itself again with an environment variable set. The child
// reads what to do from its standard input and answers with one JSON object a
// line: progress, rows, at last the word that it is done, or an error.
package session

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lightningdb/lightning/bench/measure"
	"github.com/lightningdb/lightning/bench/result"
	"github.com/lightningdb/lightning/bench/suite"
)

// childVariable tells a process that it is a child.
const childVariable = "LIGHTNING_BENCH_CHILD"

// order is what a child is told to do.
type order struct {
	Engine, Dir string
	Group       string
	Phase       int
	Workloads   []string
	Config      suite.Config // already that of the group
	LimitDir    string       // a memory control group to join, or ""
}

// event is a line of a child's answer; one field is set.
type event struct {
	Progress string      `json:",omitempty"`
	Row      *result.Row `json:",omitempty"`
	Done     bool        `json:",omitempty"` // the phase; the process may be killed
	Error    string      `json:",omitempty"`
}

// Session is a group of workloads on one engine.
type Session struct {
	Engine    string
	Group     suite.Group
	Workloads []string
	Config    suite.Config // of the run
	Dir       string       // must not exist; it is removed in the end
	Progress  func(string)
	Row       func(result.Row) error
}

// Run runs the session, phase by phase.
func (s *Session) Run(ctx context.Context) (err error) {
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()
	for i := range s.Group.Phases {
		if !s.Group.Phases[i].Wanted(s.Workloads) {
			continue
		}
		if err := s.phase(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) phase(ctx context.Context, index int) (err error) {
	p := &s.Group.Phases[index]
	o := order{
		Engine: s.Engine, Dir: s.Dir, Group: s.Group.Name, Phase: index,
		Workloads: s.Workloads, Config: s.Group.Configure(s.Config),
	}
	var notes []string
	if p.Cold {
		limit, note := makeCold(s.Dir, o.Config.ColdLimitBytes())
		notes = append(notes, note...)
		o.LimitDir = limit.Dir()
		defer func() { err = errors.Join(err, limit.Remove()) }()
	}
	return s.runChild(ctx, o, p.Killed, notes)
}

// makeCold drops the page cache and makes the memory limit. What the machine
// does not allow is noted in the rows.
func makeCold(dir string, limitBytes int64) (limit *measure.MemoryLimit, notes []string) {
	if err := measure.DropPageCache(dir); err != nil {
		notes = append(notes, fmt.Sprintf("with files in the page cache: %v", err))
	}
	limit, err := measure.NewMemoryLimit(limitBytes)
	if err != nil {
		return nil, append(notes, "the process was not held to a memory limit, which this machine does not allow")
	}
	return limit, append(notes, fmt.Sprintf("the process was held to %d MiB, page cache included", limitBytes>>20))
}

// runChild starts a child, passes on what it says, and waits for its end.
func (s *Session) runChild(ctx context.Context, o order, kill bool, notes []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	input, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	c := exec.CommandContext(ctx, self)
	c.Env = append(os.Environ(), childVariable+"=1")
	c.Stdin, c.Stderr = bytes.NewReader(input), &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	done, failure := s.listen(stdout, notes)
	if done && kill {
		_ = c.Process.Kill()
	}
	err = c.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failure != nil:
		return failure
	case done && kill:
		return nil
	case err != nil || !done:
		return fmt.Errorf("%s, %s: the process ended: %w\n%s", s.Engine, o.Group, err, tailOf(stderr.Bytes()))
	}
	return nil
}

// listen passes on rows and progress until the child is done or says no more.
func (s *Session) listen(from io.Reader, notes []string) (done bool, err error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return false, fmt.Errorf("%s, %s: the process said %q", s.Engine, s.Group.Name, lines.Text())
		}
		switch {
		case e.Error != "":
			return false, fmt.Errorf("%s: %s", s.Engine, e.Error)
		case e.Done:
			return true, nil
		case e.Row != nil:
			e.Row.Notes = append(notes[:len(notes):len(notes)], e.Row.Notes...)
			if err := s.Row(*e.Row); err != nil {
				return false, err
			}
		default:
			s.Progress(e.Progress)
		}
	}
	return false, lines.Err()
}

// tailOf returns the end of what a process has printed.
func tailOf(b []byte) string {
	const most = 2000
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return string(bytes.TrimSpace(b))
}

// NewDir returns the path for a session's files below a directory.
func NewDir(below, engine, group string, repeat int) string {
	return filepath.Join(below, fmt.Sprintf("%s-%s-%d", engine, group, repeat))
}
