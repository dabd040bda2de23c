//go:build !windows

package main

import "syscall"

// errPipeClosing is what a write to a pipe without a reader gives.
const errPipeClosing = syscall.EPIPE
