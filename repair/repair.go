// Package repair makes a new database from what can be read of a damaged one.
//
// What is read are the tables that the manifest names and the log, block by block and group by
// group: damage costs what lies in the damaged block, and the reading goes on behind it. All
// that was read is merged, as a compaction of the whole tree does it, into the tables of a new
// database, which is verified before it has its name. Of the original nothing is changed.
//
// A lost record may hide an older one, or be the delete of one. So keys in a range that the
// Report names as lost may be absent, have a value of before, or be back though they were
// deleted; all others are as they were. Where the manifest is lost, nothing says which tables
// belong to the database and which a compaction had replaced already: their whole spans are
// named then.
package repair

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/directory"
	"github.com/lightningdb/lightning/internal/event"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/verify"
	"github.com/lightningdb/lightning/vfs"
)

// Options say how to repair.
type Options struct {
	// FS is the file system that both databases are in; nil for that of the operating system.
	FS vfs.FS
	// Progress, if given, is called for each file that is begun, by the goroutine that repairs. It
	// should be short.
	Progress func(Progress)
}

// Progress is how far a repair has come.
type Progress struct {
	File       string // that is being read
	Files      int    // that were begun
	TotalFiles int    // about
}

// Loss is a place that could not be read, and the keys that it concerns.
type Loss struct {
	File   string // base name of the file
	Offset int64  // where the place begins; -1 where it is the whole file, or not known
	Length int64  // bytes; 0 where that is not known
	Kind   string // what the place is: "data block", "missing file"
	Reason string
	// Lo and Hi bound the stored keys that are lost or uncertain, [Lo, Hi), each with the prefix of
	// its keyspace. Both are nil where any key may be concerned; Hi alone is where no bound is known.
	Lo, Hi []byte
	// Values is how many values were lost one by one, and what lies between their keys is not
	// concerned as far as there is a Loss for each; 0 where the loss is of a range.
	Values int
}

// SeqRange is a range of sequence numbers, both ends included.
type SeqRange struct{ First, Last uint64 }

// Report says what a repair has found.
type Report struct {
	// ManifestLost says that the tables were found by their files, as the manifest is damaged or
	// missing. Then Lost has the span of each of them: any key there is uncertain.
	ManifestLost bool
	// CurrentLost says that the manifest in force was found without the file CURRENT. Where its
	// end was cut off as well, that could not be seen.
	CurrentLost bool
	Tables      int // that were read, in whole or in part
	LogGroups   int // that were read
	Records     uint64
	// Lost is all that could not be read, or is uncertain. A key in none of them has the value
	// that it had, unless LostSeqs or LostLogEnd are set.
	Lost []Loss
	// LostSeqs are writes of the log that are lost; their keys are not known. A key whose
	// newest write is lost has its value of before.
	LostSeqs []SeqRange
	// LostLogEnd is the sequence number from which on writes may be lost, if not 0: the end of the
	// log is damaged, and how far it went is not known.
	LostLogEnd uint64
	// Recovered are keyspaces whose names are lost, by the names that they have now. They are
	// without settings.
	Recovered []string
}

// Sound reports whether nothing was lost, and nothing is uncertain.
func (r *Report) Sound() bool {
	return !r.ManifestLost && !r.CurrentLost && len(r.Lost)+len(r.LostSeqs)+len(r.Recovered) == 0 && r.LostLogEnd == 0
}

var errNilContext = errors.New("the context is nil")

// Repair makes a database in target of what can be read of the one in dir, which nobody may
// have open: else the error matches lightning.ErrLocked. target must not exist, or be an empty
// directory; otherwise the error matches lightning.ErrCheckpointExists. Nothing in dir is
// changed.
//
// The new database has an identity of its own, no log archive, and no history: of each key
// there is what counts. Merge operands are kept as operands, for which no operator is needed.
// It comes to be as a whole, when it was verified: until then it is under the name
// target + ".partial", and what a crash leaves there goes with the next Repair to target.
//
// That something was lost is no error: the Report says it.
func Repair(ctx context.Context, dir, target string, o Options) (_ Report, err error) {
	if ctx == nil {
		return Report{}, errNilContext
	}
	if o.FS == nil {
		o.FS = vfs.OS
	}
	held, err := directory.HoldDamaged(o.FS, dir)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	lock, err := directory.Lock(held, dir, true)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	r := &repairer{
		Options: o, ctx: ctx, dir: dir, from: held, named: map[string]int{},
		silent: event.NewSink(slog.New(slog.DiscardHandler), nil), // what is wrong is in the report
	}
	if err := r.find(); err != nil {
		return Report{}, err
	}
	return r.build(target)
}

