// Package damage is the torture suite for files at rest: bits that flip, sectors
// that are lost, torn or written to the wrong place, and files that are cut,
// exchanged, lost, or put back from another time or another database. Whatever
// happens, the database gives the right answer or an error that matches
// ErrCorrupted and names a file that does not fit; never wrong data, a panic, a
// hang or runaway memory. And opening a damaged database makes nothing worse.
//
// One loss may go unnoticed, for nothing that is left can tell of it (see
// docs/format/wal.md): the newest groups of a log that was not closed, when each
// of them is damaged. A group is known to have been durable only from the groups
// behind it. So one damaged byte can take the newest group of the log, and a
// damaged byte anywhere else takes nothing; a lost sector at the very end can
// take all the groups that it touches. Every inspection works out from the bytes
// which group is the newest intact one, accepts the state up to there besides
// the truth, and no other; and where the log file is shorter than it was, or does
// not begin with the header that it was prepared with, only the truth.
//
// Directories where files should be are refused in the words of the file system.
package damage
