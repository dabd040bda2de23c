package lightning

// SpillAt makes the writes of transactions go to files when they take so much
// memory, less than any setting allows.
func SpillAt(db *DB, bytes int64) { db.spillBytes = bytes }
