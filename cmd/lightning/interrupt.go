package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// A command ends at the first interrupt, also where it waits for others: for who
// writes to its input, or reads its output. Such calls cannot be taken back, so they
// are made by a goroutine of their own, which is left behind.

// errInterrupted says that the user stopped the command.
var errInterrupted = errors.New("interrupted")

// signalled is why the context of a command has ended. It matches context.Canceled.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return errInterrupted.Error() }

func (s signalled) Unwrap() error { return context.Canceled }

// exitCode is what shells make of the end by a signal.
func (s signalled) exitCode() int {
	if number, ok := s.Signal.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitInterrupted
}

// untilSignal returns a context that ends with the first interrupt or termination.
// From then on their default action is back: a second one ends the program at once.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalled{s})
		case <-ctx.Done():
			signal.Stop(signals)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// waiting returns what fn does, or errInterrupted if that has not ended some time after
// ctx has.
func waiting[T any](ctx context.Context, patience time.Duration, fn func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := fn()
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-time.After(patience):
		var none T
		return none, errInterrupted
	}
}

// interruptibleReader is a reader that ends with ctx. One goroutine uses it.
type interruptibleReader struct {
	ctx    context.Context
	input  io.Reader
	buffer []byte // what input reads into, which may go on after the end
}

func (r *interruptibleReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, errInterrupted
	}
	if r.buffer == nil {
		r.buffer = make([]byte, 256<<10)
	}
	into := r.buffer[:min(len(r.buffer), len(p))]
	n, err := waiting(r.ctx, 0, func() (int, error) { return r.input.Read(into) })
	return copy(p, into[:n]), err
}

// openInput opens a file to read from it until ctx ends.
func openInput(ctx context.Context, name string) (*os.File, error) {
	return waiting(ctx, 0, func() (*os.File, error) { return os.Open(name) })
}

// patience is how long after an interrupt a reader of the output has to take what is
// being written to it.
const patience = 500 * time.Millisecond

// interruptibleOutput is an output that may have a reader who does not read. Writes
// go on after the end of ctx, such as what a command says at its end, until one
// stalls. One goroutine uses it.
type interruptibleOutput struct {
	ctx      context.Context
	file     *os.File
	patience time.Duration
	end      error // of all writes, after one that stalled
}

// newOutput returns what a command writes to: file itself if that never waits.
func newOutput(ctx context.Context, stdout io.Writer) io.Writer {
	file, ok := stdout.(*os.File)
	if !ok {
		return stdout
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		return stdout
	}
	return &interruptibleOutput{ctx: ctx, file: file, patience: patience}
}

// Fd tells whether it is a terminal.
func (o *interruptibleOutput) Fd() uintptr { return o.file.Fd() }

func (o *interruptibleOutput) Write(p []byte) (int, error) {
	return o.do(func() (int, error) { return o.file.Write(p) })
}

// do has something be written to the file.
func (o *interruptibleOutput) do(write func() (int, error)) (n int, err error) {
	if o.end != nil {
		return 0, o.end
	}
	n, err = waiting(o.ctx, o.patience, write)
	if errors.Is(err, errInterrupted) {
		o.end = err
	}
	return n, err
}

// pieceBytes is how much is written to w at once at most, as far as records are not
// longer: where there may be nobody who reads, no more than is written as a whole or
// not at all, so that who is interrupted there has written whole records.
func pieceBytes(w io.Writer) int {
	_, mayStall := w.(*interruptibleOutput)
	switch {
	case !mayStall:
		return bufferBytes
	case runtime.GOOS == "linux":
		return 4096 // PIPE_BUF
	}
	return 512 // what POSIX guarantees
}
