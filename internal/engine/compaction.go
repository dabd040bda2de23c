package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/iterate"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/sstable"
)

// manualCompaction is a request to bring [lo, hi) into one sorted run.
type manualCompaction struct {
	lo, hi []byte
	ctx    context.Context
	wrote  map[base.FileNum]bool // files that were written for it
	done   bool
	err    error
}

// compactionWorker runs the jobs that the picker finds, those that a caller
// asked for first, one at a time.
func (db *DB) compactionWorker(ctx context.Context) {
	defer db.workers.Done()
	for {
		var job *compact.Job
		var manual *manualCompaction
		err := db.waitFor(ctx, func() bool {
			job, manual = db.pickJob()
			return job != nil
		})
		if err == nil {
			db.claim(job)
		}
		db.mu.Unlock()
		if err != nil {
			return
		}
		err = db.runJobFor(ctx, manual, job)
		db.finishJob(manual, job, err)
		if err == nil || manual != nil && manual.ctx.Err() != nil {
			continue
		}
		if db.failure.Load() != nil || !db.quarantine(job, err) && !db.sleep(ctx, retryDelay) {
			return
		}
	}
}

// runJobFor runs a job under a context that also ends with that of the request
// it serves.
func (db *DB) runJobFor(ctx context.Context, manual *manualCompaction, job *compact.Job) error {
	if manual == nil {
		return db.runJob(ctx, job, nil)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(manual.ctx, cancel)()
	return db.runJob(ctx, job, manual)
}

// pickJob returns the next job, and the request it serves if any. Requests
// whose range is settled are completed here. The caller holds db.mu.
func (db *DB) pickJob() (*compact.Job, *manualCompaction) {
	v := db.lockedState().tree.version
	limits := db.limits()
	limits.SharedSeq = base.SeqNumMax
	if snapshots := db.fields.snapshots.all(); len(snapshots) > 0 {
		limits.SharedSeq = snapshots[0]
	}
	if len(v.Levels[0]) >= 3*limits.L0Files {
		if job := compact.Pick(v, limits); job != nil {
			return db.shaped(db.unclaimed(job)), nil
		}
	}
	for len(db.fields.manual) > 0 {
		m := db.fields.manual[0]
		if m.ctx.Err() == nil {
			limits.Done = func(f *manifest.FileMeta) bool { return m.wrote[f.Num] }
			if job := compact.PickRange(v, limits, m.lo, m.hi); job != nil {
				return db.shaped(db.unclaimed(job)), m
			}
			m.err = db.damageIn(v, m.lo, m.hi)
		}
		m.done = true
		db.fields.manual = db.fields.manual[1:]
		db.broadcast()
	}
	if job := compact.Pick(v, limits); job != nil {
		return db.shaped(db.unclaimed(job)), nil
	}
	if job := db.pickPurge(v, limits); job != nil {
		return db.unclaimed(job), nil
	}
	return nil, nil
}

// damageIn returns what is wrong with the quarantined files in [lo, hi), which
// no compaction can settle. The caller holds db.mu.
func (db *DB) damageIn(v *manifest.Version, lo, hi []byte) error {
	var damage []error
	for level := range v.Levels {
		for _, f := range v.Overlapping(level, lo, hi) {
			if err := db.fields.quarantined[f.Num]; err != nil {
				damage = append(damage, err)
			}
		}
	}
	return errors.Join(damage...)
}

// shaped turns a move into a rewrite where the output level has another codec:
// a file that is only moved keeps the one it was written with. Level 0 is
// never compressed, so what comes in key order, and overlaps nothing, would
// otherwise stay uncompressed for good. The caller holds db.mu.
func (db *DB) shaped(job *compact.Job) *compact.Job {
	if job == nil || !job.Move {
		return job
	}
	policies := []CodecPolicy{db.opts.Codec}
	for _, k := range db.fields.keyspaces.byID {
		policies = append(policies, db.policyOf(k))
	}
	for _, f := range job.Inputs[0] {
		if job.Level > 0 { // tables end where the codec changes
			id, _ := splitPrefix(f.Lo)
			policies = []CodecPolicy{db.policyOf(db.fields.keyspaces.byID[id])}
		}
		for _, codec := range policies {
			if codec(job.Level, false) != codec(job.OutputLevel, job.Bottom) {
				job.Move = false
				return job
			}
		}
	}
	return job
}

// unclaimed returns job, or nil when one of its files is about to go. The
// caller holds db.mu and is woken when that has happened.
func (db *DB) unclaimed(job *compact.Job) *compact.Job {
	for _, files := range job.Inputs {
		for _, f := range files {
			if db.fields.claimed[f.Num] {
				return nil
			}
		}
	}
	return job
}

// limits are those for the picker, which runs under db.mu.
func (db *DB) limits() compact.Limits {
	return compact.Limits{
		L0Files:   db.opts.L0Files,
		BaseBytes: baseLevelMemtables * uint64(db.opts.MemtableBytes),
		// Merging a file that cannot be read in full would lose what is
		// readable of it.
		Damaged: func(f *manifest.FileMeta) bool { return db.fields.quarantined[f.Num] != nil },
	}
}

// baseLevelMemtables is the size of the first sorted level in memtables. Below
// that size a level of its own would only be written to be rewritten.
const baseLevelMemtables = 4

// claim marks the inputs of a job, so that nothing else removes them. The
// caller holds db.mu.
func (db *DB) claim(job *compact.Job) {
	for _, files := range job.Inputs {
		for _, f := range files {
			db.fields.claimed[f.Num] = true
		}
	}
}

// finishJob gives up the claims of a job and tells the request that it served,
// or kept waiting, about an error.
func (db *DB) finishJob(manual *manualCompaction, job *compact.Job, err error) {
	if manual != nil && manual.ctx.Err() != nil {
		err = nil // its caller has gone; nothing is wrong here
	}
	db.noteBackground("compaction", &db.fields.compactErr, err)
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, files := range job.Inputs {
		for _, f := range files {
			delete(db.fields.claimed, f.Num)
		}
	}
	var damage *base.CorruptionError
	if manual == nil && len(db.fields.manual) > 0 && !errors.As(err, &damage) {
		// A job that goes before the requests, because level 0 is too full, would
		// keep them waiting for as long as it fails. Damage does not: the next job
		// leaves it alone.
		manual = db.fields.manual[0]
	}
	if manual != nil && err != nil {
		manual.done, manual.err = true, err
		db.fields.manual = db.fields.manual[1:]
	}
	db.broadcast()
}

// quarantine notes the input that a job found damaged, so that no job reads it
// again; it reports whether err names one. Damage in what the job wrote is none
// of the inputs' fault: the job is to be tried again, after a while.
func (db *DB) quarantine(job *compact.Job, err error) bool {
	var damage *base.CorruptionError
	if !errors.As(err, &damage) {
		return false
	}
	num, ok := parseTableName(damage.File)
	isInput := func(f *manifest.FileMeta) bool { return f.Num == num }
	if !ok || !slices.ContainsFunc(job.Inputs[0], isInput) && !slices.ContainsFunc(job.Inputs[1], isInput) {
		return false
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.fields.quarantined[num] = err
	return true
}

// runJob does a job, for a request if one is given, and installs its result.
func (db *DB) runJob(ctx context.Context, job *compact.Job, manual *manualCompaction) error {
	start := db.opts.Clock.Now()
	edit := &manifest.Edit{}
	for i, files := range job.Inputs {
		for _, f := range files {
			level := [2]int{job.Level, job.OutputLevel}[i]
			edit.RemoveFiles = append(edit.RemoveFiles, manifest.LevelNum{Level: level, Num: f.Num})
		}
	}
	outputs := job.Inputs[0]
	if !job.Move {
		var err error
		if outputs, err = db.mergeFiles(ctx, job); err != nil {
			return err
		}
	}
	for _, meta := range outputs {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: job.OutputLevel, Meta: meta})
	}
	err := db.edit(edit, func(v *manifest.Version) {
		now := db.lockedState()
		gone := edit.RemoveFiles
		if job.Move {
			gone = nil
		}
		db.installVersion(v, now.mem, now.imms, gone)
		if manual != nil && !job.Move {
			for _, meta := range outputs {
				manual.wrote[meta.Num] = true
			}
		}
	})
	if errors.Is(err, manifest.ErrRefused) && !job.Move {
		db.removeOutputs(outputs)
	}
	if err != nil {
		return err // else the outputs stay: see DB.edit
	}
	took := db.opts.Clock.Now().Sub(start)
	if job.Purge {
		db.restAfterPurge(took)
	}
	db.counters.compacted(job, outputs, took)
	db.opts.Logger.Info("compacted", "from", job.Level, "to", job.OutputLevel, "move", job.Move,
		"bytes", job.Bytes(), "files", len(outputs), "took", took)
	return nil
}

