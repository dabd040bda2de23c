package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/internal/clock"
)

// An image is an ext4 file system in a file, mounted through a loop device. The
// kernel gives the device back with the last unmount, so a mount is all that has
// to be undone. Used by one goroutine at a time.

const mkfsProgram = "mkfs.ext4"

// needsMounts says why nothing can be mounted here, if it cannot.
func needsMounts() error {
	if os.Geteuid() != 0 {
		return errors.New("skipped because mounting takes root")
	}
	if _, err := exec.LookPath(mkfsProgram); err != nil {
		return fmt.Errorf("skipped because there is no %s: %w", mkfsProgram, err)
	}
	return mountsWork()
}

// mountsWork tries once whether this kernel and container allow it all.
var mountsWork = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "lightning-mount-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	img, err := newImage(dir, 8<<20)
	if err == nil {
		if err = img.mount("", 0); err == nil {
			err = errors.Join(img.cut(), img.unmount())
		}
	}
	if err != nil {
		return fmt.Errorf("skipped because an ext4 image cannot be mounted and shut down: %w", err)
	}
	return nil
})

type image struct {
	file    string
	dir     string // where it is mounted
	mounted bool
}

// newImage makes a file system of so many bytes in dir.
func newImage(dir string, sizeBytes int64, mkfsArgs ...string) (*image, error) {
	img := &image{file: filepath.Join(dir, "image"), dir: filepath.Join(dir, "mount")}
	if err := os.Mkdir(img.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(img.file)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(sizeBytes), f.Close()); err != nil {
		return nil, err
	}
	args := append([]string{"-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"}, mkfsArgs...)
	var said bytes.Buffer
	mkfs := exec.Command(mkfsProgram, append(args, img.file)...)
	mkfs.Stderr = &said
	if err := mkfs.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", mkfsProgram, err, strings.TrimSpace(said.String()))
	}
	return img, nil
}

// loopAttempts is how often a free loop device may be snatched away by someone
// else before it is taken.
const loopAttempts = 50

// mount replays the journal of the image and makes it reachable under its
// directory.
func (img *image) mount(options string, flags uintptr) error {
	backing, err := os.OpenFile(img.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer backing.Close()
	var device *os.File
	for range loopAttempts {
		if device, err = attachLoop(backing); !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("loop device for %s: %w", img.file, err)
	}
	defer device.Close() // the mount keeps it
	if err := unix.Mount(device.Name(), img.dir, "ext4", flags, options); err != nil {
		return fmt.Errorf("mount %s with %q: %w", img.file, options, err)
	}
	img.mounted = true
	return nil
}

func attachLoop(backing *os.File) (*os.File, error) {
	control, err := os.Open("/dev/loop-control")
	if err != nil {
		return nil, err
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return nil, err
	}
	device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	config := &unix.LoopConfig{
		Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR},
	}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), config); err != nil {
		return nil, errors.Join(err, device.Close())
	}
	return device, nil
}

// unmount waits until nothing of the file system is in use.
func (img *image) unmount() error {
	if !img.mounted {
		return nil
	}
	if err := unmountSoon(img.dir); err != nil {
		return err
	}
	img.mounted = false
	return nil
}

// unmountSoon gives those who have just let go of a mount, such as a process
// that was killed, some time to be gone.
func unmountSoon(dir string) error {
	deadline := clock.System.Now().Add(childTimeout)
	for {
		err := unix.Unmount(dir, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || clock.System.Now().After(deadline) {
			_ = unix.Unmount(dir, unix.MNT_DETACH) // at least nobody finds it any more
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		pause()
	}
}

// cut cuts the power now.
func (img *image) cut() error {
	c, err := openCutter(img.dir)
	if err != nil {
		return err
	}
	return errors.Join(c.cut(), c.close())
}

// cutter cuts the power of the file system that holds a directory.
type cutter struct{ dir *os.File }

func openCutter(dir string) (cutter, error) {
	f, err := os.Open(dir)
	if err != nil {
		return cutter{}, fmt.Errorf("prepare the power cut: %w", err)
	}
	return cutter{f}, nil
}

const (
	shutDown           = 0x8004587d // EXT4_IOC_SHUTDOWN
	shutDownNoLogFlush = 2          // what the journal has not written is lost
)

func (c cutter) cut() error {
	if err := unix.IoctlSetPointerInt(int(c.dir.Fd()), shutDown, shutDownNoLogFlush); err != nil {
		return fmt.Errorf("cut the power of %s: %w", c.dir.Name(), err)
	}
	return nil
}

func (c cutter) close() error { return c.dir.Close() }
