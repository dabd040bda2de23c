// Package fault makes operations of the file system fail: each kind on each
// kind of file, once or for good, with the errors that disks, quotas and limits
// give, and syncs that fail in both ways that operating systems know. While the
// fault lasts, the database may refuse but not lie. When it is over, with and
// without a crash, nothing acknowledged is gone, and the database opens and
// takes writes again.
//
// A run is for one goroutine; two runs share nothing.
package fault

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/ledger"
	"github.com/lightningdb/lightning/internal/torture/model"
	"github.com/lightningdb/lightning/internal/torture/script"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// Fault is one thing that goes wrong.
type Fault struct {
	Place
	Sticky bool // from then on
	Err    error
	Done   bool // the operation is done all the same
	Short  bool // a read or write stops half way
	// Slow is how long the operation takes before it goes on to do what it
	// should. Err is nil then.
	Slow time.Duration
	// SyncFailure is what a sync that fails does to the pages it was for.
	SyncFailure memfs.SyncFailure
}

// Place is the nth operation of a kind on a kind of file.
type Place struct {
	Kind vfs.OpKind
	File string // a pattern as of faultfs.Rule
	Nth  int64
}

func (f Fault) String() string {
	if f.Slow > 0 {
		return fmt.Sprintf("%v number %d of %s takes %v", f.Kind, f.Nth, f.File, f.Slow)
	}
	text := fmt.Sprintf("%v number %d of %s fails with %v", f.Kind, f.Nth, f.File, f.Err)
	for what, is := range map[string]bool{
		", as do all later ones": f.Sticky, ", though it is done": f.Done, ", half way": f.Short,
		", and its pages go back": f.SyncFailure == memfs.FailRevert && vfs.OpAnySync.Has(f.Kind),
	} {
		if is {
			text += what
		}
	}
	return text
}

// What operating systems answer, as vfs.OS hands it on.
var (
	errFull  = fmt.Errorf("%w: %w", vfs.ErrNoSpace, syscall.ENOSPC)
	errQuota = fmt.Errorf("%w: %w", vfs.ErrNoSpace, syscall.EDQUOT)
)

func diskErrors() []error {
	return []error{syscall.EIO, errFull, errQuota, syscall.EMFILE, syscall.ESTALE}
}

// Places returns every place that a script comes by, in the order of a run
// without faults.
func Places(s script.Script, o lightning.Options) ([]Place, error) {
	fs := memfs.New()
	var (
		mu     sync.Mutex // the workers of the database come side by side
		places []Place
		seen   = map[Place]int64{}
	)
	fs.SetHook(func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		p := Place{Kind: op.Kind, File: fileClass(op.Name)}
		seen[p]++
		p.Nth = seen[p] // 0 until now, as in the key
		places = append(places, p)
		return nil
	})
	err := live(fs, s, o, script.NewHistory(model.State{}))
	return places, err
}

// fileClass returns the pattern of the files of the same kind.
func fileClass(name string) string {
	base := filepath.Base(name)
	if dir, _, _ := strings.Cut(filepath.ToSlash(name), "/"); dir == script.VaultDir {
		return strings.Repeat("?", len(base)) // named by what they hold, or by chance
	}
	if ext := filepath.Ext(base); ext != "" && base[0] >= '0' && base[0] <= '9' {
		return "*" + ext
	}
	return base
}

// live runs a script to its end.
func live(fs vfs.FS, s script.Script, o lightning.Options, h *script.History) error {
	o.FS = fs
	session := script.NewSession(o)
	if err := session.Open(); err != nil {
		return err
	}
	for i := range s {
		if err := session.Run(&s[i], h); err != nil {
			return errors.Join(err, session.Close())
		}
	}
	return session.Close()
}

// maxFailures is how many operations of a script may fail before it ends:
// each that fails doubles the states that are possible.
const maxFailures = 3