// mergeFiles writes the merge of a job's inputs.
func (db *DB) mergeFiles(ctx context.Context, job *compact.Job) ([]*manifest.FileMeta, error) {
	db.mu.Lock()
	rs := db.lockedState()
	rs.refs.Add(1)
	snapshots, moments := db.fields.snapshots.all(), db.moments()
	db.mu.Unlock()
	defer db.release(rs)

	merged, deletes, err := db.jobInputs(rs.tree, job)
	if err != nil {
		return nil, err
	}
	defer merged.Close()
	out := compactionOutput{
		level:     job.OutputLevel,
		bottom:    job.Bottom,
		fileBytes: db.opts.FileBytes,
	}
	return db.runCompaction(ctx, merged, out, compact.Config{
		Snapshots:    snapshots,
		Moments:      moments,
		RangeDeletes: deletes,
		Bottom:       job.Bottom,
	})
}

// jobInputs opens the inputs of a job: each level-0 file is a source, each
// sorted level one more.
func (db *DB) jobInputs(t *tree, job *compact.Job) (*iterate.Merging, *rangedel.List, error) {
	var sources []iterate.Source
	var lists []*rangedel.List
	closeAll := func() {
		for _, s := range sources {
			s.Iter.Close()
		}
	}
	for i, files := range job.Inputs {
		level := [2]int{job.Level, job.OutputLevel}[i]
		tables := t.find(level, files)
		for _, tab := range tables {
			r, err := db.openTable(tab)
			if err == nil {
				var list *rangedel.List
				list, err = r.RangeDeletes()
				lists = append(lists, list)
			}
			if err != nil {
				closeAll()
				return nil, nil, err
			}
			if level == 0 {
				it := r.NewIter(sstable.IterOptions{NoFill: true})
				sources = append(sources, iterate.Source{Iter: it, MaxSeq: tab.meta.LargestSeq})
			}
		}
		if level > 0 && len(tables) > 0 {
			it := iterate.NewLevel(&levelFiles{db: db, tables: tables, noFill: true})
			sources = append(sources, iterate.Source{Iter: it, MaxSeq: base.SeqNumMax})
		}
	}
	return iterate.NewMerging(sources), rangedel.Merge(lists...), nil
}

// find returns the tables of a level that belong to files.
func (t *tree) find(level int, files []*manifest.FileMeta) []*table {
	wanted := make(map[base.FileNum]bool, len(files))
	for _, f := range files {
		wanted[f.Num] = true
	}
	var out []*table
	for _, tab := range t.levels[level] {
		if wanted[tab.meta.Num] {
			out = append(out, tab)
		}
	}
	return out
}

// installVersion makes v current together with the given memories. The files
// that went are deleted once nobody reads them. The caller holds db.mu.
func (db *DB) installVersion(v *manifest.Version, mem *memory, imms []*memory, gone []manifest.LevelNum) {
	for _, f := range gone {
		if tab := db.tables[f.Num]; tab != nil {
			tab.obsolete.Store(true)
			delete(db.tables, f.Num)
			delete(db.fields.quarantined, f.Num)
		}
	}
	db.install(mem, imms, db.newTree(v))
}
