// Package script is the language of the torture suites: a Script is a list of
// operations on a database. It is written down and read back as text, one
// operation a line (Parse), and cut down to what still shows a fault (Shrink).
// What an operation means for the model is here too, so that suites which run
// the same operations in different ways expect the same of them.
//
// A Session runs on a database what a single goroutine can write; package process
// has its children do that. For the suites that crash the database in this process
// or let its disk fail there are also scripts made from seeds (Generate), and what
// the database may hold after a crash (History). The other operations are for
// package metamorph, which has a generator and a runner of its own.
//
// Everything but a History is for one goroutine at a time.
package script

import "github.com/lightningdb/lightning"

// Kind is what an operation does.
type Kind uint8

// The operations. Batch, Transact and BatchAdd hold writes of the first six kinds as parts,
// MultiGet holds Gets, and Move holds the last six.
const (
	Put Kind = iota
	Delete
	DeleteRange
	Merge     // appends to a value of a named keyspace
	PutLong   // a value of the default keyspace that expires after all tests
	PutGone   // one that has expired when the operation is done
	Overwrite // puts one key Count times
	Fill      // puts Count keys, of which it leaves out all but every Every-th; if Count is odd, as a bulk load
	Sweep     // deletes what a Fill puts, key by key; if Count is odd, by ranges side by side
	Decide    // depends on what the key holds: see Verb, which Every is
	Batch     // a batch in one go
	Transact  // a transaction in one go, which goes to files if it is large
	BatchAdd  // adds to the batch in a slot
	BatchCommit
	BatchReset
	Get
	MultiGet
	Scan
	TakeSnapshot
	CloseSnapshot
	OpenIterator
	Move
	CloseIterator
	Flush
	Compact
	SyncLog
	CreateSpace
	DropSpace
	Reopen     // Count numbers the ways to do it, for suites that know several
	ReadOnly   // reopens twice, the first time read-only; Count as for Reopen
	Check      // metrics
	Verify     // all rows
	Checkpoint // takes one, which must hold all rows, and removes it
	Backup     // makes one, restores it, which must hold all rows, and deletes older ones
	First
	Last
	Next
	Prev
	SeekGE
	SeekLT
	Kinds // how many there are
)

func (k Kind) String() string {
	return [...]string{"put", "delete", "delete-range", "merge", "put-long", "put-gone", "overwrite", "fill",
		"sweep", "decide", "batch", "transact", "batch-add", "batch-commit", "batch-reset", "get", "multi-get", "scan",
		"take-snapshot", "close-snapshot", "open-iterator", "move", "close-iterator", "flush", "compact",
		"sync-log", "create-space", "drop-space", "reopen", "read-only", "check", "verify", "checkpoint", "backup", "first",
		"last", "next", "prev", "seek-ge", "seek-lt"}[k]
}

// hasParts reports whether operations of this kind hold others.
func (k Kind) hasParts() bool {
	return k == Batch || k == Transact || k == BatchAdd || k == MultiGet || k == Move
}

// mayHold reports whether an operation of kind k can have a part of that kind.
func (k Kind) mayHold(part Kind) bool {
	switch k {
	case Batch, Transact, BatchAdd:
		return part <= PutGone
	case MultiGet:
		return part == Get
	}
	return part >= First
}

// Op is one operation. Which fields matter depends on its kind.
type Op struct {
	Kind     Kind
	Space    string // the keyspace; empty for the default one
	Slot     int    // of the snapshot, iterator or batch that is meant
	Snapshot int    // the slot of the snapshot to read from, 0 for none
	Key      Data   // lower bound of ranges; nothing for none
	Upper    Data   // upper bound; nothing for none
	Prefix   Data
	Value    Data
	Count    int // where not said above: after how many rows a read stops, 0 for never
	Every    int
	Reverse  bool
	Shuffled bool // the deletes of a Sweep come in no order
	Fail     bool // the function that gets the rows ends with an error; a compaction is cancelled; a Decide finds another value
	Wait     Wait
	Parts    []Op
}

// Script is a list of operations.
type Script []Op

// Wait is what a commit waits for: 0 for what the database says, otherwise one
// more than the lightning.Durability.
type Wait uint8

// LastWait is the largest Wait.
const LastWait = Wait(lightning.DurabilityAsync) + 1

// WaitFor returns what makes a commit wait for d.
func WaitFor(d lightning.Durability) Wait { return Wait(d) + 1 }

func (w Wait) String() string {
	if w == 0 {
		return "default"
	}
	return w.Or(lightning.DurabilitySync).String()
}

// Or returns the durability that a commit waits for, of a database that waits for
// usual if nothing is said.
func (w Wait) Or(usual lightning.Durability) lightning.Durability {
	if w == 0 {
		return usual
	}
	return lightning.Durability(w - 1)
}

// Commit commits a batch as the operation says.
func (o *Op) Commit(b *lightning.Batch) error {
	if o.Wait == 0 {
		return b.Commit()
	}
	return b.CommitWith(o.Wait.Or(0))
}
