// Package bolt has the API of bbolt over a Lightning database: buckets within buckets, cursors,
// one transaction that writes at a time. A program that was written for bbolt runs on it after
// its imports were changed:
//
//	db, err := bolt.Open("orders.lightning", nil)
//	...
//	err = db.Update(func(tx *bolt.Tx) error {
//		orders, err := tx.CreateBucketIfNotExists([]byte("orders"))
//		if err != nil {
//			return err
//		}
//		return orders.Put([]byte("17"), []byte("two apples"))
//	})
//
// All buckets are in one keyspace, so that a transaction over several of them is one commit;
// other keyspaces of the same database are the program's own: see New and DB.Lightning. The data
// of a bbolt file come in with lightning import --from bbolt, into keyspaces, or by a loop over its
// buckets, into this package.
//
// # What differs
//
//   - Open takes a directory, and no file mode. Options has what means something here.
//   - Slices that Get and cursors return are the caller's own, and stay valid when the transaction
//     has ended.
//   - A long transaction that reads keeps old versions on the disk, as with bbolt, but never makes
//     the writer's file grow without bound: what it sees is dropped when it ends.
//   - A read that fails, because a file is damaged, is told by Tx.Err, and by View, Update and
//     Commit; bbolt would have crashed.
//   - A cursor sees what its own transaction writes while it moves, and after Delete its Next is the
//     row behind the one that is gone.
//   - Update can meet a *lightning.ConflictError only where the keyspace is written past this
//     package.
//   - There are no pages: Stats counts keys and buckets alone, and FillPercent, Root, Page, Info and
//     the freelist have nothing that they could say. Copy and WriteTo are DB.Lightning().Checkpoint and
//     Backup.
//
// # Thread-safety
//
// A DB is safe for concurrent use. A Tx, with its buckets and cursors, is used by one goroutine at a
// time.
package bolt
