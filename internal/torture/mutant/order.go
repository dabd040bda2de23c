package mutant

// This file puts steps into the wrong order.

var orderMutants = []Mutant{
	{
		Name: "published-before-sync", File: "internal/engine/commit.go",
		Old: `	if err := db.writeLog(first, last, payloads, durability); err != nil {
		return err
	}
	db.pipeline.lastSeq = last
	if large {
		return db.applyLarge(payloads, first, last)
	}
	if slices.ContainsFunc(group, func(r *request) bool { return r.batch.merging }) {
		defer db.beginJoins()()
	}
	defer db.endHotWrites()
	if err := db.apply(payloads, first); err != nil {
		return db.poison("memtable", err)
	}
	invariant.Yield()
	db.publish(last)
	invariant.Yield()
	return nil`,
		New: `	invariant.Yield()
	_ = slices.Contains[[]int]
	defer db.endHotWrites()
	if !large {
		if err := db.apply(payloads, first); err != nil {
			return db.poison("memtable", err)
		}
		db.visible.Store(uint64(last))
	}
	if err := db.writeLog(first, last, payloads, durability); err != nil {
		return err
	}
	db.pipeline.lastSeq = last
	if large {
		return db.applyLarge(payloads, first, last)
	}
	return nil`,
		Breaks: "nobody reads a synced write that a crash can take back",
		Suites: []Suite{api},
	},
	{
		Name: "published-before-applied", File: "internal/engine/commit.go",
		Old: `	if err := db.apply(payloads, first); err != nil {
		return db.poison("memtable", err)
	}
	invariant.Yield()
	db.publish(last)
	invariant.Yield()
`,
		New: `	db.visible.Store(uint64(last))
	invariant.Yield()
	if err := db.apply(payloads, first); err != nil {
		return db.poison("memtable", err)
	}
`,
		Breaks: "no reader sees a part of a batch",
		Suites: []Suite{engine, api},
	},
	{
		Name: "published-record-by-record", File: "internal/engine/commit.go",
		Old:    "\t\t\tseq++\n",
		New:    "\t\t\tdb.visible.Store(uint64(seq))\n\t\t\tseq++\n",
		Breaks: "no reader sees a part of a batch",
		Suites: []Suite{engine, api},
	},
	{
		Name: "output-dirsync-late", File: "internal/engine/flush.go",
		Old:    "if err = db.opts.FS.SyncDir(db.dir); err != nil {",
		New:    "defer db.janitor.add(func() { db.opts.FS.SyncDir(db.dir) })\n\t\tif err = error(nil); err != nil {",
		Breaks: "the name of a table is durable before the manifest names it",
		Suites: []Suite{engine, crashStates},
	},
	{
		Name: "table-closed-before-sync", File: "internal/sstable/writer.go",
		Old: `	if !w.o.Temporary {
		if err := w.file.SyncData(); err != nil {
			return w.fail("sync", err)
		}
	}
	if err := w.file.Close(); err != nil {
		w.done = true
		return w.fail("close", err)
	}
`,
		New: `	if err := w.file.Close(); err != nil {
		w.done = true
		return w.fail("close", err)
	}
	if err := w.file.SyncData(); err != nil {
		w.done = true
	}
`,
		Breaks: "a table is synced, and a failure of that is seen",
		Suites: []Suite{tables, crashStates},
	},
	{
		Name: "inputs-removed-before-edit", File: "internal/engine/compaction.go",
		Old: "	err := db.edit(edit, func(v *manifest.Version) {\n		now := db.lockedState()\n		gone :=",
		New: `	if !job.Move {
		for _, f := range edit.RemoveFiles {
			db.removeOutput(f.Num)
		}
	}
	err := db.edit(edit, func(v *manifest.Version) {
		now := db.lockedState()
		gone :=`,
		Breaks: "inputs go only after the manifest names what replaces them",
		Suites: []Suite{crashStates},
	},
	{
		Name: "log-removed-before-edit", File: "internal/engine/flush.go",
		Old: "	err = db.edit(edit, func(v *manifest.Version) {",
		New: `	for _, n := range edit.RemoveLogs {
		db.removeLog(n)
	}
	err = db.edit(edit, func(v *manifest.Version) {`,
		Breaks: "a log segment goes only after the manifest names the tables that replace it",
		Suites: []Suite{crashStates},
	},
	{
		Name: "closing-removes-log-before-edit", File: "internal/engine/close.go",
		Old: "	err := db.edit(&manifest.Edit{RemoveLogs: logs,",
		New: `	for _, n := range spent {
		db.removeLog(n)
	}
	err := db.edit(&manifest.Edit{RemoveLogs: logs,`,
		Breaks: "Close removes the log only after the manifest has let it go",
		Suites: []Suite{crashStates},
	},
	{
		Name: "recovery-drops-log-before-flush", File: "internal/engine/open.go",
		Old: `	if err := db.flushReplayed(); err != nil {
		return err
	}
	if err := db.beginLog(logs, result.End); err != nil {
		return err
	}`,
		New: `	if err := db.beginLog(logs, result.End); err != nil {
		return err
	}
	if err := db.flushReplayed(); err != nil {
		return err
	}`,
		Breaks: "what was replayed is in synced tables before the old log goes",
		Suites: []Suite{crashRecovery, crashStates},
	},
	{
		Name: "recovery-keeps-replay-in-memory", File: "internal/engine/open.go",
		Old: `	if err := db.flushReplayed(); err != nil {
		return err
	}
	if err := db.beginLog(logs, result.End); err != nil {`,
		New:    `	if err := db.beginLog(logs, result.End); err != nil {`,
		Breaks: "what was replayed is in synced tables before the old log goes",
		Suites: []Suite{crashRecovery, crashStates},
	},
	{
		Name: "log-used-before-edit", File: "internal/engine/rotate.go",
		Old: "	err = db.edit(&manifest.Edit{AddLogs: []base.FileNum{num}}, func(*manifest.Version) {\n		db.fields.logs = append(db.fields.logs, num)",
		New: `	db.mu.Lock()
	db.fields.preparedLog = num
	db.broadcast()
	db.mu.Unlock()
	err = db.edit(&manifest.Edit{AddLogs: []base.FileNum{num}}, func(*manifest.Version) {
		db.fields.logs = append(db.fields.logs, num)`,
		Breaks: "the manifest names a log segment before the first record goes into it",
		Suites: []Suite{engine, crashStates},
	},
	{
		Name: "log-kept-for-wrong-memory", File: "internal/engine/flush.go",
		Old:    "return m.firstLog, m.firstPosition",
		New:    "return max(m.firstLog, rs.mem.firstLog), max(m.firstPosition, rs.mem.firstPosition)",
		Breaks: "a log segment is kept until all that is in it is in tables",
		Suites: []Suite{engine, crashStates},
	},
	{
		Name: "log-start-too-far", File: "internal/engine/flush.go",
		Old:    "db.logsBefore(firstLog), uint64(position)",
		New:    "db.logsBefore(firstLog), max(uint64(position), uint64(db.log.Appended()))",
		Breaks: "replay begins where the first record stands that is in no table",
		Suites: []Suite{engine, crashStates},
	},
	{
		Name: "flushed-seq-too-new", File: "internal/engine/flush.go",
		Old:    "edit := &manifest.Edit{LastSeq: imms[0].lastSeq}",
		New:    "edit := &manifest.Edit{LastSeq: base.SeqNum(db.visible.Load())}",
		Breaks: "the manifest says of no record in the log that a table has it",
		Suites: []Suite{engine, crashStates},
	},
	{
		Name: "large-batch-without-log", File: "internal/engine/rotate.go",
		Old:    "firstLog: rs.mem.firstLog, firstPosition: rs.mem.firstPosition,",
		New:    "firstLog: rs.mem.firstLog, firstPosition: db.log.Appended(),",
		Breaks: "a large batch keeps its place in the log until its flush",
		Suites: []Suite{engine, crashStates},
	},
	{
		Name: "old-manifest-removed-first", File: "internal/manifest/log.go",
		Old: `	if err := l.switchTo(old.num+1, state); err != nil {
		return err
	}
`,
		New: `	_ = l.fs.Remove(filepath.Join(l.dir, FileName(old.num)))
	if err := l.switchTo(old.num+1, state); err != nil {
		return err
	}
`,
		Breaks: "a manifest goes only after the switch away from it is durable",
		Suites: []Suite{manifests},
	},
	{
		Name: "current-dirsync-before-rename", File: "internal/manifest/log.go",
		Old: `	err := l.fs.Rename(filepath.Join(l.dir, currentTempName), filepath.Join(l.dir, CurrentName))
	if err != nil {
		return fmt.Errorf("switch %s: %w", CurrentName, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync the directory of %s: %w", CurrentName, err)
	}
`,
		New: `	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync the directory of %s: %w", CurrentName, err)
	}
	err := l.fs.Rename(filepath.Join(l.dir, currentTempName), filepath.Join(l.dir, CurrentName))
	if err != nil {
		return fmt.Errorf("switch %s: %w", CurrentName, err)
	}
`,
		Breaks: "the switch of CURRENT is durable before an edit is acknowledged",
		Suites: []Suite{manifests},
	},
	{
		Name: "current-before-manifest", File: "internal/manifest/log.go",
		Old: `	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync the directory of %s: %w", name, err)
	}
	return nil`,
		New: `	p := pointer{num: 1<<62 + 1}
	if h, err := decodeFileHeader(name, b); err == nil {
		p = pointer{id: h.id, num: h.num, salt: h.salt, synced: uint64(len(b))}
	}
	if err := l.writeTemp(p); err != nil {
		return err
	}
	if err := l.swapCurrent(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil`,
		Breaks: "CURRENT is renamed only after the manifest is synced",
		Suites: []Suite{manifests},
	},
	{
		Name: "manifest-state-before-sync", File: "internal/manifest/log.go",
		Old:    "	payload := appendEdit(nil, e)\n	grown :=",
		New:    "	l.state.Store(next)\n	payload := appendEdit(nil, e)\n	grown :=",
		Breaks: "State shows an edit only after it is durable",
		Suites: []Suite{manifests},
	},
}

