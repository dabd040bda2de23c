package lightning

import "github.com/lightningdb/lightning/internal/session"

// SpillAt makes the writes of transactions that begin from now on go to files when
// they take so much memory, less than any setting allows. No transaction has locks.
func SpillAt(db *DB, bytes int64) {
	c := db.opts.sessionConfig()
	c.SpillBytes = bytes
	db.sessions = session.NewManager(db.engine, c)
}
