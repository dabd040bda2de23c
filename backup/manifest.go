package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lightningdb/lightning/internal/checkpoint"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/uuid"
)

// Info describes a backup.
type Info struct {
	// ID is its name at the target. It begins with the time.
	ID string `json:"id"`
	// Time is when it was begun, by the clock of the machine.
	Time time.Time `json:"time"`
	// Database is the identity of the database, in hexadecimal digits. A restored one keeps it.
	Database string `json:"database"`
	// History tells apart copies of the database that go their own ways under one identity, as restored ones and
	// checkpoints do, and in which the same sequence number means different writes. That of a database that is
	// no copy is empty.
	History string `json:"history,omitempty"`
	// Seq is the sequence number of the newest write in it.
	Seq       uint64 `json:"seq"`
	Files     int    `json:"-"`
	SizeBytes int64  `json:"size_bytes"` // of all files
	// NewBytes is what of them was not at the target yet, and StoredBytes what that has taken
	// there, compressed.
	NewBytes    int64 `json:"new_bytes"`
	StoredBytes int64 `json:"stored_bytes"`
}

// contents is what a backup consists of, as it is stored.
type contents struct {
	Info
	ChunkBytes int64  `json:"chunk_bytes"`
	List       []file `json:"files"`
}

// file is a file of a database.
type file struct {
	Name      string `json:"name"`
	SizeBytes int64  `json:"size_bytes"`
	// ModNS is when it was last written to, in nanoseconds since 1970. A file of that name, size and time
	// in the same database is the same file, and need not be read for the next backup.
	ModNS  int64 `json:"mod_ns"`
	Chunks []sum `json:"chunks"`
}

var ids uuid.Generator

// newID returns a name that nobody else makes.
func newID() string { return ids.New().String() }

// timeFormat is how an ID begins, so that it sorts by time and is a name everywhere.
const timeFormat = "20060102T150405.000Z"

// newInfo begins a backup.
func newInfo(c clock.Clock) Info {
	now := c.Now().UTC()
	random := newID()
	return Info{ID: now.Format(timeFormat) + "-" + random[len(random)-8:], Time: now}
}

// checkID makes sure that an ID is a name.
func checkID(id string) error {
	ok := id != "" && len(id) <= 100 && !strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '-')
	})
	if !ok || strings.HasPrefix(id, ".") {
		return fmt.Errorf("%w: %q is no ID of a backup", ErrNotFound, id)
	}
	return nil
}

// encode returns the object of a backup.
func (c *contents) encode(with *codec) ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if len(text) > manifestBytesMax {
		return nil, fmt.Errorf("the manifest of the backup would have %d bytes, at most %d are possible", len(text), manifestBytesMax)
	}
	return with.encode(nil, kindManifest, text, sha256.Sum256(text)), nil
}

// decodeContents returns what an object says, which may be anything.
func decodeContents(with *codec, id string, data []byte) (*contents, error) {
	name := backupPrefix + id
	text, _, err := with.decode(nil, name, kindManifest, data, manifestBytesMax)
	if err != nil {
		return nil, err
	}
	var c contents
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, damaged(name, err)
	}
	if err := c.check(id); err != nil {
		return nil, damaged(name, err)
	}
	c.Files = len(c.List)
	return &c, nil
}

// check makes sure that a backup can be trusted as far as it goes without its chunks.
func (c *contents) check(id string) error {
	if c.ID != id {
		return fmt.Errorf("it is that of %q", c.ID)
	}
	if c.ChunkBytes <= 0 || c.ChunkBytes > chunkBytes {
		return fmt.Errorf("its chunks have %d bytes", c.ChunkBytes)
	}
	seen := map[string]bool{}
	var total int64
	for i := range c.List {
		f := &c.List[i]
		if !isFile(f.Name) || seen[f.Name] {
			return fmt.Errorf("%q is no name of a file of a database, or there twice", f.Name)
		}
		seen[f.Name] = true
		if f.SizeBytes < 0 || f.SizeBytes > math.MaxInt64-total || int64(len(f.Chunks)) != chunks(f.SizeBytes, c.ChunkBytes) {
			return fmt.Errorf("%s has %d chunks for %d bytes", f.Name, len(f.Chunks), f.SizeBytes)
		}
		total += f.SizeBytes
	}
	if !seen[manifest.CurrentName] || total != c.SizeBytes {
		return errors.New("it is incomplete")
	}
	return nil
}

// isFile reports whether a backup has files of such a name: those of a database that matter.
func isFile(name string) bool {
	return checkpoint.IsFile(name) && (name == manifest.CurrentName || !strings.HasPrefix(name, manifest.CurrentName))
}

// chunks is how many there are of a file.
func chunks(sizeBytes, chunkBytes int64) int64 {
	return sizeBytes/chunkBytes + min(1, sizeBytes%chunkBytes)
}

// each calls fn with each chunk of a file, which is at an offset and has a length.
func (f *file) each(chunkBytes int64, fn func(i int, offset, length int64) error) error {
	for i := range f.Chunks {
		offset := int64(i) * chunkBytes
		if err := fn(i, offset, min(chunkBytes, f.SizeBytes-offset)); err != nil {
			return err
		}
	}
	return nil
}

// load returns the backup of an ID.
func load(ctx context.Context, t Target, with *codec, id string) (*contents, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	data, err := fetch(ctx, t, backupPrefix+id, headerBytes+manifestBytesMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	case err != nil:
		return nil, err
	}
	return decodeContents(with, id, data)
}

// listIDs returns the IDs of all backups, the oldest first.
func listIDs(ctx context.Context, t Target) (found []string, err error) {
	for o, err := range t.List(ctx, backupPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list the backups: %w", err)
		}
		id := strings.TrimPrefix(o.Name, backupPrefix)
		if checkID(id) == nil {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	return found, nil
}

// List returns the backups of a target, the oldest first. Where some are damaged, they are left
// out, and the error, which matches lightning.ErrCorrupted, says so of each.
func List(ctx context.Context, t Target) ([]Info, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	with, err := newCodec(1)
	if err != nil {
		return nil, err
	}
	defer with.close()
	if err := checkFormat(ctx, t, false); err != nil {
		return nil, err
	}
	all, damage, err := loadAll(ctx, t, with)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(all))
	for i, c := range all {
		infos[i] = c.Info
	}
	return infos, damage
}

// loadAll returns all backups, the oldest first, and what is wrong with those that are damaged.
func loadAll(ctx context.Context, t Target, with *codec) (all []*contents, damage, err error) {
	found, err := listIDs(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range found {
		c, err := load(ctx, t, with, id)
		switch {
		case err == nil:
			all = append(all, c)
		case errors.Is(err, ErrNotFound): // somebody has just deleted it
		case isDamage(err):
			damage = errors.Join(damage, err)
		default:
			return nil, nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b *contents) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	return all, damage, nil
}
