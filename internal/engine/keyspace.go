package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/manifest"
)

// A keyspace is the range of internal keys that begin with its prefix: its
// number, encoded so that prefixes are in the order of the numbers and none is
// the beginning of another. Numbers up to maxShortID take one byte; larger
// ones a byte that tells the length and then the number, big-endian. Keyspace
// 0 always exists. Numbers are never used again, so a handle to a dropped
// keyspace cannot reach a new one.
const maxShortID = 0xef

// AppendPrefix appends the prefix of keyspace id to dst.
func AppendPrefix(dst []byte, id uint64) []byte {
	if id <= maxShortID {
		return append(dst, byte(id))
	}
	n := (bits.Len64(id) + 7) / 8
	dst = append(dst, byte(maxShortID+n))
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], id)
	return append(dst, be[8-n:]...)
}

// splitPrefix returns the number of the keyspace that an internal key belongs
// to, and the length of its prefix. It is total: a malformed key belongs to a
// keyspace that does not exist.
func splitPrefix(key []byte) (id uint64, prefixBytes int) {
	if len(key) == 0 {
		return 0, 0
	}
	if key[0] <= maxShortID {
		return uint64(key[0]), 1
	}
	n := min(int(key[0]-maxShortID), len(key)-1, 8)
	for _, b := range key[1 : 1+n] {
		id = id<<8 | uint64(b)
	}
	return id, 1 + n
}

// PrefixEnd returns the smallest key above all that begin with prefix, or nil
// when there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// The errors of keyspaces.
var (
	ErrKeyspaceNotFound = errors.New("keyspace does not exist")
	ErrKeyspaceDropped  = errors.New("keyspace was dropped")
	ErrKeyspaceDiffers  = errors.New("keyspace exists with other options")
)

// keyspaceSet is the registry of named keyspaces; DB.mu guards it.
type keyspaceSet struct {
	byName map[string]*KeyspaceInfo
	byID   map[uint64]*KeyspaceInfo
	former map[uint64]manifest.FormerKeyspace // that the history may mention
}

// KeyspaceInfo describes a keyspace. All but the mark that it was dropped is
// immutable.
type KeyspaceInfo struct {
	ID   uint64
	Name string
	KeyspaceSettings

	dropped atomic.Bool
}

// KeyspaceSettings are what a keyspace was made with.
type KeyspaceSettings struct {
	Compression uint8 // as manifest.Keyspace has it
	// TTL is how long values live where the write does not say; 0: for ever.
	TTL   time.Duration
	Merge string // the name of the merge operator; empty: none
}

// agree reports whether a keyspace with settings s can be used by one who asks
// for o: what is zero there is not asked for.
func (s KeyspaceSettings) agree(o KeyspaceSettings) bool {
	return (o.Compression == 0 || o.Compression == s.Compression) &&
		(o.TTL == 0 || o.TTL == s.TTL) && (o.Merge == "" || o.Merge == s.Merge)
}

// Dropped reports whether the keyspace is gone.
func (k *KeyspaceInfo) Dropped() bool { return k.dropped.Load() }

func newKeyspaceSet(list []manifest.Keyspace, former []manifest.FormerKeyspace) keyspaceSet {
	s := keyspaceSet{
		byName: map[string]*KeyspaceInfo{}, byID: map[uint64]*KeyspaceInfo{},
		former: map[uint64]manifest.FormerKeyspace{},
	}
	for _, k := range former {
		s.former[k.ID] = k
	}
	for _, k := range list {
		s.add(k)
	}
	return s
}

func (s *keyspaceSet) add(k manifest.Keyspace) *KeyspaceInfo {
	info := &KeyspaceInfo{
		ID: k.ID, Name: k.Name,
		KeyspaceSettings: KeyspaceSettings{k.Compression, time.Duration(k.TTLNS), k.Merge},
	}
	s.byName[k.Name], s.byID[k.ID] = info, info
	return info
}

func (s *keyspaceSet) drop(k *KeyspaceInfo, former manifest.FormerKeyspace) {
	delete(s.byName, k.Name)
	delete(s.byID, k.ID)
	s.former[k.ID] = former
}

func (s *keyspaceSet) forget(former []uint64) {
	for _, id := range former {
		delete(s.former, id)
	}
}

// nameOf returns the name of a keyspace that exists, or once did; the default
// one has none.
func (s *keyspaceSet) nameOf(id uint64) (string, bool) {
	if k := s.byID[id]; k != nil {
		return k.Name, true
	}
	k, ok := s.former[id]
	return k.Name, ok || id == 0
}

// formerToForget returns the dropped keyspaces that no record of the history
// belongs to. The caller holds db.mu.
func (db *DB) formerToForget() (ids []uint64) {
	if len(db.fields.keyspaces.former) == 0 {
		return nil
	}
	oldest := db.history.oldest()
	for id, k := range db.fields.keyspaces.former {
		if k.LastSeq < oldest {
			ids = append(ids, id)
		}
	}
	return ids
}

