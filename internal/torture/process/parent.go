package process

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
	"strings"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/clock"
)

// The parent's side of a child.

// childTimeout is how long a child may take. Its work takes a fraction of a
// second; one that takes this long hangs.
const childTimeout = 30 * time.Second

// ending is how a child ended.
type ending struct {
	opened, sprung, cut, done, closed bool
	acks                              int
	exitCode                          int    // -1 when a signal ended it
	said                              string // on standard error
}

// running is a child at work.
type running struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended atomic.Bool // by a signal that the parent sent
}

// kill ends the child as a crash would. The child may have ended before.
func (r *running) kill() {
	r.ended.Store(true)
	_ = r.cmd.Process.Kill() // fails only when it has ended
}

// orderCut tells the child to cut the power.
func (r *running) orderCut() {
	_, _ = r.stdin.Write([]byte{0}) // fails only when it has ended
}

// runChild runs a child until its end. hear is called for each of its messages,
// in order. An error means that the child did what it must not do.
func runChild(ctx context.Context, j job, hear func(*running, message) error) (*ending, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to run it as a child: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), jobEnv+"="+string(text))
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe() // Wait closes it; so does the end of this process
	if err != nil {
		return nil, fmt.Errorf("pipe to the child: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe from the child: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the child: %w", err)
	}
	r := &running{cmd: cmd, stdin: stdin}
	hung := r.killLater(ctx)
	e := &ending{}
	heardErr := e.listen(r, stdout, hear)
	r.killIfDeaf(heardErr)
	waitErr := cmd.Wait()
	e.exitCode, e.said = cmd.ProcessState.ExitCode(), strings.TrimSpace(said.String())
	if hung() {
		return e, fmt.Errorf("the child did not end within %v; its stacks: %s", childTimeout, e.said)
	}
	return e, errors.Join(heardErr, e.check(r, &j, waitErr))
}

// killIfDeaf ends a child whose messages nobody reads any more.
func (r *running) killIfDeaf(err error) {
	if err != nil {
		r.kill()
	}
}

// killLater ends the child when ctx ends, or with all its stacks when it takes
// too long. The function it returns gives that up and says whether it took too
// long.
func (r *running) killLater(ctx context.Context) (hung func() bool) {
	var late atomic.Bool
	timer := clock.System.AfterFunc(childTimeout, func() {
		late.Store(true)
		r.ended.Store(true)
		dumpStacks(r.cmd.Process)
	})
	stop := context.AfterFunc(ctx, r.kill)
	return func() bool {
		timer.Stop()
		stop()
		return late.Load()
	}
}

// listen reads the messages of the child until it ends.
func (e *ending) listen(r *running, from io.Reader, hear func(*running, message) error) error {
	var buf [messageBytes]byte
	for in := bufio.NewReader(from); ; {
		if _, err := io.ReadFull(in, buf[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("messages of the child: %w", err)
		}
		m := decodeMessage(buf[:])
		switch m.kind {
		case saysOpened:
			e.opened = true
		case saysAcked:
			e.acks++
		case saysSprung:
			e.sprung = true
		case saysCut:
			e.cut = true
		case saysDone:
			e.done = true
		case saysClosed:
			e.closed = true
		default:
			return fmt.Errorf("the child said %v, which means nothing", m)
		}
		if hear == nil {
			continue
		}
		if err := hear(r, m); err != nil {
			return err
		}
	}
}

// check returns an error when the child ended in a way that no child should.
func (e *ending) check(r *running, j *job, waitErr error) error {
	killedItself := e.sprung && j.CutDir == ""
	switch {
	case waitErr != nil && e.exitCode == -1 && (r.ended.Load() || killedItself):
		return nil
	case e.exitCode == exitFailed:
		return nil // for the caller to judge
	}
	return fmt.Errorf("the child ended with %v: %s", waitErr, e.said)
}
