// Package torture tries to make the database lose or invent data, for as long as
// it is told to. A Suite is one way to torment it, in a package of its own; its
// unit of work is a round, which follows from a seed. A Campaign runs rounds of
// several suites on several goroutines and keeps a ledger of them. The command
// 'lightning torture' is a campaign; `go test` runs a few rounds of each suite in
// its own package.
package torture
