//go:build unix

package process

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// becomeUser gives up root for good.
func becomeUser(id int) error {
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id))
}

// dumpStacks ends a Go program with the stacks of its goroutines.
func dumpStacks(p *os.Process) { _ = p.Signal(unix.SIGQUIT) } // fails only when it has ended
