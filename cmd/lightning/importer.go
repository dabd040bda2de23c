package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

// importer moves records from a reader into a store, batch by batch. One
// goroutine parses ahead of the one that commits.
type importer struct {
	name     string // of the input, for errors
	reader   *records.Reader
	skipBad  bool
	progress *importProgress
	queue    *chunkQueue

	// Only the committing goroutine uses these.
	db            *lightning.DB
	sink          sink
	keyspace      *records.Keyspace // which a dump has chosen, nil before the first
	loadedRecords int64             // committed so far
	loadedBytes   int64
	sinkRecords   int64 // in the sink, and not committed
	sinkBytes     int64
	refused       int64 // records skipped because the database cannot have them
}

// into has records go to a store.
func (l *importer) into(target store, bulk bool) (err error) {
	if bulk {
		l.sink, err = newLoadSink(target)
	} else {
		batch := target.NewBatch()
		l.sink = &batchSink{batch, batch}
	}
	return err
}

// run loads until the input ends, something fails or ctx is cancelled. What
// was parsed by then is committed in every case, but where all or nothing is to be.
func (l *importer) run(ctx context.Context) error {
	unhook := context.AfterFunc(ctx, l.queue.stop)
	defer unhook()
	go l.parse()
	for {
		parsed, ok := l.queue.take()
		if !ok {
			break
		}
		if err := l.commit(parsed); err != nil {
			l.queue.stop()
			return l.located(err)
		}
		l.progress.update(l.loadedRecords + l.sinkRecords)
		l.queue.recycle(parsed)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err := l.queue.failure(); err != nil {
		return l.located(err)
	}
	return l.located(l.commitSink())
}

// commitSink commits what is in the sink.
func (l *importer) commitSink() error {
	if err := l.sink.commit(); err != nil {
		return err
	}
	l.loadedRecords, l.loadedBytes = l.loadedRecords+l.sinkRecords, l.loadedBytes+l.sinkBytes
	l.sinkRecords, l.sinkBytes = 0, 0
	return nil
}

// located says which input an error is about.
func (l *importer) located(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", l.name, err)
}

// parse feeds the queue.
func (l *importer) parse() {
	for {
		record, err := l.reader.Read()
		var malformed *records.LineError
		switch {
		case err == nil:
			if !l.queue.add(record) {
				return
			}
		case l.skipBad && errors.As(err, &malformed):
			l.queue.skip()
		case errors.Is(err, io.EOF):
			l.queue.finish(nil)
			return
		default:
			l.queue.finish(err)
			return
		}
	}
}

// commit gives a chunk to the sink, up to a record that breaks a limit of the database, and
// commits it if the sink does not wait for all.
func (l *importer) commit(parsed *chunk) error {
	var refused error
	for i := range parsed.records {
		record := parsed.record(i)
		if record.Keyspace != l.keyspace && l.sink.waits() { // for all of a keyspace
			if err := l.commitSink(); err != nil {
				return err
			}
		}
		err := l.put(record)
		if err == nil {
			if !record.MakesKeyspace {
				l.sinkRecords++
				l.sinkBytes += int64(len(record.Key) + len(record.Value))
			}
			continue
		}
		if l.sink.waits() && !isRefused(err) && record.Keyspace == l.keyspace {
			return err // of the disk
		}
		if !l.skipBad || !isRefused(err) {
			refused = &records.LineError{Line: record.Line, Err: err}
			break
		}
		l.refused++
	}
	if l.sink.waits() {
		return refused
	}
	if err := l.commitSink(); err != nil {
		return err
	}
	return refused
}

// put adds a record to the sink.
func (l *importer) put(r records.Record) error {
	if r.Keyspace != l.keyspace {
		if err := l.enter(r.Keyspace); err != nil {
			return err
		}
	}
	switch {
	case r.MakesKeyspace:
		return nil
	case r.KnowsExpiry:
		return l.sink.PutUntil(r.Key, r.Value, r.ExpiresAt)
	}
	return l.sink.Put(r.Key, r.Value)
}

// enter makes the keyspace of a dump, if there is none, for the records that follow.
func (l *importer) enter(k *records.Keyspace) error {
	compression := newCompression()
	if k.Compression != "" {
		if err := compression.Set(k.Compression); err != nil {
			return fmt.Errorf("compression %q %w", k.Compression, err)
		}
	}
	opts := lightning.KeyspaceOptions{Compression: compression.value, TTL: k.TTL, Merge: k.Merge, BlobBytes: k.BlobBytes, Reserved: true}
	// What was parsed before an interruption is committed, too.
	keyspace, err := l.db.Keyspace(context.Background(), k.Name, &opts)
	if err != nil {
		return err
	}
	has := keyspace.Options()
	if opts.Reserved = has.Reserved; has != opts {
		return fmt.Errorf("%w: %q has %s, in the dump %s",
			lightning.ErrKeyspaceDiffers, k.Name, optionsText(has), optionsText(opts))
	}
	l.keyspace = k
	return l.sink.enter(keyspace)
}

// optionsText shows the options of a keyspace.
func optionsText(o lightning.KeyspaceOptions) string {
	var set []string
	for _, option := range optionColumns(o) {
		set = append(set, fmt.Sprintf("%s %s", option.name, option.text))
	}
	if len(set) == 0 {
		return "no options"
	}
	return strings.Join(set, ", ")
}

// isRefused reports whether a record is one that the database cannot have.
func isRefused(err error) bool {
	for _, refusal := range []error{
		lightning.ErrKeyTooLarge, lightning.ErrValueTooLarge, lightning.ErrTTL, lightning.ErrNoExpiry, lightning.ErrMergeRefused,
	} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// keptText says what stays loaded after a failure.
func (l *importer) keptText() string {
	switch l.loadedRecords {
	case 0:
		return "nothing was loaded"
	case 1:
		return "the 1 record loaded before it is kept"
	}
	return fmt.Sprintf("the %s loaded before it are kept", console.CountOf(l.loadedRecords, "record"))
}

// importResult is what import prints, in the form of its JSON.
type importResult struct {
	Records int64   `json:"records"`
	Bytes   int64   `json:"bytes"` // of keys and values
	Seconds float64 `json:"seconds"`
	Skipped int64   `json:"skipped_lines"`
}

// result tells how it went.
func (l *importer) result(elapsed time.Duration) importResult {
	return importResult{l.loadedRecords, l.loadedBytes, elapsed.Seconds(), l.queue.skipped() + l.refused}
}

func (r importResult) print(w io.Writer) error {
	elapsed := asDuration(r.Seconds)
	text := fmt.Sprintf("loaded %s, %s, in %s (%s)", console.CountOf(r.Records, "record"),
		console.Bytes(r.Bytes), console.Duration(elapsed), console.Rate(r.Records, elapsed))
	if r.Skipped > 0 {
		text += "; skipped " + console.CountOf(r.Skipped, "bad line")
	}
	_, err := fmt.Fprintln(w, console.Fill(text, 2, console.LineWidth(w)))
	return err
}

// chunk holds the records of one batch, copied out of the reader.
type chunk struct {
	data    []byte // all keys and values in turn
	records []placed
}

// placed is a record whose key and value are in the data of a chunk.
type placed struct {
	records.Record // without key and value

	start, keyEnd, valueEnd int
}

func (c *chunk) add(r records.Record) {
	start := len(c.data)
	c.data = append(append(c.data, r.Key...), r.Value...)
	p := placed{r, start, start + len(r.Key), len(c.data)}
	p.Key, p.Value = nil, nil
	c.records = append(c.records, p)
}

func (c *chunk) record(i int) records.Record {
	p := c.records[i]
	p.Key, p.Value = c.data[p.start:p.keyEnd], c.data[p.keyEnd:p.valueEnd]
	return p.Record
}

// A chunk is handed over when it has its number of records or this many
// bytes; the parser runs at most queuedChunks ahead.
const (
	chunkBytes   = 4 << 20
	queuedChunks = 2
)

// chunkQueue hands parsed records to the committer in order. Stopping it hands
// over at once what was parsed, and loses none of it. Safe for concurrent use
// by one parser and one committer.
type chunkQueue struct {
	chunkRecords int

	mu      sync.Mutex
	changed sync.Cond
	current *chunk   // being filled
	ready   []*chunk // full, oldest first
	spare   []*chunk // empty
	bad     int64
	ended   bool // the parser adds no more
	err     error
}

func newChunkQueue(chunkRecords int) *chunkQueue {
	q := &chunkQueue{chunkRecords: chunkRecords, current: &chunk{}}
	q.changed.L = &q.mu
	return q
}

// add takes a record, waiting while the committer is behind. It reports false
// when the queue was stopped.
func (q *chunkQueue) add(r records.Record) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) >= queuedChunks && !q.ended {
		q.changed.Wait()
	}
	if q.ended {
		return false
	}
	q.current.add(r)
	if len(q.current.records) >= q.chunkRecords || len(q.current.data) >= chunkBytes {
		q.handOver()
	}
	return true
}

