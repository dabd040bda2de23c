package mutant

// This file names the suites. Those of the torture harness stand here and
// nowhere else, so that a test that moves is followed in one place.

func tests(pkg, run string, args ...string) Suite {
	return Suite{Package: pkg, Run: run, Args: args}
}

// suitesByName are the suites under the names that the lists use. It is
// immutable.
var suitesByName = map[string]Suite{
	// The tests of single rooms.
	"api":           tests(".", ""),
	"files":         tests("./vfs", ""),
	"checkpoints":   tests(".", "^TestCheckpoint"),
	"verifications": tests(".", "^TestVerify"),
	"directories":   tests(".", "DatabaseStays|LockFile|LostLock|OpenNames|Beneath|TxAfterClose"),
	"logs":          tests("./internal/wal", ""),
	"manifests":     tests("./internal/manifest", ""),
	"tables":        tests("./internal/sstable", "", "-short"),
	"checksums":     tests("./internal/checksum", ""),
	"swappedBlocks": tests("./internal/sstable", "^TestSwappedBlocks$"),
	"foreignBlocks": tests("./internal/sstable", "^TestBlocksOfOtherTable$"),
	"engine":        tests("./internal/engine", ""),
	"bounds":        tests("./internal/base", "Bounds"),
	"compaction":    tests("./internal/compact", ""),
	"iteration":     tests("./internal/iterate", ""),
	"kernels":       tests("./internal/kernel", ""),
	"rangeDels":     tests("./internal/rangedel", ""),
	"memtables":     tests("./internal/memtable", ""),
	"arenas":        tests("./internal/offheap", ""),
	"hotRecords":    tests("./internal/hotcache", "", "-tags=invariants"),
	"curves":        tests("./internal/reuse", ""),
	"memoryShared":  tests("./internal/engine", "^TestDemand$|^TestMoveWithoutCommits$"),
	"frames":        tests("./internal/framecache", ""),
	"janitors":      tests("./internal/janitor", "", "-timeout=60s"),
	"deadRanges":    tests("./internal/deadrange", ""),
	"deadScans":     tests("./internal/engine", "Dead|DeletedRuns|DeletesInNoOrder|NotedDeletes|WindowIsFlushed"),
	"deadRaces":     tests("./internal/engine", "^TestWritesIntoWhatIsBeingProved$", "-tags=invariants"),
	"deadViews":     tests("./internal/view", "MayHaveAdded|ProveDead"),
	"excision":      tests("./internal/engine", "CoveredFiles|^TestClaims$|KeepRangeDeletes"),
	"openFiles":     tests("./internal/filepool", "", "-timeout=60s"),
	"manyReads":     tests("./internal/aio", "", "-timeout=60s"),
	"epochs":        tests("./internal/epoch", ""),

	"views":            tests("./internal/view", ""),
	"stores":           tests("./internal/store", ""),
	"commits":          tests("./internal/commit", ""),
	"writers":          tests("./internal/writer", ""),
	"logSegments":      tests("./internal/segments", ""),
	"healths":          tests("./internal/health", ""),
	"feeds":            tests("./internal/feed", ""),
	"spillRuns":        tests("./internal/spill", ""),
	"batches":          tests("./internal/batch", ""),
	"keyspaceRegistry": tests("./internal/keyspace", ""),
	"timelines":        tests("./internal/timeline", ""),
	"sessions":         tests("./internal/session", ""),
	"reserves":         tests("./internal/reserve", ""),
	"betweenLongKeys":  tests("./internal/engine", "^TestCompactBetweenLongKeys$"),
	"begins":           tests("./internal/engine", "^TestManifestInDoubt"),
	"sweeps":           tests("./internal/engine", "Sweep"),
	"reclaims":         tests("./internal/engine", "Idle|Covered|Reaped|(Snapshots|Iterators)Keep|DeadRanges|OverwrittenMemory"),
	"signals":          tests("./internal/signal", ""),

	"manyGets":      tests(".", "TxMultiGet|TxExpiresAt"),
	"keysAlone":     tests(".", "KeysOnly|TestCount"),
	"estimates":     tests(".", "Estimate|Split"),
	"conditionals":  tests(".", "Conditional|Increment"),
	"fullDisks":     tests(".", "FullDisk|Reserve"),
	"bulkLoads":     tests(".", "BulkLoad", "-short"),
	"blobs":         tests(".", "Blob"),
	"pieces":        tests("./internal/store", "Piece|FailedValue"),
	"streams":       tests(".", "Stream|ValueReader", "-short"),
	"tableWriters":  tests(".", "TableWriter"),
	"externals":     tests("./internal/external", ""),
	"sorters":       tests("./internal/spill", "Sort"),
	"wholeTables":   tests("./internal/sstable", "Whole|Takes"),
	"wholeBlocks":   tests("./internal/store", "Whole"),
	"writebacks":    tests("./internal/store", "Writeback|TablesAreSent"),
	"parts":         tests("./internal/store", "Part|Pace"),
	"manifestBlobs": tests("./internal/manifest", "Blobs"),
	"dataModel":     tests(".", "DataModel|Expire|Expiry|Operator|PutUntil|Purge|TTL", "-short"),
	"keyspaces":     tests(".", "Keyspace|ReservedNames"),
	"lent":          tests(".", "CheckSlices|LentSlices|Overwritten"),
	"loans":         tests("./internal/loan", ""),
	"merging":       tests("./internal/merge", ""),
	"transactions":  tests("./internal/txn", ""),
	"spills":        tests(".", "Spill", "-short"),
	"anomalies":     tests(".", "Tx|Hermitage|Phantom|Schedule|Conflict|Iterators|ForUpdate", "-short"),

	"queues":     tests("./queue", "", "-timeout=60s"),
	"tablePages": tests("./table", "AgainstModel|Page|Cursor|AllOrNothing|Sequence"),

	"concurrentUse": tests(".", "SecondGoroutine|SecondLoop|OtherOneLeaves|LeavesA|ConcurrentUse"),

	// One that meets its mutant in a window of nanoseconds, and so more than once.
	"pins":          tests("./internal/view", "^TestSnapshotsAreFoundOrNew$|^TestSnapshotsOpenedBesideClose$|^TestManySnapshots$|^TestSnapshotThatCloseOvertakes$|^TestSnapshotsWaitForJoins$|^TestWhoIsListedIsMissed$|^TestEmptyBlocksOfPinsAreSkipped$", "-tags=invariants"),
	"snapshotRaces": tests("./internal/engine", "^TestSnapshotReadBesideClose$", "-count=15", "-tags=invariants"),

	// The suites of the torture harness.
	"crashStates":    tests("./internal/torture/crash", "^TestCrashStates$", "-short"),
	"crashRecovery":  tests("./internal/torture/crash", "^TestCrashInRecovery$"),
	"randomCrashes":  tests("./internal/torture/crash", "^TestRounds$"),
	"failedOps":      tests("./internal/torture/fault", "^TestFailed|^TestEachOperationFails$"),
	"fullDisk":       tests("./internal/torture/fault", "FullDisk"),
	"largeBatches":   tests("./internal/torture/fault", "^TestLargeBatchesLeaveTheLog$|^TestReadOnlyReplayFillsMemtables$"),
	"byteFlips":      tests("./internal/torture/damage", "^TestRounds$|^TestEveryByteOfManifests$"),
	"astray":         tests("./internal/torture/damage", "^TestFilesGoAstray$"),
	"damagedInputs":  tests("./internal/torture/damage", "^TestCompactionPassesDamage$"),
	"histories":      tests("./internal/torture/metamorph", "^TestFrozen$|^TestRounds$"),
	"checkedHistory": tests("./internal/torture/metamorph", "^TestRounds$", "-tags=invariants"),
	"concurrency":    tests("./internal/torture/linear", "^TestBursts$|^TestLives$|^TestVersions$", "-tags=invariants"),
}
