package vfs_test

import (
	"strings"
	"testing"

	"github.com/lightningdb/lightning/vfs"
)

func TestOpKinds(t *testing.T) {
	seen := map[string]bool{}
	for kind := vfs.OpKind(1); vfs.OpAll.Has(kind); kind <<= 1 {
		name := kind.String()
		if seen[name] || name == "" || strings.Contains(name, "(") {
			t.Errorf("kind %#x is called %q", uint32(kind), name)
		}
		seen[name] = true
	}
	if len(seen) != 20 || !seen["close"] {
		t.Errorf("there are %d kinds", len(seen))
	}
	if vfs.OpMutations.Has(vfs.OpRead) || !vfs.OpMutations.Has(vfs.OpAnySync|vfs.OpWrite) {
		t.Error("the set of mutations is wrong")
	}
	if got := vfs.OpAnySync.String(); !strings.HasPrefix(got, "ops(") {
		t.Errorf("a set is called %q", got)
	}
}

func TestOpString(t *testing.T) {
	for want, op := range map[string]vfs.Op{
		"#1 rename a b":          {N: 1, Kind: vfs.OpRename, Name: "a", NewName: "b"},
		"#2 write a [10,15)":     {N: 2, Kind: vfs.OpWrite, Name: "a", Offset: 10, Length: 5},
		"#3 preallocate a 4096":  {N: 3, Kind: vfs.OpPreallocate, Name: "a", Length: 4096},
		"#5 writeback a [0,5)":   {N: 5, Kind: vfs.OpWriteback, Name: "a", Length: 5},
		"#4 sync-dir some/where": {N: 4, Kind: vfs.OpSyncDir, Name: "some/where"},
	} {
		if got := op.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
