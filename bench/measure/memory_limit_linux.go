package measure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// MemoryLimit is a control group whose processes may use so much memory, page
// cache included.
type MemoryLimit struct{ dir string }

// NewMemoryLimit makes a control group. It needs the right to, which mostly
// means root; the error says what is missing.
func NewMemoryLimit(limitBytes int64) (*MemoryLimit, error) {
	var failures []error
	for _, v := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, // version 1
		{"/sys/fs/cgroup", "memory.max"},                   // version 2
	} {
		dir := filepath.Join(v.root, fmt.Sprintf("lightning-bench-%d-%d", os.Getpid(), time.Now().UnixNano()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			failures = append(failures, err)
			continue
		}
		limit := strconv.FormatInt(limitBytes, 10)
		if err := os.WriteFile(filepath.Join(dir, v.file), []byte(limit), 0); err != nil {
			failures = append(failures, err, os.Remove(dir))
			continue
		}
		return &MemoryLimit{dir}, nil
	}
	return nil, fmt.Errorf("no memory control group: %w", errors.Join(failures...))
}

// Dir is what Join takes; "" for a nil MemoryLimit.
func (l *MemoryLimit) Dir() string {
	if l == nil {
		return ""
	}
	return l.dir
}

// Join puts this process into a control group, before it uses memory that is
// to be counted.
func Join(dir string) error {
	if dir == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
}

// Remove removes the control group, once its processes have ended. The kernel
// takes a moment to see that they have.
func (l *MemoryLimit) Remove() error {
	if l == nil {
		return nil
	}
	for attempt := 0; ; attempt++ {
		err := os.Remove(l.dir)
		if !errors.Is(err, syscall.EBUSY) || attempt == 50 {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
