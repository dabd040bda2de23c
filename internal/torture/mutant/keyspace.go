package mutant

// This file breaks the rules about keyspaces and their numbers.

var keyspaceMutants = []Mutant{
	{
		Name: "dropped-keyspace-written", File: "internal/engine/commit.go",
		Old:    "if r.err = r.batch.droppedKeyspace(); r.err == nil {",
		New:    "if r.err = nil; r.err == nil {",
		Breaks: "a batch that overlaps a drop leaves no keys that nobody can reach",
		Suites: []Suite{engine, api},
	},
	{
		Name: "dropped-keyspace-comes-back", File: "internal/engine/keyspace.go",
		Old:    "\t\t\tDropKeyspaces: []uint64{info.ID}, AddDropped: []manifest.DroppedKeyspace{former},\n",
		New:    "",
		Breaks: "a dropped keyspace is gone after a reopen",
		Suites: []Suite{api},
	},
	{
		Name: "dropped-keyspace-keeps-keys", File: "internal/engine/keyspace.go",
		Old:    "errors.Join(last.DeleteRange(prefix, PrefixEnd(prefix)), last.Delete(prefix, nil))",
		New:    "last.Delete(prefix, nil)",
		Breaks: "the space of a dropped keyspace is given back",
		Suites: []Suite{api},
	},
	{
		Name: "drop-not-durable-before-name", File: "internal/engine/keyspace.go",
		Old:    "err = db.Commit(&last, Sync)",
		New:    "err = db.Commit(&last, Async)",
		Breaks: "a crash between the two steps of a drop leaves no keys that nobody can reach",
		Suites: []Suite{engine},
	},
	{
		Name: "refused-drop-marks", File: "internal/engine/keyspace.go",
		Old:    "		info.dropped.Store(false)\n",
		New:    "",
		Breaks: "a keyspace whose drop was refused is still there",
		Suites: []Suite{api},
	},
	{
		Name: "keyspace-id-reused", File: "internal/manifest/state.go",
		Old:    "		s.NextKeyspaceID = max(s.NextKeyspaceID, k.ID+1)\n",
		New:    "",
		Breaks: "the number of a dropped keyspace is never used again",
		Suites: []Suite{manifests},
	},
	{
		Name: "keyspace-id-forgotten-by-snapshot", File: "internal/manifest/state.go",
		Old:    "		NextKeyspaceID: s.NextKeyspaceID,\n",
		New:    "",
		Breaks: "the number of a dropped keyspace is never used again, however often the manifest rolls",
		Suites: []Suite{manifests},
	},
	{
		Name: "file-number-forgotten", File: "internal/manifest/state.go",
		Old:    "		next.NextFileNum = max(next.NextFileNum, f.Meta.Num+1)\n",
		New:    "		_ = f\n",
		Breaks: "a file number is never used again",
		Suites: []Suite{manifests},
	},
	{
		Name: "counter-goes-back", File: "internal/manifest/state.go",
		Old:    "next.LastSeq = max(next.LastSeq, e.LastSeq)",
		New:    "next.LastSeq = e.LastSeq",
		Breaks: "the counters of the manifest never go back",
		Suites: []Suite{manifests},
	},
	{
		Name: "keyspace-end-wraps", File: "internal/engine/keyspace.go",
		Old:    "		if prefix[i] != 0xff {",
		New:    "		if prefix[i] != 0xff || i == len(prefix)-1 {",
		Breaks: "a drop reaches the keys of its own keyspace only",
		Suites: []Suite{engine},
	},
	{
		Name: "keyspace-prefix-ambiguous", File: "internal/engine/keyspace.go",
		Old:    "	dst = append(dst, byte(maxShortID+n))\n",
		New:    "",
		Breaks: "the prefix of no keyspace is the beginning of another's",
		Suites: []Suite{engine},
	},
	{
		Name: "foreign-keyspace-used", File: "space.go",
		Old:    "out.foreign = k.space.engine != s.engine",
		New:    "out.foreign = false",
		Breaks: "a keyspace of another database is refused",
		Suites: []Suite{api},
	},
}
