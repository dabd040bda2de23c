package mutant

// This file breaks the change feed and the history that it reads.

var feedMutants = []Mutant{
	{
		Name: "feed-ahead-of-durability", File: "internal/engine/feed.go",
		Old:    "	return min(durable, base.SeqNum(db.visible.Load()))",
		New:    "	return max(durable, base.SeqNum(db.visible.Load()))",
		Breaks: "a feed delivers nothing that a crash can take back",
		Suites: []Suite{engine},
	},
	{
		Name: "feed-behind-commit-asleep", File: "internal/engine/commit.go",
		Old:    "	db.visible.Store(uint64(last))\n	db.feeds.wake()\n",
		New:    "	db.visible.Store(uint64(last))\n",
		Breaks: "a feed that waits gets the next commit",
		Suites: []Suite{api},
	},
	{
		Name: "feed-asks-for-no-sync", File: "internal/engine/feed.go",
		Old:    "	return f.db.SyncLog()",
		New:    "	return base.ErrReadOnly",
		Breaks: "a feed gets Async commits within a bounded time",
		Suites: []Suite{api},
	},
	{
		Name: "feed-damage-skipped", File: "internal/engine/feed.go",
		Old:    "	return &GapError{f.next, first, finding}",
		New:    "	f.next = first\n	_ = finding\n	return nil",
		Breaks: "a feed never leaves anything out silently",
		Suites: []Suite{engine},
	},
	{
		Name: "feed-hole-skipped", File: "internal/engine/feed.go",
		Old:    "	if gap != nil {\n		return gap\n	}\n	if !s.open",
		New:    "	if gap != nil {\n		f.next = gap.Oldest\n		return nil\n	}\n	if !s.open",
		Breaks: "a consumer that is too slow is told",
		Suites: []Suite{engine},
	},
	{
		Name: "history-not-synced-before-flush", File: "internal/engine/flush.go",
		Old:    "	if err := db.log.Sync(); err != nil {",
		New:    "	if err := db.log.Flush(); err != nil {",
		Breaks: "what is in a table is in the history, too",
		Suites: []Suite{engine},
	},
	{
		Name: "history-not-synced-at-open", File: "internal/wal/history.go",
		Old:    "	if err := errors.Join(f.Sync(), f.Close()); err != nil {",
		New:    "	if err := f.Close(); err != nil {",
		Breaks: "what was replayed into a table is in the history, too",
		Suites: []Suite{engine},
	},
	{
		Name: "history-footer-not-synced", File: "internal/wal/history.go",
		Old:    "	return size, f.Sync()",
		New:    "	return size, nil",
		Breaks: "the age of a history segment survives a crash",
		Suites: []Suite{logs},
	},
	{
		Name: "history-not-renamed", File: "internal/wal/history.go",
		Old:    "		err = cfg.FS.Rename(name, filepath.Join(cfg.Dir, HistoryFileName(n)))",
		New:    "		_ = name",
		Breaks: "history has a name that no replay looks at",
		Suites: []Suite{logs, engine},
	},
	{
		Name: "history-behind-a-cut", File: "internal/engine/history.go",
		Old:    "		end, first = s.extent.Start, s.extent.First\n",
		New:    "",
		Breaks: "what recovery has dropped is not in the history",
		Suites: []Suite{engine},
	},
	{
		Name: "history-too-long", File: "internal/engine/history.go",
		Old:    "		if !tooLarge && !tooOld {",
		New:    "		if !tooLarge || !tooOld {",
		Breaks: "history goes when either bound is passed",
		Suites: []Suite{engine},
	},
	{
		Name: "history-timer-not-set", File: "internal/engine/history.go",
		Old:    "	h.timer = c.AfterFunc(",
		New:    "	_ = c.AfterFunc(",
		Breaks: "no timer is left behind by Close",
		Suites: []Suite{engine},
	},
	{
		Name: "history-fills-the-disk", File: "internal/engine/history.go",
		Old:    "	if db.opts.History.enabled() && errors.Is(err, vfs.ErrNoSpace) {",
		New:    "	if false && errors.Is(err, vfs.ErrNoSpace) {",
		Breaks: "history makes way when the disk is full",
		Suites: []Suite{engine},
	},
	{
		Name: "history-name-forgotten", File: "internal/engine/keyspace.go",
		Old:    "		if k.LastSeq < oldest {",
		New:    "		if k.LastSeq >= oldest {",
		Breaks: "a dropped keyspace has its name as long as history mentions it",
		Suites: []Suite{engine},
	},
}
