package vfs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/vfs"
)

// The tests above cannot tell a sync from no sync: without a power cut both
// look the same. Here the kernel is told, by a seccomp filter, to fail one
// system call with EIO. A method that is to make something durable must come
// to that call and report its failure; one that leaves the call out, or drops
// its error, does not. A filter cannot be rolled back, so this runs in processes
// of their own.

// The environment of such a process: where to sync, and with which method.
const (
	syncDirVariable  = "VFS_TEST_SYNC_DIR"
	syncNameVariable = "VFS_TEST_SYNC_NAME"
)

func init() {
	if name := os.Getenv(syncNameVariable); name != "" {
		failedSync(os.Getenv(syncDirVariable), name)
	}
}

const (
	exitHolds      = 20
	exitNoFilter   = 21
	exitUnnoticed  = 22
	exitOtherError = 23
)

// syncFileRange is the number of that call, which not all architectures have.
var syncFileRange = map[string]uintptr{"386": 314, "amd64": 277, "arm64": 84, "loong64": 84, "riscv64": 84}

// syncs are the methods and the system call that each must come to.
var syncs = []struct {
	name  string
	call  uintptr
	plain func(dir string) error
}{
	{"Sync", unix.SYS_FSYNC, func(dir string) error { return syncFile(dir, vfs.File.Sync) }},
	{"SyncData", unix.SYS_FDATASYNC, func(dir string) error { return syncFile(dir, vfs.File.SyncData) }},
	{"SyncDir", unix.SYS_FSYNC, vfs.OS.SyncDir},
	{"StartWriteback", syncFileRange[runtime.GOARCH], func(dir string) error {
		return syncFile(dir, func(f vfs.File) error { return f.(vfs.WritebackFile).StartWriteback(0, 1) })
	}},
}

func syncFile(dir string, sync func(vfs.File) error) error {
	f, err := vfs.OS.OpenReadWrite(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	return errors.Join(sync(f), f.Close())
}

// failedSync is the child: it tries one method under the filter and exits.
func failedSync(dir, name string) {
	for _, s := range syncs {
		if s.name != name {
			continue
		}
		if err := failCall(s.call); err != nil {
			os.Exit(exitNoFilter)
		}
		switch err := s.plain(dir); {
		case errors.Is(err, syscall.EIO):
			os.Exit(exitHolds)
		case err == nil:
			os.Exit(exitUnnoticed)
		}
	}
	os.Exit(exitOtherError)
}

// failCall makes a system call of every thread of this process fail with EIO.
func failCall(number uintptr) error {
	const (
		returnErrno = 0x00050000
		returnAllow = 0x7fff0000
	)
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: uint32(number)},
		{Code: unix.BPF_RET | unix.BPF_K, K: returnErrno | uint32(syscall.EIO)},
		{Code: unix.BPF_RET | unix.BPF_K, K: returnAllow},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return errno
	}
	return nil
}

func TestSyncsReachTheKernel(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600))
	for _, s := range syncs {
		must(t, s.plain(dir))
		if s.call == 0 {
			continue
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), syncDirVariable+"="+dir, syncNameVariable+"="+s.name)
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			t.Fatalf("%s: the process ended with %v", s.name, err)
		}
		switch code := exit.ExitCode(); code {
		case exitHolds:
		case exitNoFilter:
			t.Skip("the kernel takes no filter")
		case exitUnnoticed:
			t.Errorf("%s reports success although the kernel failed it, or was not asked", s.name)
		default:
			t.Errorf("%s under a filter: exit code %d", s.name, code)
		}
	}
}
