package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
)

// This file has the form of the archived log. It is cut into parts, each an object that is written
// once and as a whole:
//
//	log/DATABASE/HISTORY/FIRST-LAST-TIME.log      commits, one behind the other
//	log/DATABASE/HISTORY/FIRST-LAST-TIME.chunks   one large commit, whose content is in chunks
//	log/DATABASE/HISTORY/seen                     how far the log was known to go, and when
//
// FIRST and LAST are sequence numbers and TIME is that of the last commit, in milliseconds since
// 1970, all in hexadecimal digits. So which parts follow one another, and which a restore
// needs, is known from their names. The content of a part is a head, as JSON behind its
// length (4 bytes), and then, each behind its time (8 bytes, nanoseconds since 1970) and its length (4 bytes), the
// batches of the commits as they were in the log. All numbers are little endian.
//
// A part of one kind refers to nothing, so that it can be stored without a lease. Chunks
// are those of backups, and a large transaction shares its own with the backups after it.

const (
	logPrefix    = "log/"
	partSuffix   = ".log"
	chunksSuffix = ".chunks"
	seenName     = "seen"

	kindPart = 'l'
	kindSeen = 's'

	// partBytes is about how much log is in a part at most.
	partBytes = 3 << 20
	// batchName is what the batch of a large commit is called among the files of its part.
	batchName = "batch"
	// commitBytes is what a commit takes in a part, without its batch.
	commitBytes = 12
)

// partHead says what a part is, and what comes before it.
type partHead struct {
	Database string `json:"database"`
	History  string `json:"history"`
	// Continues says that the part goes on where another one ends. Otherwise the log begins
	// here, or begins anew behind a hole.
	Continues bool      `json:"continues"`
	First     uint64    `json:"first"`
	Last      uint64    `json:"last"`
	Time      time.Time `json:"time"` // of the last commit
	// Files are what a large commit consists of: its batch, or tables, which Ingest describes as the
	// manifest does.
	ChunkBytes int64  `json:"chunk_bytes,omitempty"`
	Files      []file `json:"files,omitempty"`
	Ingest     []byte `json:"ingest,omitempty"`
}

// part is what the name of one says.
type part struct {
	name        string
	first, last uint64
	time        time.Time // of the last commit, in milliseconds
	isLarge     bool
	sizeBytes   int64
}

// logDir is what the names of the parts of one history begin with.
func logDir(database, history string) string {
	if history == "" {
		history = base.DBID{}.String()
	}
	return logPrefix + database + "/" + history + "/"
}

// historyName is how a history is written; that of a database which is no copy is empty.
func historyName(h base.DBID) string {
	if h == (base.DBID{}) {
		return ""
	}
	return h.String()
}

func (h *partHead) name() string {
	suffix := partSuffix
	if len(h.Files) > 0 {
		suffix = chunksSuffix
	}
	return fmt.Sprintf("%s%016x-%016x-%016x%s", logDir(h.Database, h.History), h.First, h.Last, h.Time.UnixMilli(), suffix)
}

// parsePart returns what the name of an object says, if it is that of a part.
func parsePart(o Object) (p part, dir string, ok bool) {
	slash := strings.LastIndexByte(o.Name, '/')
	dir, last := o.Name[:slash+1], o.Name[slash+1:]
	p = part{name: o.Name, sizeBytes: o.SizeBytes, isLarge: strings.HasSuffix(last, chunksSuffix)}
	numbers := strings.TrimSuffix(strings.TrimSuffix(last, chunksSuffix), partSuffix)
	var b [26]byte
	if len(numbers) != 50 || numbers[16] != '-' || numbers[33] != '-' {
		return p, dir, false
	}
	n, err := hex.Decode(b[:], []byte(numbers[:16]+numbers[17:33]+numbers[34:]))
	if err != nil || n != 24 {
		return p, dir, false
	}
	p.first, p.last = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	p.time = time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:]))).UTC()
	return p, dir, p.first > 0 && p.first <= p.last && p.last <= uint64(base.SeqNumMax)
}

// encodePart returns the object of a part.
func encodePart(with *codec, h *partHead, commits []byte) ([]byte, error) {
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	content := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(head)+len(commits)), uint32(len(head)))
	content = append(append(content, head...), commits...)
	if len(content) > manifestBytesMax {
		return nil, fmt.Errorf("a part of the log would have %d bytes, at most %d are possible", len(content), manifestBytesMax)
	}
	return with.encode(nil, kindPart, content, sha256.Sum256(content)), nil
}

// appendCommit adds a commit to the content of a part.
func appendCommit(dst []byte, at time.Time, batch []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at.UnixNano()))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(batch)))
	return append(dst, batch...)
}

// logPart is a part that was read, and can be trusted as far as it goes without chunks.
type logPart struct {
	partHead
	commits []byte
	ingest  *manifest.IngestCommit // nil where it is a batch
}

// loadPart returns a part.
func loadPart(ctx context.Context, t Target, with *codec, p part) (*logPart, error) {
	maxBytes := int64(chunkBytes)
	if p.isLarge {
		maxBytes = manifestBytesMax
	}
	data, err := fetch(ctx, t, p.name, headerBytes+maxBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, damaged(p.name, errors.New("it is missing"))
	case err != nil:
		return nil, err
	}
	return decodePart(with, p.name, data, maxBytes)
}

// decodePart returns what an object says, which may be anything.
func decodePart(with *codec, name string, data []byte, maxBytes int64) (*logPart, error) {
	content, _, err := with.decode(nil, name, kindPart, data, maxBytes)
	if err != nil {
		return nil, err
	}
	p := new(logPart)
	if err := p.decode(content); err != nil {
		return nil, damaged(name, err)
	}
	if p.name() != name {
		return nil, damaged(name, fmt.Errorf("it is %s", p.name()))
	}
	return p, nil
}

