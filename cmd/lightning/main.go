// Command lightning works with Lightning DB databases from a terminal: it
// loads, reads, writes, scans, inspects, measures, torments, and gives a tour.
//
// Exit codes: 0 success, 1 not found (or there already, or a round of torture failed, or a check
// found damage), 2 wrong usage, 3 any other error, 130 interrupted and 143 terminated, which are 128 and the
// number of the signal.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/lightningdb/lightning/internal/torture/process"
)

func main() {
	process.Child() // torture kills copies of this program
	os.Exit(mainStatus())
}

// mainStatus is main without the exit, so that its deferred calls run.
func mainStatus() int {
	// A closed output pipe shall come back as a write error, not as a signal
	// that ends the process before the database is closed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := untilSignal()
	defer stop()
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
