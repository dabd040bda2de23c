//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"golang.org/x/sys/unix"
)

// These tests interrupt real processes that wait for the other end of a pipe. What
// tells that a process has come that far is what it has done with the pipe.

// started runs the program with an output.
func started(t *testing.T, stdout *os.File, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	stderr = new(bytes.Buffer)
	cmd = exec.CommandContext(t.Context(), "lightning", args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stderr
}

// wantInterrupted waits for the end of a process that got a signal.
func wantInterrupted(t *testing.T, cmd *exec.Cmd, stderr *bytes.Buffer, signal syscall.Signal) {
	t.Helper()
	_ = cmd.Wait() // the code says more
	want := fmt.Sprintf("lightning %s: interrupted", cmd.Args[1])
	if code := cmd.ProcessState.ExitCode(); code != 128+int(signal) || !strings.HasPrefix(stderr.String(), want) {
		t.Errorf("%v after %v: exit code %d, %q", cmd.Args, signal, code, stderr)
	}
}

func fifo(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo.tsv")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestInterruptedWhileReadingPipe(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		for _, args := range [][]string{{"import", "DIR", "FIFO"}, {"put", "DIR", "key", "--file", "FIFO"}} {
			dir, pipe := filepath.Join(t.TempDir(), "my.db"), fifo(t)
			for i, arg := range args {
				args[i] = strings.NewReplacer("DIR", dir, "FIFO", pipe).Replace(arg)
			}
			cmd, stderr := started(t, nil, args...)
			writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the reader
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			wantInterrupted(t, cmd, stderr, signal)
			writer.Close()
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%v: there is a database", args)
			}
		}
	}
}

// What came through standard input before the interrupt is kept, and said.
func TestInterruptedImportFromStandardInput(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "my.db")
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "lightning", "import", dir, "-", "-f", "tsv")
	cmd.Stderr = &stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds: when it is written, most of it was read.
	if _, err := io.WriteString(input, strings.Repeat("key\tvalue\n", 100_000)+"half a line"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	wantInterrupted(t, cmd, &stderr, syscall.SIGINT)
	if !strings.HasPrefix(stderr.String(), "lightning import: interrupted; ") {
		t.Errorf("it says %q", stderr.String())
	}
}

// Nobody has opened the other end, so that opening this one does not end.
func TestInterruptedWhileOpeningPipe(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	pipe := fifo(t)
	for _, args := range [][]string{{"put", t.TempDir(), "key", "--file", pipe}, {"import", t.TempDir(), pipe}} {
		if got := program(ctx, nil, args...); got.status != exitInterrupted {
			t.Errorf("%v: %+v", args, got)
		}
	}
	// What was left behind ends when the other end is there.
	if _, err := os.OpenFile(pipe, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
}

// waitUntilFull waits until a pipe takes nothing more.
func waitUntilFull(t *testing.T, pipe *os.File) {
	t.Helper()
	for {
		state := []unix.PollFd{{Fd: int32(pipe.Fd()), Events: unix.POLLOUT}}
		writable, err := unix.Poll(state, 0)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if err == nil && writable == 0 {
			return
		}
		runtime.Gosched()
	}
}

// A reader that does not read makes scan wait. What it has got by then are whole
// records.
func TestInterruptedWhileReaderStalls(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "my.db")
	db, err := lightning.Open(dir, &lightning.Options{LogArchive: lightning.LogArchiveOptions{SizeBytes: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4000 { // several times what a pipe holds
		b := db.NewBatch()
		for j := range 25 {
			if err := b.Put(fmt.Appendf(nil, "%06d", 25*i+j), bytes.Repeat([]byte("v"), (i+j)%40)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.CommitWith(lightning.DurabilityAsync); err != nil {
			t.Fatal(err)
		}
	}
	err = closing(db, func() error { return db.Put([]byte("large"), make([]byte, 1<<20)) })
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"scan", dir}, {"scan", dir, "--json"}, {"changes", dir}, {"dump", dir}, {"get", dir, "large"}} {
		reader, stdout, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd, stderr := started(t, stdout, args...)
		waitUntilFull(t, stdout)
		stdout.Close()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		wantInterrupted(t, cmd, stderr, syscall.SIGINT)
		got, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
		if args[0] != "get" && !bytes.HasSuffix(got, []byte("\n")) {
			t.Errorf("%v: the last record of %d bytes is %q", args, len(got), got[bytes.LastIndexByte(got, '\n')+1:])
		}
		want := program(t.Context(), nil, args...).stdout
		if len(got) == len(want) || !strings.HasPrefix(want, string(got)) {
			t.Errorf("%v: %d bytes are not the beginning of %d", args, len(got), len(want))
		}
	}
}

// A record that is larger than what a pipe takes at once is written as a whole all the
// same, if somebody reads; after one that nobody takes nothing is written any more.
func TestInterruptedOutput(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	out := &interruptibleOutput{ctx: ctx, file: writer, patience: time.Hour}
	large := make([]byte, 1<<20)
	taken := make(chan error)
	go func() {
		_, err := io.ReadFull(reader, make([]byte, len(large)))
		taken <- err
	}()
	if n, err := out.Write(large); n != len(large) || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-taken; err != nil {
		t.Error(err)
	}
	out.patience = time.Nanosecond
	for range 2 {
		if _, err := out.Write(large); err != errInterrupted {
			t.Errorf("got %v", err)
		}
	}
	reader.Close() // ends what was left behind
}