// repairer is one repair. It is used by one goroutine.
type repairer struct {
	Options
	ctx    context.Context
	dir    string
	from   vfs.FS // which holds dir
	silent *event.Sink
	source
	done   Progress
	report Report
	named  map[string]int // losses of each file so far
}

// build writes, verifies and names the new database.
func (r *repairer) build(target string) (Report, error) {
	staged, err := directory.Stage(r.FS, target, isFile)
	if err != nil {
		return Report{}, err
	}
	defer staged.Abandon()
	var id base.DBID
	rand.Read(id[:])
	w := r.newWriter(staged, id)
	if err := w.write(); err != nil {
		return Report{}, fmt.Errorf("repair %s: %w", r.dir, err)
	}
	found, err := verify.Files(r.ctx, r.FS, staged.Path, verify.Options{Clock: clock.System})
	if err != nil {
		return Report{}, fmt.Errorf("verify what was written: %w", err)
	}
	for _, e := range found.Damage {
		err = errors.Join(err, e)
	}
	if err != nil {
		return Report{}, fmt.Errorf("what was written is damaged, so what is written here does not stay: %w", err)
	}
	return r.report, staged.Finish()
}

// isFile reports whether a repair makes files of such a name.
func isFile(name string) bool {
	_, isTable := store.ParseTableName(name)
	_, isManifest := manifest.ParseFileName(name)
	return isTable || isManifest || strings.HasPrefix(name, manifest.CurrentName)
}

// lossesMax is how many losses of one file are named one by one.
const lossesMax = 4096

// lose notes what could not be read. From some number on the losses of a file, which come in
// the order of their keys, are joined.
func (r *repairer) lose(l Loss) {
	n, known := r.named[l.File]
	if known && n >= lossesMax {
		for i := len(r.report.Lost) - 1; i >= 0; i-- {
			if last := &r.report.Lost[i]; last.File == l.File {
				last.join(l)
				return
			}
		}
	}
	r.named[l.File] = n + 1
	r.report.Lost = append(r.report.Lost, l)
}

// join widens a loss to another of the same file.
func (l *Loss) join(o Loss) {
	if l.Lo != nil && (o.Lo == nil || string(o.Lo) < string(l.Lo)) {
		l.Lo = o.Lo
	}
	if l.Hi != nil && (o.Hi == nil || string(o.Hi) > string(l.Hi)) {
		l.Hi = o.Hi
	}
	l.Offset, l.Length, l.Values = -1, 0, l.Values+o.Values
}

// lossOf makes a loss of an error, of keys in [lo, hi) where the error does not say it.
func lossOf(err error, file string, lo, hi []byte) Loss {
	l := Loss{File: file, Offset: -1, Kind: "unreadable file", Reason: err.Error(), Lo: lo, Hi: hi}
	if e, ok := errors.AsType[*base.CorruptionError](err); ok {
		l.File, l.Offset, l.Length, l.Kind, l.Reason = e.File, e.Offset, e.Length, e.Kind, e.Err.Error()
		if e.Lo != nil && e.Hi != nil {
			l.Lo, l.Hi = e.Lo, e.Hi
		}
	}
	return l
}

// begin tells that a file is begun.
func (r *repairer) begin(file string) {
	r.done.File = file
	r.done.Files++
	r.done.TotalFiles = max(r.done.TotalFiles, r.done.Files)
	if r.Progress != nil {
		r.Progress(r.done)
	}
}
