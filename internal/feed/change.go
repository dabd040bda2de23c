package feed

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
)

// ChangeKind says what a change does.
type ChangeKind uint8

// The kinds of changes.
const (
	ChangeSet ChangeKind = iota + 1
	ChangeDelete
	ChangeDeleteRange
	ChangeDropKeyspace
	ChangeMerge
	ChangeKeyspace // makes a keyspace, or gives it other settings
)

// Change is one operation of a commit. Its slices are those of the commit.
type Change struct {
	Kind     ChangeKind
	Keyspace string            // empty for the default one
	Key      []byte            // without the keyspace's prefix; of a range its start, nil: none
	End      []byte            // of a range; nil: none
	Value    []byte            // or the operand of a merge
	Expiry   base.Instant      // of a set; 0: never
	Settings keyspace.Settings // of a ChangeKeyspace
}

// Commit is what one batch, single write or transaction wrote.
type Commit struct {
	First, Last base.SeqNum
	batch       []byte  // checked
	tables      *tables // nil where all is in the batch
	names       map[uint64]string
}

// Len returns the number of operations. Each has a sequence number, but for those of
// a commit past the log.
func (c *Commit) Len() int {
	if c.tables != nil {
		return c.tables.operations
	}
	return int(c.Last - c.First + 1)
}

// Err returns what has ended the last walk over Changes too early: nothing does but a
// file that cannot be read any more.
func (c *Commit) Err() error {
	if c.tables != nil {
		return c.tables.err
	}
	return nil
}

// ChangesOf are the operations of an encoded batch, in order. name tells what a
// keyspace is called.
func ChangesOf(encoded []byte, name func(id uint64) (string, bool)) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		c := Commit{batch: encoded, names: map[uint64]string{}}
		r := batch.NewReader(encoded)
		for {
			if ok, err := r.Next(); !ok || err != nil {
				return
			}
			id, _ := keyspace.SplitPrefix(r.Key)
			c.names[id], _ = name(id)
			if change, err := c.change(r.Kind, r.Key, r.Value); err != nil || !yield(change) {
				return
			}
		}
	}
}

// Changes are the operations in order.
func (c *Commit) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		if c.tables != nil {
			c.tables.changes(c, yield)
			return
		}
		r := batch.NewReader(c.batch)
		for {
			if ok, err := r.Next(); !ok || err != nil {
				return
			}
			if change, err := c.change(r.Kind, r.Key, r.Value); err != nil || !yield(change) {
				return
			}
		}
	}
}

// change translates a record.
func (c *Commit) change(kind base.Kind, internal, value []byte) (Change, error) {
	if kind == base.KindKeyspace {
		return c.act(internal, value)
	}
	id, n := keyspace.SplitPrefix(internal)
	name, ok := c.names[id]
	if !ok {
		return Change{}, fmt.Errorf("keyspace %d is not known", id)
	}
	key := internal[n:]
	stored, err := base.Decode(base.MakeTrailer(0, kind), value)
	if err != nil {
		return Change{}, err
	}
	switch kind {
	case base.KindSet, base.KindSetExpiring:
		return Change{Kind: ChangeSet, Keyspace: name, Key: key, Value: stored.Value, Expiry: stored.Expiry}, nil
	case base.KindMerge:
		return Change{Kind: ChangeMerge, Keyspace: name, Key: key, Value: stored.Value}, nil
	case base.KindDelete:
		return Change{Kind: ChangeDelete, Keyspace: name, Key: key}, nil
	case base.KindRangeDelete:
		end, ok := rangeEnd(internal[:n], value)
		if !ok {
			return Change{}, errors.New("range delete leaves its keyspace")
		}
		change := Change{Kind: ChangeDeleteRange, Keyspace: name, End: end}
		if len(key) > 0 {
			change.Key = key
		}
		return change, nil
	}
	return Change{}, fmt.Errorf("%v of a key of %d bytes is not known", kind, len(key))
}

// act translates an act on a keyspace.
func (c *Commit) act(key, value []byte) (Change, error) {
	a, err := keyspace.DecodeAct(key, value)
	if err != nil {
		return Change{}, err
	}
	if a.Keyspace == nil {
		name, ok := c.names[a.ID]
		if !ok {
			return Change{}, fmt.Errorf("keyspace %d is not known", a.ID)
		}
		return Change{Kind: ChangeDropKeyspace, Keyspace: name}, nil
	}
	k := a.Keyspace
	return Change{Kind: ChangeKeyspace, Keyspace: k.Name, Settings: keyspace.Settings{
		Compression: k.Compression, TTL: time.Duration(k.TTLNS), Merge: k.Merge, BlobBytes: k.BlobBytes,
	}}, nil
}

// rangeEnd takes the prefix of its keyspace off the upper bound of a range; nil
// is the end of the keyspace.
func rangeEnd(prefix, end []byte) ([]byte, bool) {
	if key, ok := bytes.CutPrefix(end, prefix); ok {
		return key, len(key) > 0
	}
	return nil, bytes.Equal(end, keyspace.PrefixEnd(prefix))
}

// split makes the next commit of the group the current one. Everything that
// Changes does is tried here, so that it cannot fail.
func (f *Feed) split() error {
	c := &f.commit
	*c = Commit{First: f.first, names: f.names}
	r := batch.NewReader(f.rest)
	last := f.first
	for {
		ok, err := r.Next()
		if err == nil && !ok {
			err = batch.ErrEncoding
		}
		if err == nil {
			f.learnName(r.Key)
			_, err = c.change(r.Kind, r.Key, r.Value)
		}
		ends := r.Left() == 0 && len(r.Rest()) == 0
		if err == nil && (last > f.group.Last || ends && last < f.group.Last) {
			err = fmt.Errorf("%w: the records are not as many as the group says", batch.ErrEncoding)
		}
		if err != nil {
			return &base.CorruptionError{
				File: f.cur.Name(), Offset: f.group.Offset, Kind: "batch", Err: err,
			}
		}
		if r.Left() == 0 {
			break
		}
		last++
	}
	c.Last = last
	c.batch = f.rest[:len(f.rest)-len(r.Rest())]
	f.rest, f.first = r.Rest(), last+1
	return nil
}

// learnName asks for the name of the keyspace of a key, once.
func (f *Feed) learnName(key []byte) {
	id, _ := keyspace.SplitPrefix(key)
	if _, ok := f.names[id]; ok {
		return
	}
	if name, ok := f.archive.cfg.Keyspaces.Name(id); ok {
		f.names[id] = name
	}
}