var errPartShort = errors.New("it ends too early")

func (p *logPart) decode(content []byte) error {
	if len(content) < 4 {
		return errPartShort
	}
	length := int64(binary.LittleEndian.Uint32(content))
	if content = content[4:]; length > int64(len(content)) {
		return errPartShort
	}
	if err := json.Unmarshal(content[:length], &p.partHead); err != nil {
		return err
	}
	if p.First == 0 || p.First > p.Last || p.Last > uint64(base.SeqNumMax) {
		return fmt.Errorf("it has writes %d to %d", p.First, p.Last)
	}
	p.commits = content[length:]
	if len(p.Files) > 0 {
		return p.checkFiles()
	}
	next := p.First
	err := p.each(func(first, last uint64, _ time.Time, _ []byte) error {
		next = last + 1
		return nil
	})
	if err == nil && next != p.Last+1 {
		err = fmt.Errorf("its commits end with %d, not %d", next-1, p.Last)
	}
	return err
}

// checkFiles makes sure that the files of a large commit are those that it needs.
func (p *logPart) checkFiles() error {
	if p.ChunkBytes <= 0 || p.ChunkBytes > chunkBytes || len(p.commits) > 0 {
		return fmt.Errorf("its chunks have %d bytes", p.ChunkBytes)
	}
	for _, f := range p.Files {
		if f.SizeBytes < 0 || int64(len(f.Chunks)) != chunks(f.SizeBytes, p.ChunkBytes) {
			return fmt.Errorf("%s has %d chunks for %d bytes", f.Name, len(f.Chunks), f.SizeBytes)
		}
	}
	if len(p.Ingest) == 0 {
		if len(p.Files) != 1 || p.Files[0].Name != batchName || p.Files[0].SizeBytes > base.MaxBatchBytes {
			return errors.New("it is not one batch")
		}
		return nil
	}
	c, err := manifest.DecodeIngest(p.Ingest)
	if err != nil {
		return err
	}
	if uint64(c.First) != p.First || uint64(c.Last) != p.Last {
		return fmt.Errorf("it is commit %d to %d", c.First, c.Last)
	}
	tables := tablesOf(&c)
	same := len(tables) == len(p.Files)
	for i := 0; same && i < len(tables); i++ {
		same = p.Files[i].Name == store.TableName(tables[i].Num) && uint64(p.Files[i].SizeBytes) == tables[i].SizeBytes
	}
	if !same {
		return errors.New("its files are not those of its tables")
	}
	p.ingest = &c
	return nil
}

// tablesOf returns the tables of a commit past the log, and the blob tables in which these have values,
// by number.
func tablesOf(c *manifest.IngestCommit) []*manifest.FileMeta {
	s := manifest.State{Pending: []manifest.IngestCommit{*c}}
	return s.PendingTables()
}

// each calls fn with the commits that are in the part itself. The batch is valid during the call.
func (p *logPart) each(fn func(first, last uint64, at time.Time, batch []byte) error) error {
	next := p.First
	for rest := p.commits; len(rest) > 0; {
		if len(rest) < commitBytes {
			return errPartShort
		}
		at := time.Unix(0, int64(binary.LittleEndian.Uint64(rest))).UTC()
		length := int64(binary.LittleEndian.Uint32(rest[8:]))
		if rest = rest[commitBytes:]; length > int64(len(rest)) {
			return errPartShort
		}
		last, err := lastOf(next, rest[:length])
		if err == nil {
			err = fn(next, last, at, rest[:length])
		}
		if err != nil {
			return err
		}
		next, rest = last+1, rest[length:]
	}
	return nil
}

// lastOf returns the number of the last record of a batch, which says how many it has.
func lastOf(first uint64, batch []byte) (uint64, error) {
	if len(batch) < 4 {
		return 0, errPartShort
	}
	n := binary.LittleEndian.Uint32(batch)
	if n == 0 || first == 0 || first > uint64(base.SeqNumMax)-uint64(n)+1 {
		return 0, fmt.Errorf("%d writes from number %d on", n, first)
	}
	return first + uint64(n) - 1, nil
}

// batch returns the batch of a large commit.
func (p *logPart) batch(ctx context.Context, t Target, with *codec) ([]byte, error) {
	f := &p.Files[0]
	all := make([]byte, 0, f.SizeBytes)
	var buffer []byte
	err := f.each(p.ChunkBytes, func(i int, _, length int64) (err error) {
		if buffer, err = with.getChunk(ctx, t, buffer, f.Chunks[i], length); err == nil {
			all = append(all, buffer...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	last, err := lastOf(p.First, all)
	if err == nil && last != p.Last {
		err = fmt.Errorf("its batch ends with %d, not %d", last, p.Last)
	}
	if err != nil {
		return nil, damaged(p.name(), err)
	}
	return all, nil
}

// seen is how far the log was known to go, and when.
type seen struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
}

// putSeen notes how far the log goes. It may be replaced.
func putSeen(ctx context.Context, t Target, with *codec, dir string, s seen) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = t.Put(ctx, dir+seenName, with.encode(nil, kindSeen, text, sha256.Sum256(text)))
	}
	if err != nil {
		return fmt.Errorf("note how far the log goes: %w", err)
	}
	return nil
}

// getSeen returns what was noted last; zeroes where nothing was.
func getSeen(ctx context.Context, t Target, with *codec, dir string) (s seen, err error) {
	data, err := fetch(ctx, t, dir+seenName, leaseBytesMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return s, err
	}
	text, _, err := with.decode(nil, dir+seenName, kindSeen, data, leaseBytesMax)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, damaged(dir+seenName, err)
	}
	return s, nil
}
