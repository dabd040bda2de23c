// Package process tortures the database with real processes, real files and
// real kernels. A child process writes to a database and says over a pipe what
// was acknowledged; then it is killed, or the power of its file system is cut,
// or its disk is full. The parent opens what is left and judges it.
//
// The suites:
//
//   - Kill ends a child with SIGKILL: after so many acknowledgements, after some
//     time, or by its own hand at a named step of the engine (Failpoints). What
//     the operating system was given must be there afterwards.
//   - Bank kills goroutines that move money in transactions. No money may be made
//     or lost, and no acknowledged transfer.
//   - PowerCut puts the database on an ext4 image and shuts the file system down
//     without its journal, which is what a power cut leaves. What was synced must
//     be there afterwards.
//   - FullDisk takes something away that the engine needs: space, inodes, file
//     descriptors, permissions, a writable medium. It must say so, go on reading,
//     lose nothing, and write again once it has what it needs.
//
// One oracle judges all but the bank. What a child does follows from a seed and the
// number of the operation (history.go), so the parent knows the content after
// any number of operations, and the child has to tell numbers only. The content
// includes which keyspaces there are: they are made and dropped all the time. What is
// found must be the content after some number of operations of each writer: not
// fewer than were promised, not more than had begun, and never an operation
// without those that were acknowledged before it began (oracle.go).
//
// Children are this same program, started again: its main function or TestMain
// calls Child first.
package process
