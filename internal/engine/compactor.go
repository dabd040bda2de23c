package engine

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/compact"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/health"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/rangedel"
	"github.com/lightningdb/lightning/internal/reserve"
	"github.com/lightningdb/lightning/internal/signal"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/timeline"
	"github.com/lightningdb/lightning/internal/view"
	"github.com/lightningdb/lightning/vfs"
)

// compactor is the worker that runs the jobs that the picker finds, those that a
// caller asked for first, one at a time.
type compactor struct {
	reads     *view.Reader
	store     *store.Store
	versions  *versions
	archive   *feed.Archive
	keyspaces *keyspace.Registry
	timeline  *timeline.Timeline
	claims    *claims
	health    *health.Health
	reserve   *reserve.Reserve
	counters  *counters
	events    *event.Sink
	clock     clock.Clock
	changed   *signal.Changes
	outcome   health.Outcome

	l0Files   int
	baseBytes uint64
	fileBytes int64

	pace       *store.Pace // of all that is written
	writersMax int         // of the output of a job
	committed  base.SeqNum // when the last job began; of the worker

	swept    map[base.FileNum]base.SeqNum // up to which number; of the worker
	reclaims bool                         // what the worker did last gave space back

	manual manualQueue
	purge  purging
}

// baseLevelMemtables is the size of the first sorted level in memtables. Below
// that size a level of its own would only be written to be rewritten.
const baseLevelMemtables = 4

// run is the worker.
func (c *compactor) run(ctx context.Context) {
	for {
		changed := c.changed.Watch()
		job, manual := c.next()
		if job == nil {
			c.reserve.Starved(false)
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			c.claims.releaseJob(job)
			return
		}
		err := c.attempt(ctx, manual, job)
		c.finish(manual, job, err)
		if err == nil || manual != nil && manual.ctx.Err() != nil {
			continue
		}
		if c.health.Err() != nil || !c.quarantine(job, err) && !signal.Sleep(ctx, c.clock, retryDelay) {
			return
		}
	}
}

// next returns the next job, whose inputs it claims, and the request that it serves
// if any. Requests whose range is settled are completed.
func (c *compactor) next() (*compact.Job, *manualCompaction) {
	if job := c.takeSweep(); job != nil {
		return job, nil
	}
	if len(c.reads.State().Tree.Version.Levels[0]) >= 3*c.l0Files {
		if job := c.take(compact.Pick); job != nil {
			return job, nil
		}
	}
	for m := c.manual.first(); m != nil; m = c.manual.first() {
		if m.ctx.Err() != nil {
			c.manual.complete(m, nil) // its caller has gone
			continue
		}
		settled, pickBlobs := false, c.pickBlobs()
		job := c.take(func(v *manifest.Version, l compact.Limits) *compact.Job {
			l.Done = func(f *manifest.FileMeta) bool { return m.wrote[f.Num] }
			job := compact.PickRange(v, l, m.lo, m.hi)
			if job == nil && m.lo == nil && m.hi == nil {
				if job = pickBlobs(v, l); job != nil && m.wrote[job.Inputs[0][0].Num] {
					job = nil
				}
			}
			settled = job == nil
			return job
		})
		if !settled {
			return job, m
		}
		c.manual.complete(m, c.claims.damageIn(m.lo, m.hi))
		c.changed.Notify()
	}
	if job := c.takeInTurn(); job != nil {
		return job, nil
	}
	job, wait := c.takeTTL()
	if later := c.reclaimIn(); later > 0 && (wait == 0 || later < wait) {
		wait = later
	}
	if job == nil && wait > 0 {
		c.wakeIn(wait)
	}
	return job, nil
}

// reclaimIn returns after what time there may be a job that gives space back where none
// was found, which is when it is quiet; 0 if nothing changes by itself. Of a snapshot or
// an iterator in the way the worker hears when it is closed.
func (c *compactor) reclaimIn() time.Duration {
	if !compact.HasDeletes(c.reads.State().Tree.Version) {
		return 0
	}
	return c.quietIn()
}