// handOver moves the current chunk to ready; q.mu is held.
func (q *chunkQueue) handOver() {
	q.ready = append(q.ready, q.current)
	q.current = &chunk{}
	if n := len(q.spare); n > 0 {
		q.current, q.spare = q.spare[n-1], q.spare[:n-1]
	}
	q.changed.Broadcast()
}

// skip counts a malformed record.
func (q *chunkQueue) skip() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bad++
}

// finish says that the input has ended, with an error or without.
func (q *chunkQueue) finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return
	}
	q.ended, q.err = true, err
	if len(q.current.records) > 0 {
		q.handOver()
	}
	q.changed.Broadcast()
}

// stop ends the queue from the committer's side.
func (q *chunkQueue) stop() { q.finish(nil) }

// take waits for a chunk; false after the last.
func (q *chunkQueue) take() (*chunk, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) == 0 && !q.ended {
		q.changed.Wait()
	}
	if len(q.ready) == 0 {
		return nil, false
	}
	first := q.ready[0]
	q.ready = q.ready[1:]
	q.changed.Broadcast()
	return first, true
}

// recycle gives a committed chunk back.
func (q *chunkQueue) recycle(c *chunk) {
	c.data, c.records = c.data[:0], c.records[:0]
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = append(q.spare, c)
}

// failure returns what ended the input.
func (q *chunkQueue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

// skipped returns how many malformed records there were.
func (q *chunkQueue) skipped() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bad
}