// Run runs a script with a fault, and judges what it leaves behind. It reports
// whether the script came by the place of the fault.
func Run(s script.Script, o lightning.Options, f Fault, tally *ledger.Tally) (met bool, err error) {
	disk := memfs.New()
	disk.SetSyncFailure(f.SyncFailure)
	fs := faultfs.New(disk)
	rule := faultfs.Rule{Kinds: f.Kind, Name: f.File, Nth: f.Nth, Sticky: f.Sticky, Err: f.Err, Done: f.Done}
	if f.Slow > 0 {
		rule.Before = func(vfs.Op) {
			over := make(chan struct{})
			clock.System.AfterFunc(f.Slow, func() { close(over) })
			<-over
		}
	}
	if f.Short {
		rule.Short, rule.ShortBytes = true, 100
	}
	armed := fs.Add(rule)
	h := script.NewHistory(model.State{})
	err = endure(fs, s, o, f, h)
	if err == nil && armed.Fired() > 0 {
		tally.Add(ledger.Faults, 1)
		err = judge(disk, o, h)
	}
	if err != nil {
		err = fmt.Errorf("%v: %w", f, err)
	}
	return armed.Fired() > 0, err
}

// endure runs a script against a file system that fails, and looks at each
// failure.
func endure(fs *faultfs.FS, s script.Script, o lightning.Options, f Fault, h *script.History) error {
	o.FS = fs
	session := script.NewSession(o)
	defer session.Close()
	if err := session.Open(); err != nil {
		if !explained(err, f) {
			return fmt.Errorf("an error that names no cause: %w", err)
		}
		if f.Sticky {
			return nil
		}
		if err := session.Open(); err != nil {
			return fmt.Errorf("the fault is over: %w", err)
		}
	}
	failures := 0
	for i := 0; i < len(s) && failures < maxFailures && session.DB != nil; i++ {
		err := session.Run(&s[i], h)
		if err == nil {
			continue
		}
		failures++
		if !explained(err, f) {
			return fmt.Errorf("an error that names no cause: %w", err)
		}
		if session.DB == nil {
			break
		}
		found, err := session.Read()
		if err == nil {
			err = h.Now().Check(found)
		} else if explained(err, f) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("read after %v had failed: %w", &s[i], err)
		}
	}
	fs.Reset()
	return closeAfter(session, f, h)
}

// closeAfter closes the database when the fault is over. Where that works all
// is durable.
func closeAfter(session *script.Session, f Fault, h *script.History) error {
	if session.DB == nil {
		return nil
	}
	err := session.Close()
	if err == nil {
		h.Acknowledge(&script.Op{Kind: script.SyncLog})
		return nil
	}
	if !explained(err, f) {
		return fmt.Errorf("an error that names no cause: %w", err)
	}
	return nil
}

// explained reports whether an error says what happened. A keyspace whose
// making failed is one reason more.
func explained(err error, f Fault) bool {
	return errors.Is(err, f.Err) || errors.Is(err, lightning.ErrNoSpace) ||
		errors.Is(err, lightning.ErrKeyspaceNotFound)
}

// judge looks at what the script left behind: as it is, and after a crash that
// keeps nothing or everything of what was not synced.
func judge(disk *memfs.FS, o lightning.Options, h *script.History) error {
	for _, left := range []struct {
		how string
		fs  vfs.FS
	}{
		{"power cut, nothing kept", disk.Crash(memfs.CrashOptions{Keep: memfs.KeepNone})},
		{"power cut, everything kept", disk.Crash(memfs.CrashOptions{Keep: memfs.KeepAll})},
		{"power cut, something kept", disk.Crash(memfs.CrashOptions{Keep: memfs.KeepRandom, Seed: 1})},
		{"no crash", disk},
	} {
		if err := script.Judge(left.fs, o, h.Allowed); err != nil {
			return fmt.Errorf("%s: %w", left.how, err)
		}
	}
	return nil
}