// takeInTurn returns a job that brings the tree in shape or one that gives space back.
// Where both are due they take turns.
func (c *compactor) takeInTurn() *compact.Job {
	picks := [2]func(v *manifest.Version, l compact.Limits) *compact.Job{compact.Pick, compact.PickReclaim}
	if c.reclaims = !c.reclaims; c.reclaims {
		slices.Reverse(picks[:])
	}
	for _, pick := range picks {
		if job := c.take(pick); job != nil {
			return job
		}
	}
	return c.take(c.pickBlobs())
}

// pickBlobs returns compact.PickBlobs where there is space now to write values anew.
func (c *compactor) pickBlobs() func(v *manifest.Version, l compact.Limits) *compact.Job {
	free := c.reserve.FreeBytes() // not under the lock of the claims
	return func(v *manifest.Version, l compact.Limits) *compact.Job {
		job := compact.PickBlobs(v, l)
		if job == nil || c.reserve.Full() {
			return nil
		}
		left, _ := compact.LeftBlobs(v, l.DamagedBlobs)
		if int64(2*(job.Bytes()+job.LeftBytes(left))) > free {
			return nil
		}
		return job
	}
}

// take claims the inputs of the job that pick finds, if there is one and nobody
// else has claimed any.
func (c *compactor) take(pick func(v *manifest.Version, l compact.Limits) *compact.Job) *compact.Job {
	return c.claims.takeJob(func(v *manifest.Version, damaged func(*manifest.FileMeta) bool) *compact.Job {
		l := c.limits(damaged)
		if snapshots := c.reads.SnapshotSeqs(); len(snapshots) > 0 {
			l.SharedSeq = snapshots[0]
		}
		l.Quiet = c.quietIn() == 0
		return c.shaped(pick(v, l))
	})
}

// limits are those for the picker.
func (c *compactor) limits(damaged func(*manifest.FileMeta) bool) compact.Limits {
	l0Files := c.l0Files
	if c.reserve.Full() {
		l0Files = 1 // deletes bring space when they meet what they delete
	}
	return compact.Limits{
		L0Files: l0Files, BaseBytes: c.baseBytes, Damaged: damaged, DamagedBlobs: c.claims.damagedBlobs, SharedSeq: base.SeqNumMax,
		Quiet: true,
	}
}

// shaped turns a move into a rewrite where the output level has another codec:
// a file that is only moved keeps the one it was written with. Level 0 is
// never compressed, so what comes in key order, and overlaps nothing, would
// otherwise stay uncompressed for good.
func (c *compactor) shaped(job *compact.Job) *compact.Job {
	if job == nil || !job.Move {
		return job
	}
	for _, f := range job.Inputs[0] {
		var first []byte // of a table that ends where the codec changes
		if job.Level > 0 {
			first = f.Lo
		}
		if !c.keyspaces.SameCodec(first, job.Level, false, job.OutputLevel, job.Bottom) {
			job.Move = false
			break
		}
	}
	return job
}

// debtBytes is how much there is to compact in a version.
func (c *compactor) debtBytes(v *manifest.Version) uint64 {
	c.claims.mu.Lock()
	defer c.claims.mu.Unlock()
	return compact.DebtBytes(v, c.limits(c.claims.isDamaged))
}

// attempt runs a job, on a full disk with what the reserve sets free.
func (c *compactor) attempt(ctx context.Context, manual *manualCompaction, job *compact.Job) error {
	if job.Sweep > 0 {
		c.noteSwept(job.Inputs[0][0].Num, job.Sweep) // whether it goes well or not
	}
	need := int64(math.MaxInt64)
	if least := job.LeastBytes(); least <= int64(job.Bytes())/2 {
		need = least // it brings space, so it may have the reserve
	}
	err := c.reserve.Try(need, func() error { return c.runFor(ctx, manual, job) })
	c.reserve.Starved(need < math.MaxInt64 && errors.Is(err, vfs.ErrNoSpace))
	return err
}

