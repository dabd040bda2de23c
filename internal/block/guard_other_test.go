//go:build !linux

package block

import (
	"bytes"
	"testing"
)

// fenced returns a copy of data of exactly its length.
func fenced(_ testing.TB, data []byte) []byte { return bytes.Clone(data) }
