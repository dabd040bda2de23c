// Package soak uses a database for a long time in all the ways that leave something behind if
// they are not cleaned up: it is opened and closed, keyspaces come and go, iterators, snapshots
// and transactions are abandoned, feeds and watchers are left, backups are made and pruned. After
// every cycle the process must have the goroutines and open files that it had at the beginning,
// and over the cycles its memory must not grow.
//
//	go test ./internal/torture/soak                               # some seconds
//	go test ./internal/torture/soak -for 1h -v -timeout 90m       # as before a release
//
// It is made of tests alone, which need Linux. One database stays open for all cycles; another
// one lives for a cycle each.
package soak