// runFor runs a job under a context that also ends with that of the request
// it serves.
func (c *compactor) runFor(ctx context.Context, manual *manualCompaction, job *compact.Job) error {
	if manual == nil {
		return c.runJob(ctx, job, nil)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(manual.ctx, cancel)()
	return c.runJob(ctx, job, manual)
}

// finish gives up the claims of a job and tells the request that it served,
// or kept waiting, about an error.
func (c *compactor) finish(manual *manualCompaction, job *compact.Job, err error) {
	if manual != nil && manual.ctx.Err() != nil {
		err = nil // its caller has gone; nothing is wrong here
	}
	if err != nil {
		c.events.BackgroundFailed("compaction", err)
	}
	c.outcome.Set(err)
	c.archive.MakeSpace(err)
	c.claims.releaseJob(job)
	var damage *base.CorruptionError
	if manual == nil && !errors.As(err, &damage) {
		// A job that goes before the requests, because level 0 is too full, would
		// keep them waiting for as long as it fails. Damage does not: the next job
		// leaves it alone.
		manual = c.manual.first()
	}
	if manual != nil && err != nil {
		c.manual.complete(manual, err)
	}
	c.changed.Notify()
}

// quarantine notes the input that a job found damaged, so that no job reads it again, or the
// blob table, whose values stay where they are from then on; it reports whether err names one.
// Where a job cannot do without such a value, its input is noted. Damage in what the job wrote is
// none of the inputs' fault: the job is to be tried again, after a while.
func (c *compactor) quarantine(job *compact.Job, err error) bool {
	var damage *base.CorruptionError
	if !errors.As(err, &damage) {
		return false
	}
	num, ok := store.ParseTableName(damage.File)
	if !ok {
		return false
	}
	var users []*manifest.FileMeta // of a blob table
	found := false
	for _, f := range slices.Concat(job.Inputs[:]...) {
		isUsed := slices.ContainsFunc(f.Blobs, func(use manifest.BlobUse) bool { return use.Num == num })
		if isUsed && c.claims.leaveBlob(num, err) {
			return true
		}
		if isUsed {
			users = append(users, f)
		}
		if f.Num == num || isUsed && bytes.Compare(f.Lo, damage.Lo) <= 0 && bytes.Compare(damage.Lo, f.Hi) < 0 {
			c.claims.quarantine(f.Num, err)
			found = true
		}
	}
	if !found {
		for _, f := range users {
			c.claims.quarantine(f.Num, err)
		}
	}
	return found || len(users) > 0
}

// runJob does a job, for a request if one is given, and installs its result.
func (c *compactor) runJob(ctx context.Context, job *compact.Job, manual *manualCompaction) error {
	start := c.clock.Now()
	info := event.CompactionInfo{From: job.Level, To: job.OutputLevel, Move: job.Move, InputBytes: job.Bytes()}
	c.events.CompactionBegan(info)
	outputs, err := c.install(ctx, job, manual)
	info.Took, info.Tables, info.Err = c.clock.Now().Sub(start), len(outputs), err
	if err == nil {
		if job.TTL {
			c.purge.rest(c.clock.Now().Add(ttlRestShare * info.Took))
		}
		c.counters.compacted(job, outputs, info.Took)
	}
	c.events.CompactionEnded(info)
	return err
}

// install does a job and installs its result, which it returns.
func (c *compactor) install(ctx context.Context, job *compact.Job, manual *manualCompaction) ([]*manifest.FileMeta, error) {
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
		if outputs, err = c.mergeFiles(ctx, job); err != nil {
			return nil, err
		}
	}
	for _, meta := range outputs {
		edit.AddFiles = append(edit.AddFiles, manifest.LevelFile{Level: job.OutputLevel, Meta: meta})
	}
	err := c.versions.edit(edit, func(v *manifest.Version) {
		if !job.Move {
			c.store.GiveUp(edit.RemoveFiles)
			c.claims.forget(edit.RemoveFiles)
		}
		c.reads.Update(func(next *view.Change) { next.Tree = c.store.NewTree(v) })
		if job.Sweep > 0 {
			for _, meta := range outputs {
				c.noteSwept(meta.Num, job.Sweep)
			}
		}
		if manual != nil && !job.Move {
			for _, meta := range outputs {
				manual.wrote[meta.Num] = true
			}
		}
	})
	if errors.Is(err, manifest.ErrRefused) && !job.Move {
		c.store.RemoveOutputs(outputs)
	}
	if err != nil {
		return nil, err // else the outputs stay: see versions.edit
	}
	return outputs, nil
}

