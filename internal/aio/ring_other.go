//go:build !linux

package aio

import "errors"

// ring is what other systems do not have.
type ring struct{}

func newRing(uint32) (*ring, error) { return nil, errors.ErrUnsupported }

func (*ring) read([]request) error { return errors.ErrUnsupported }

func (*ring) close() {}

func isShortage(error) bool { return false }
