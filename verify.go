package lightning

import (
	"context"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/verify"
)

// VerifyOptions are for DB.Verify and Verify.
type VerifyOptions struct {
	// BytesPerSecond bounds how fast files are read, so that others get their share of the
	// disk; 0 for no bound.
	BytesPerSecond int64
	// Progress, if given, is called for each file and each piece of one that was read, by the
	// goroutine that verifies. It should be short.
	Progress func(VerifyProgress)
}

// VerifyProgress is how far a verification has come.
type VerifyProgress struct {
	File       string // that is being read
	Files      int    // that are done
	TotalFiles int
	ReadBytes  int64
	TotalBytes int64 // about what will be read
	Findings   int
}

// VerifyReport says what a verification has found.
type VerifyReport struct {
	Files     int
	ReadBytes int64
	// Damage is all that is damaged, each with its file, the place in it and the keys that
	// are affected, as far as they are known. Of a file that has a great deal of it, the first part.
	Damage []*CorruptionError
	// Healable are sectors that are lost, and that parity makes good, so that no read fails: see
	// Options.ParityPercent. DB.Verify has the files rewritten, which may still be under way when it
	// returns; the function Verify changes nothing.
	Healable []*CorruptionError
}

// Err returns the damage as an error that matches ErrCorrupted, and from which Corruptions
// gets it back; nil where there is none.
func (r VerifyReport) Err() error {
	errs := make([]error, len(r.Damage))
	for i, e := range r.Damage {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// Verify verifies the database in dir, as DB.Verify does, which nobody has open; others are
// kept out meanwhile. It also reads what Open refuses because of damage: tables that are
// sound beside those that are not. Where the manifest is damaged, that alone is reported, for
// nothing is known of the other files then. It changes nothing. Of opts only FS matters, and
// it may be nil.
func Verify(ctx context.Context, dir string, opts *Options, o VerifyOptions) (VerifyReport, error) {
	if ctx == nil {
		return VerifyReport{}, errNilContext
	}
	settings, err := opts.withDefaults()
	if err != nil {
		return VerifyReport{}, err
	}
	how, err := o.inner()
	if err != nil {
		return VerifyReport{}, err
	}
	r, err := verify.Directory(ctx, settings.FS, dir, how)
	return VerifyReport(r), err
}

func (o *VerifyOptions) inner() (verify.Options, error) {
	if o.BytesPerSecond < 0 {
		return verify.Options{}, &OptionError{"VerifyOptions.BytesPerSecond", fmt.Sprint(o.BytesPerSecond), "positive, or 0 for no bound"}
	}
	how := verify.Options{BytesPerSecond: o.BytesPerSecond, Clock: clock.System}
	if o.Progress != nil {
		how.Progress = func(p verify.Progress) { o.Progress(VerifyProgress(p)) }
	}
	return how, nil
}