// mergeFiles writes the merge of a job's inputs.
func (c *compactor) mergeFiles(ctx context.Context, job *compact.Job) ([]*manifest.FileMeta, error) {
	s := c.reads.Pin()
	defer c.reads.Release(s)
	pinned := c.reads.Pinned()
	out := c.output(job, s.Tree.Version)
	writers := c.writers()
	if out.Spare != nil {
		writers = 1 // what it asks for is one table
	}
	borders := job.Borders(writers, partFiles*out.FileBytes)
	open := func(lo, hi []byte) (store.Records, rangedel.Iterator, error) {
		merged, deletes, err := s.Tree.MergeInputs(job.Level, job.OutputLevel, job.Inputs, len(borders)+1)
		if err != nil {
			return nil, nil, err
		}
		if job.Sweep > 0 {
			return c.sweeping(merged, s.Tree, pinned.Seqs), deletes, nil
		}
		return merged, rangedel.Within(deletes, lo, hi), nil
	}
	lo, hi := job.Span()
	outputs, stats, err := c.store.WriteParts(ctx, borders, open, out, compact.Config{
		Snapshots: pinned.Seqs,
		ReadTimes: pinned.Times,
		Bottom:    job.Bottom,
		Lo:        lo,
		Hi:        hi,
	})
	if err == nil {
		s.Tree.NoteCovered(outputs, job.OutputLevel+1, nil)
		c.counters.merged(stats)
	}
	return outputs, err
}

// output says how the output of a job is written. On a full disk values stay where they are,
// and with their keys.
func (c *compactor) output(job *compact.Job, v *manifest.Version) store.Output {
	c.reserve.Cover(0, false) // it grows with the tree
	out := store.Output{
		Level: job.OutputLevel, Bottom: job.Bottom,
		FileBytes: c.reserve.TableBytes(compact.TableBytes(compact.TreeBytes(v), c.fileBytes)),
		Inline:    c.reserve.Full(), Pace: c.pace,
	}
	if !out.Inline {
		out.LeftBlobs, _ = compact.LeftBlobs(v, c.claims.leftBlobs())
	}
	out.Spare = c.reserve.SpareFor(int64(job.Bytes() + job.LeftBytes(out.LeftBlobs)))
	if out.Spare != nil && out.LeftBlobs != nil {
		out.LeftBlobs, out.Spare = nil, c.reserve.SpareFor(int64(job.Bytes()))
	}
	return out
}

// partFiles is how many tables of output each of several writers has at least.
const partFiles = 2

// writers returns how many may write the output of a job side by side: half of the
// processors, because the others belong to who reads and writes, or all where nothing was
// committed since the last job, as long as memory allows.
func (c *compactor) writers() int {
	processors := runtime.GOMAXPROCS(0)
	last := c.reads.VisibleSeq()
	if last != c.committed {
		processors /= 2
	}
	c.committed = last
	return max(min(processors, c.writersMax), 1)
}

// ttlRestShare is how many times longer than a purge the rest after it takes, so
// that many records that expire at once do not make the disk busy at once.
const ttlRestShare = 4

// takeTTL returns a job that gets rid of expired records, a TTL compaction, if
// one is due. If not, it returns after what time one may be, 0 if that is not known.
func (c *compactor) takeTTL() (job *compact.Job, wait time.Duration) {
	times := c.reads.Pinned().Times
	if times == nil {
		return nil, 0
	}
	if wait := c.purge.until().Sub(c.clock.Now()); wait > 0 {
		return nil, wait
	}
	next := base.InstantMax
	job = c.take(func(v *manifest.Version, l compact.Limits) (job *compact.Job) {
		job, next = compact.PickExpired(v, l, times[0])
		return job
	})
	if next == base.InstantMax {
		return job, 0
	}
	// What only a snapshot still sees is looked at again when that is closed.
	return job, max(time.Duration(next-c.timeline.Now()), 0)
}

// quietIn returns after what time level 0 is taken not to grow any more, 0 if that has
// come: then it is not worth waiting for more deletes.
func (c *compactor) quietIn() time.Duration {
	return max(reapQuiet-c.clock.Now().Sub(time.Unix(0, c.counters.flushedAt.Load())), 0)
}

// wakeIn wakes the workers after a while, in place of an earlier call.
func (c *compactor) wakeIn(d time.Duration) {
	c.purge.setTimer(func() clock.Timer { return c.clock.AfterFunc(d, c.changed.Notify) })
}