// Keyspace returns the keyspace called name, making it if it does not exist.
// With an existing one, the settings that are not zero must agree.
func (db *DB) Keyspace(name string, settings KeyspaceSettings) (*KeyspaceInfo, error) {
	if info := db.lookKeyspace(name); info != nil {
		if !info.agree(settings) {
			return nil, fmt.Errorf("%w: %q", ErrKeyspaceDiffers, name)
		}
		return info, nil
	}
	if settings.Merge != "" && db.opts.Operators[settings.Merge] == nil {
		return nil, &UnknownOperatorError{Operator: settings.Merge, Keyspace: name}
	}
	if err := db.writable(); err != nil {
		return nil, err
	}
	var info *KeyspaceInfo
	err := db.alone(func() error {
		if info = db.lookKeyspace(name); info != nil {
			if !info.agree(settings) { // someone else was first
				return fmt.Errorf("%w: %q", ErrKeyspaceDiffers, name)
			}
			return nil
		}
		if err := db.writable(); err != nil { // Close may have been first
			return err
		}
		k := manifest.Keyspace{
			ID: db.manifest.State().NextKeyspaceID, Name: name,
			Compression: settings.Compression, TTLNS: uint64(settings.TTL), Merge: settings.Merge,
		}
		return db.edit(&manifest.Edit{AddKeyspaces: []manifest.Keyspace{k}}, func(*manifest.Version) {
			db.addOperator(k)
			info = db.fields.keyspaces.add(k)
		})
	})
	return info, err
}

func (db *DB) lookKeyspace(name string) *KeyspaceInfo {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.fields.keyspaces.byName[name]
}

// Keyspaces returns the named keyspaces, in no order.
func (db *DB) Keyspaces() []*KeyspaceInfo {
	db.mu.Lock()
	defer db.mu.Unlock()
	var out []*KeyspaceInfo
	for _, k := range db.fields.keyspaces.byID {
		out = append(out, k)
	}
	return out
}

// DropKeyspace removes a keyspace and all its keys. Iterators and snapshots
// that exist keep what they see. The keys are hidden by one range tombstone
// first, which commits in order with other writes; the name goes after that,
// so that a crash between the two leaves an empty keyspace. With the tombstone
// goes the deletion of the empty key, which no other write has: it tells feeds
// that this is a drop.
func (db *DB) DropKeyspace(name string) error {
	info := db.lookKeyspace(name)
	if info == nil {
		return fmt.Errorf("%w: %q", ErrKeyspaceNotFound, name)
	}
	// Commits look at the mark, so none comes after the tombstone.
	err := db.alone(func() error {
		if err := db.writable(); err != nil {
			return err
		}
		if info.dropped.Swap(true) {
			return fmt.Errorf("%w: %q", ErrKeyspaceNotFound, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	prefix := AppendPrefix(nil, info.ID)
	var last Batch
	err = errors.Join(last.DeleteRange(prefix, PrefixEnd(prefix)), last.Delete(prefix, nil))
	if err == nil {
		err = db.Commit(&last, Sync)
	}
	if err != nil {
		info.dropped.Store(false)
		return err
	}
	err = db.alone(func() error {
		if err := db.writable(); err != nil {
			return err
		}
		former := manifest.FormerKeyspace{ID: info.ID, Name: info.Name, LastSeq: db.pipeline.lastSeq}
		return db.edit(&manifest.Edit{
			DropKeyspaces: []uint64{info.ID}, AddFormer: []manifest.FormerKeyspace{former},
		}, func(*manifest.Version) { db.fields.keyspaces.drop(info, former) })
	})
	if err != nil {
		info.dropped.Store(false) // it is still there, and empty
	}
	return err
}

// codecOf returns the codec policy of the keyspace that an internal key
// belongs to.
func (db *DB) codecOf(key []byte) CodecPolicy {
	id, _ := splitPrefix(key)
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.policyOf(db.fields.keyspaces.byID[id])
}

// policyOf returns the codec policy of a keyspace; nil is the default one.
func (db *DB) policyOf(k *KeyspaceInfo) CodecPolicy {
	if k != nil && k.Compression != 0 {
		return db.opts.CodecFor(k.Compression)
	}
	return db.opts.Codec
}

// borderMinBytes is how much a table must hold before a keyspace border alone
// ends it. A database with a thousand small keyspaces would otherwise write a
// thousand files at every flush.
const borderMinBytes = 1 << 20

// borderFunc returns the rule for ending a table between two keys: where the
// codec changes, and at keyspace borders in tables of some size, so that
// dropping a keyspace can drop whole files.
func (db *DB) borderFunc(out compactionOutput) func(prev, next []byte, fileBytes int64) bool {
	return func(prev, next []byte, fileBytes int64) bool {
		prevID, _ := splitPrefix(prev)
		nextID, _ := splitPrefix(next)
		if prevID == nextID {
			return false
		}
		if out.level > 0 && fileBytes >= borderMinBytes {
			return true
		}
		return db.codecOf(prev)(out.level, out.bottom) != db.codecOf(next)(out.level, out.bottom)
	}
}
