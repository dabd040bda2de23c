package store

import (
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

func TestParseTableName(t *testing.T) {
	for _, n := range []base.FileNum{1, 999999, 1000000, 1 << 40} {
		if got, ok := ParseTableName(TableName(n)); !ok || got != n {
			t.Errorf("%s reads as %d, %v", TableName(n), got, ok)
		}
	}
	for _, name := range []string{"1.sst", "000001", "000001.wal", "x00001.sst", "0000001.sst", "-00001.sst", "000001.sst.sst"} {
		if n, ok := ParseTableName(name); ok {
			t.Errorf("%s reads as %d", name, n)
		}
	}
}
