// Package badger has the API of Badger over a Lightning database: transactions with items and
// iterators, write batches, sequences, merge operators, subscriptions. A program that was written for
// Badger runs on it after its imports were changed:
//
//	db, err := badger.Open(badger.DefaultOptions("orders.lightning"))
//	...
//	err = db.Update(func(txn *badger.Txn) error {
//		return txn.SetEntry(badger.NewEntry([]byte("17"), []byte("two apples")).WithTTL(time.Hour))
//	})
//
// All keys are in one keyspace, each value behind its byte of user meta; other keyspaces of the same
// database are the program's own: see New and DB.Lightning. The data of a Badger directory come in with
// lightning import --from badger.
//
// # What differs
//
//   - Options has what means something here. There is no value log to size, no garbage to collect
//     (RunValueLogGC says ErrNoRewrite at once), no memory to tune but the budget of
//     lightning.Options.
//   - Transactions are as large as the disk allows: there is no ErrTxnTooBig. A conflict is found where
//     a range that was walked over has changed, too, so that what cannot be serialized never commits.
//   - A transaction that writes may have any number of iterators. What it walks over counts as read.
//   - Of a key there is one version: Item has no Version, and there is nothing for AllVersions, SinceTs,
//     managed transactions and NewKeyIterator. Changes since a moment are DB.Lightning().Changes.
//   - In reverse, an iterator with a Prefix begins at its last key after Rewind.
//   - Backup, Load and Stream are DB.Lightning().Backup, package backup, and Keyspace.Split.
//   - Nothing panics: a transaction that was misused says so.
//
// # Thread-safety
//
// DB, WriteBatch, Sequence and MergeOperator are safe for concurrent use. A Txn, with its items and
// iterators, is used by one goroutine at a time.
package badger
