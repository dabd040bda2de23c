package main

import "syscall"

// errPipeClosing is what a write to a pipe without a reader gives
// (ERROR_NO_DATA).
const errPipeClosing = syscall.Errno(232)