// logMutants are about the order inside the write-ahead log.
var logMutants = []Mutant{
	{
		Name: "wal-claims-what-is-not-durable", File: "internal/wal/log.go",
		Old:    "h.durable = Position(l.durable.Load())",
		New:    "h.durable = at",
		Breaks: "a torn end of the log is not taken for damage",
		Suites: []Suite{logs},
	},
	{
		Name: "wal-claims-nothing", File: "internal/wal/log.go",
		Old:    "h.durable = Position(l.durable.Load())",
		New:    "h.durable = 0",
		Breaks: "rot inside the log is not taken for a torn end",
		Suites: []Suite{logs},
	},
	{
		Name: "wal-segment-claims-too-much", File: "internal/wal/log.go",
		Old:    "s.begin(l.cfg.DBID, l.Durable())",
		New:    "s.begin(l.cfg.DBID, l.Appended())",
		Breaks: "a torn end of the log is not taken for damage",
		Suites: []Suite{logs},
	},
	{
		Name: "wal-segment-claims-nothing", File: "internal/wal/log.go",
		Old:    "s.begin(l.cfg.DBID, l.Durable())",
		New:    "s.begin(l.cfg.DBID, 0)",
		Breaks: "the header of a segment proves the groups before it",
		Suites: []Suite{logs},
	},
	{
		Name: "wal-rotation-leaves-buffer", File: "internal/wal/log.go",
		Old: `	if err := l.flushLocked(); err != nil {
		_ = s.close()
		return err
	}
`,
		New:    "",
		Breaks: "every group goes into the segment that it was appended to",
		Suites: []Suite{logs},
	},
	{
		Name: "wal-ring-overrun", File: "internal/wal/log.go",
		Old:    "if end-Position(l.written.Load()) > Position(len(l.ring)) {",
		New:    "if end-Position(l.written.Load()) > Position(len(l.ring))+4096 {",
		Breaks: "Append writes nothing over groups that wait in the buffer",
		Suites: []Suite{logs},
	},
	{
		Name: "wal-sync-without-flush", File: "internal/wal/log.go",
		Old:    "	err := l.flushLocked()\n	old, current",
		New:    "	err := l.failed()\n	old, current",
		Breaks: "Sync makes durable what was appended",
		Suites: []Suite{logs},
	},
	{
		Name: "async-never-flushed", File: "internal/engine/commit.go",
		Old:    "		db.flushLogLater()\n",
		New:    "",
		Breaks: "an Async commit reaches the operating system within AsyncDelay",
		Suites: []Suite{api},
	},
	{
		Name: "group-durability-of-last", File: "internal/engine/commit.go",
		Old:    "durability = max(durability, r.durability)",
		New:    "durability = r.durability",
		Breaks: "a group of commits is as durable as its strictest member asks",
		Suites: []Suite{engine, api},
	},
}
