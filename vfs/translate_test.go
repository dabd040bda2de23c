package vfs

import (
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
)

func TestTranslate(t *testing.T) {
	if translate(nil) != nil {
		t.Error("nil became an error")
	}
	if err := translate(io.EOF); err != io.EOF {
		t.Error("an error that is not about space became", err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("has other error numbers")
	}
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOSPC: ErrNoSpace, syscall.EDQUOT: ErrNoSpace, syscall.EROFS: ErrReadOnly,
	} {
		cause := &os.PathError{Op: "write", Path: "f", Err: errno}
		err := translate(cause)
		if !errors.Is(err, want) || !errors.Is(err, errno) || err.Error() != cause.Error() {
			t.Errorf("%v became %v", cause, err)
		}
	}
}
