package vfs

import (
	"fmt"
	"math/bits"
)

// OpKind names an operation on a file system. The values are bits, so that
// kinds can be joined with | into a set.
type OpKind uint32

const (
	OpCreate OpKind = 1 << iota
	OpOpen
	OpOpenReadWrite
	OpRename
	OpLink
	OpRemove
	OpMkdirAll
	OpList
	OpStat // FS.Stat and File.Size
	OpSyncDir
	OpLock
	OpFreeBytes
	OpRead
	OpWrite
	OpTruncate
	OpSync
	OpSyncData
	OpPreallocate
	OpClose
	OpWriteback
	opEnd
)

const (
	// OpAll is the set of every kind.
	OpAll = opEnd - 1
	// OpAnySync is the set of the kinds that promise durability.
	OpAnySync = OpSync | OpSyncData | OpSyncDir
	// OpMutations is the set of the kinds that change files or promise
	// durability. Crashing before one of the others shows nothing new.
	OpMutations = OpCreate | OpRename | OpLink | OpRemove | OpMkdirAll | OpLock | OpWrite | OpTruncate |
		OpPreallocate | OpAnySync
)

// Has reports whether the set k holds every kind of other.
func (k OpKind) Has(other OpKind) bool { return k&other == other }

// String returns the name of a single kind, and a number for a set.
func (k OpKind) String() string {
	if bits.OnesCount32(uint32(k)) != 1 || k >= opEnd {
		return fmt.Sprintf("ops(%#x)", uint32(k))
	}
	return [...]string{
		"create", "open", "open-read-write", "rename", "link", "remove", "mkdir-all", "list", "stat",
		"sync-dir", "lock", "free-bytes", "read", "write", "truncate", "sync", "sync-data",
		"preallocate", "close", "writeback",
	}[bits.TrailingZeros32(uint32(k))]
}

// Op describes one operation to the hooks of the testing file systems.
type Op struct {
	N       int64  // counts from 1 in the order the operations began
	Kind    OpKind // one kind
	Name    string // as given by the caller; for files the name they were opened by
	NewName string // the target of a rename, the second name of a link
	Offset  int64  // of a read, write or writeback
	Length  int64  // bytes of these; the size asked for in truncate and preallocate
}

func (op Op) String() string {
	switch op.Kind {
	case OpRename, OpLink:
		return fmt.Sprintf("#%d %s %s %s", op.N, op.Kind, op.Name, op.NewName)
	case OpRead, OpWrite, OpWriteback:
		return fmt.Sprintf("#%d %s %s [%d,%d)", op.N, op.Kind, op.Name, op.Offset,
			op.Offset+op.Length)
	case OpTruncate, OpPreallocate:
		return fmt.Sprintf("#%d %s %s %d", op.N, op.Kind, op.Name, op.Length)
	}
	return fmt.Sprintf("#%d %s %s", op.N, op.Kind, op.Name)
}
