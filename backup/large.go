package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/store"
	"github.com/lightningdb/lightning/internal/wal"
)

// This file archives commits that are too large for a part of their own: batches of megabytes, and
// transactions that were committed past the log, whose tables are stored as they are. Their content goes to
// chunks first, under a lease, because nothing refers to these yet; the part that names them is
// stored last.

// largeFile is a file of a large commit, and what it is read from.
type largeFile struct {
	file
	from io.ReaderAt
}

// large stores a commit as a part of its own.
func (a *archiver) large(c *feed.Commit, end wal.Position) (err error) {
	files, done, err := a.filesOf(c)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) { // the archive of the database has just given it up
			return &feed.GapError{From: uint64(c.First), Oldest: uint64(c.Last) + 1, Err: err}
		}
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	a.stamp(c, end)
	a.since = a.head.Time
	return a.persist(func() error { return a.putLarge(files) })
}

// filesOf opens what a commit consists of.
func (a *archiver) filesOf(c *feed.Commit) (files []largeFile, done func() error, err error) {
	var open []io.Closer
	done = func() error {
		var err error
		for _, f := range open {
			err = errors.Join(err, f.Close())
		}
		return err
	}
	ingest, ok := c.Ingest()
	if !ok {
		batch := file{Name: batchName, SizeBytes: int64(len(c.Batch()))}
		return []largeFile{{batch, bytes.NewReader(c.Batch())}}, done, nil
	}
	for _, meta := range tablesOf(&ingest) {
		f, err := a.log.OpenTable(meta.Num)
		if err != nil {
			return nil, nil, errors.Join(err, done())
		}
		open = append(open, f)
		files = append(files, largeFile{file{Name: store.TableName(meta.Num), SizeBytes: int64(meta.SizeBytes)}, f})
	}
	a.head.Ingest = manifest.EncodeIngest(&ingest)
	return files, done, nil
}

// putLarge stores the chunks of a commit that are not at the target, and the part.
func (a *archiver) putLarge(files []largeFile) (err error) {
	held, ctx, err := acquire(a.ctx, a.target, a.clock, toWrite)
	if err != nil {
		return err
	}
	defer func() {
		if releaseErr := held.release(ctx); err != nil { // else the part is there, and the lease runs out
			err = errors.Join(err, releaseErr)
		}
	}()
	have, err := soundChunks(ctx, a.target)
	if err != nil {
		return err
	}
	a.head.Files, a.head.ChunkBytes = nil, chunkBytes
	for i := range files {
		f := &files[i]
		f.Chunks = make([]sum, chunks(f.SizeBytes, chunkBytes))
		if err := a.putFile(ctx, f, have); err != nil {
			return fmt.Errorf("store %s: %w", f.Name, err)
		}
		a.head.Files = append(a.head.Files, f.file)
	}
	object, err := encodePart(a.with, &a.head, nil)
	if err != nil {
		return err
	}
	if err := held.held(ctx); err != nil {
		return err
	}
	return a.put(object)
}

func (a *archiver) putFile(ctx context.Context, f *largeFile, have map[sum]bool) error {
	var content, object []byte
	return f.each(chunkBytes, func(i int, offset, length int64) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if content == nil {
			content = make([]byte, length)
		}
		content = content[:length]
		if n, err := f.from.ReadAt(content, offset); n < len(content) {
			return fmt.Errorf("at %d: %w", offset, err)
		}
		s := sum(sha256.Sum256(content))
		if f.Chunks[i] = s; have[s] {
			return nil
		}
		object = a.with.encode(object, kindChunk, content, s)
		if err := a.target.Put(ctx, chunkName(s), object); err != nil {
			return err
		}
		have[s] = true
		a.status.StoredBytes += int64(len(object))
		return nil
	})
}
