// Package bulk loads many records at once, past log and memtable, in one commit.
//
// Records that come in the order of their keys are written to tables as they come, by another
// goroutine, and the commit makes these tables part of the tree. Whether an input is in order
// is seen at its first chunk. If that is not, all of it is sorted, in memory and in files. Where
// records come out of order later, those are sorted, and at the end everything is written
// once more: the tables of one commit must not overlap.
package bulk

import (
	"bytes"
	"context"
	"errors"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/engine"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/spill"
	"github.com/lightningdb/lightning/internal/txn"
)

// errGivenUp ends what Close gives up.
var errGivenUp = errors.New("bulk load was given up")

// Loader takes records and commits them at once. It is used by one goroutine at a time, and
// must be closed. Keys are prefix+key.
type Loader struct {
	db       *engine.DB
	keyspace *keyspace.Info // nil: the default one
	prefix   []byte
	ctx      context.Context // ends the load; nil: nothing does
	err      error           // what has gone wrong; nothing goes on after it

	chunk  *chunk
	chunks int    // that there are
	last   []byte // key of the last record that came in order
	any    bool   // whether there was one

	way    way
	stream *stream // of what is in order
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the goroutine that reads the stream has ended
	result error         // of that
	sorter *spill.Sorter // of the rest; nil: there is none yet
	all    *spill.Sorted // what the sorter has, at the end; the goroutine's while it runs
}

// way is where records go.
type way uint8

const (
	undecided way = iota // into the first chunk
	inOrder              // into the stream, if they are
	unsorted             // into the sorter
	ended
)

// New returns a Loader for a keyspace, nil for the default one, if the database can be written.
// ctx, which may be nil, ends the load up to the edit that commits it.
func New(ctx context.Context, db *engine.DB, k *keyspace.Info, prefix []byte) (*Loader, error) {
	if err := db.Spills().Begin(); err != nil {
		return nil, err
	}
	db.Spills().End()
	return &Loader{db: db, ctx: ctx, keyspace: k, prefix: prefix, chunk: &chunk{}, chunks: 1}, nil
}

// Add takes a record, which is copied.
func (l *Loader) Add(kind base.Kind, key, value []byte) error {
	if l.err != nil {
		return l.err
	}
	ascends := !l.any || bytes.Compare(key, l.last) > 0
	switch {
	case l.way == undecided && !ascends:
		l.fail(l.sortChunk())
		fallthrough
	case l.way == unsorted, !ascends:
		l.fail(l.sort(kind, key, value))
	default:
		l.chunk.add(kind, l.prefix, key, value)
		l.last, l.any = append(l.last[:0], key...), true
		if l.chunk.isFull() {
			l.fail(l.send())
		}
	}
	return l.err
}

func (l *Loader) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// sort gives a record to the sorter.
func (l *Loader) sort(kind base.Kind, key, value []byte) error {
	if l.err != nil {
		return l.err
	}
	if l.sorter == nil {
		l.sorter = l.db.Spills().NewSorter()
	}
	var stack [128]byte
	return l.sorter.Add(kind, append(append(stack[:0], l.prefix...), key...), value)
}

// sortChunk has all records sorted, those of the first chunk as well.
func (l *Loader) sortChunk() error {
	l.way = unsorted
	records := cursor{chunk: l.chunk}
	for rec := records.next(); rec != nil; rec = records.next() {
		if err := l.sort(rec.Trailer.Kind(), rec.Key[len(l.prefix):], rec.Value); err != nil {
			return err
		}
	}
	l.chunk = nil
	return nil
}

// send passes the chunk on, and takes an empty one.
func (l *Loader) send() error {
	if l.way == undecided {
		l.begin()
	}
	select {
	case l.stream.full <- l.chunk:
	case <-l.done:
		return l.resultOr(errGivenUp)
	}
	if l.chunks < chunksMax {
		l.chunk, l.chunks = &chunk{}, l.chunks+1
		return nil
	}
	select {
	case l.chunk = <-l.stream.free:
		return nil
	case <-l.done:
		return l.resultOr(errGivenUp)
	}
}

// resultOr returns the error of the goroutine, which has ended too early, or another one.
func (l *Loader) resultOr(err error) error {
	if l.result != nil {
		return l.result
	}
	return err
}

// begin has another goroutine write what comes in order.
func (l *Loader) begin() {
	ctx, cancel := context.WithCancelCause(l.db.Spills().Stopped())
	l.way, l.stream, l.cancel, l.done = inOrder, newStream(ctx), cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		l.result = l.commit(l.stream, l.mergeWith)
	}()
}

// mergeWith is told of the tables that what came in order has become, and returns all records
// if there are others. Nothing is added any more.
func (l *Loader) mergeWith(tables []*manifest.FileMeta) (txn.Records, error) {
	if l.sorter == nil {
		return nil, nil
	}
	if err := l.sorter.Adopt(tables); err != nil {
		return nil, err
	}
	return l.sorted()
}

// sorted returns what the sorter has.
func (l *Loader) sorted() (txn.Records, error) {
	var err error
	if l.all, err = l.sorter.Records(); err != nil {
		return nil, err
	}
	return l.all, nil
}

// commit commits records, or others instead.
func (l *Loader) commit(records txn.Records, instead func([]*manifest.FileMeta) (txn.Records, error)) error {
	// Nobody knows how much it will be. Tables of the usual size are synced while the next
	// ones are written.
	in := engine.Ingest{Ctx: l.ctx, Records: records, Instead: instead}
	if l.keyspace != nil {
		in.Keyspaces = []*keyspace.Info{l.keyspace}
	}
	return l.db.CommitIngest(&in)
}

// Commit makes all records visible and durable at once, and ends the Loader. On an error there
// is nothing of them, but for one of the manifest, after which the database is read-only.
func (l *Loader) Commit() error {
	if l.way == ended {
		return l.err
	}
	if err := l.db.Spills().Begin(); err != nil {
		l.Close()
		return err
	}
	defer l.db.Spills().End() // the database ends after what the Loader holds is given back
	defer l.Close()
	if l.err == nil {
		l.err = l.commitAll()
	}
	return l.err
}

func (l *Loader) commitAll() error {
	switch {
	case l.way == unsorted:
		records, err := l.sorted()
		if err != nil {
			return err
		}
		return l.commit(records, nil)
	case !l.any:
		return nil // nothing was added
	case l.way == undecided:
		l.begin()
	}
	select {
	case l.stream.full <- l.chunk:
	case <-l.done:
	}
	close(l.stream.full)
	<-l.done
	return l.result
}

// Close gives up what was not committed. It may be called more than once.
func (l *Loader) Close() {
	if l.way == ended {
		return
	}
	if l.stream != nil {
		l.cancel(errGivenUp)
		<-l.done
	}
	if l.all != nil {
		_ = l.all.Close() // read to the end, or not needed
	}
	if l.sorter != nil {
		l.sorter.Drop()
	}
	l.way, l.chunk, l.last = ended, nil, nil
	l.fail(base.ErrInvalidHandle)
}
