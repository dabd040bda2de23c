// Package lightning is an embedded, ordered key-value database in pure Go. A
// process opens a directory and reads and writes byte strings, in the order of
// the keys:
//
//	db, err := lightning.Open("data", nil)
//	if err != nil {
//		return err
//	}
//	defer db.Close()
//	if err := db.Put([]byte("hello"), []byte("world")); err != nil {
//		return err
//	}
//	value, err := db.Get([]byte("hello"))
//
// # Durability
//
// A write waits for stable storage unless Options.Durability or
// Batch.CommitWith says otherwise; see Durability. After a crash the database
// holds every acknowledged synced write, and of the others all but at most the
// newest, each batch as a whole.
//
// # Transactions
//
// DB.Update runs a function in a strictly serializable transaction, and again
// if it conflicts with another one; DB.View is for reading; DB.Begin gives a
// transaction with options to hold. Single writes and batches need none, nor do the
// verbs that depend on what one key holds: DB.PutIfAbsent, CompareAndSwap,
// CompareAndDelete, GetAndDelete, Touch and Increment.
//
// # Expiry and merging
//
// DB.PutWithTTL writes a key that expires; KeyspaceOptions.TTL makes all keys of
// a keyspace do so. A keyspace with a merge operator (KeyspaceOptions.Merge) has
// Keyspace.Merge, which changes a value without reading it: see MergeOperator.
//
// # Many records at once
//
// A Batch goes through the log. A BulkLoader writes tables, which is faster for a million
// records in the order of their keys, and slower for a hundred: DB.BulkLoader,
// Keyspace.BulkLoader.
//
// # Records
//
// Package table keeps typed records with secondary indexes and runs queries over
// them; package queue keeps queues of messages; package keyenc makes keys of tuples.
//
// # Changes
//
// DB.Changes is a loop over everything that was committed, in order and
// resumable; Options.LogArchive says how far back it can begin.
//
// # Slices
//
// What goes in is copied. What Get and AppendGet return belongs to the caller, and so
// do the slices in errors. All others are lent: those seen inside GetFunc, MultiGet,
// Scan and Range, from an Iterator, in a Change or a BatchOp, and by a merge operator
// or a table's codec. They are memory of the database, so that nothing is copied.
// They are valid only as long as the verb says, and must not be written to: others
// would read what was written.
//
// A write to a lent slice does not reach a file: what is flushed or compacted is
// checked against checksums first, and taken from the log where it differs. It can be
// read until then. Options.Debug.CheckSlices finds who does it.
//
// # What happens
//
// Options.Logger gets what happens as lines, Options.EventListener as calls; DB.Metrics
// has the figures.
//
// # Errors
//
// Errors are compared with errors.Is and errors.As. The library never exits
// the process and does not panic for I/O errors, damaged files or the use of a
// closed handle. After a failed write of the log or the manifest the database
// refuses further writes and keeps serving reads; opening it again recovers.
//
// # Memory
//
// Options.MemoryBudget covers memtables, caches, filters and indexes. Most of
// it is outside the Go heap, so it does not burden the garbage collector.
package lightning
