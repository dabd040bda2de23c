package keyspace

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/compress"
	"github.com/lightningdb/lightning/internal/manifest"
	"github.com/lightningdb/lightning/internal/merge"
)

// CodecPolicy chooses the codec of a table by its level; bottom says whether it
// is the bottom one.
type CodecPolicy func(level int, bottom bool) compress.Codec

// Config says what keyspaces may ask for.
type Config struct {
	// Codec is the policy of keyspaces without a setting of their own.
	Codec CodecPolicy
	// CodecFor decodes a keyspace's own setting, which is not 0.
	CodecFor func(setting uint8) CodecPolicy
	// Operators are the merge operators that keyspaces may have.
	Operators merge.Registry
}

// Registry knows the keyspaces of a database by name and number, and those that
// were dropped but that changes may still mention. It follows the manifest:
// what is added or dropped here is there already.
//
// All methods are safe for concurrent use. Its lock is never held during I/O,
// and no other is taken under it.
type Registry struct {
	cfg Config

	mu      sync.Mutex
	byName  map[string]*Info
	byID    map[uint64]*Info
	dropped map[uint64]manifest.DroppedKeyspace

	// operators has those of all keyspaces, also of dropped ones: their records
	// go later. It is apart from the others because readers ask it.
	merging   atomic.Bool // whether there are any
	operators sync.Map    // uint64 -> *merge.Operator
}

// NewRegistry returns an empty registry.
func NewRegistry(cfg Config) *Registry {
	return &Registry{
		cfg:     cfg,
		byName:  map[string]*Info{},
		byID:    map[uint64]*Info{},
		dropped: map[uint64]manifest.DroppedKeyspace{},
	}
}

// Load takes up the keyspaces of a manifest. It reports every one whose merge
// operator is not known.
func (r *Registry) Load(list []manifest.Keyspace, dropped []manifest.DroppedKeyspace) error {
	for _, k := range dropped {
		r.dropped[k.ID] = k
	}
	var missing []error
	for _, k := range list {
		if err := r.CheckOperator(k.Name, k.Merge); err != nil {
			missing = append(missing, err)
			continue
		}
		r.Add(k)
	}
	return errors.Join(missing...)
}

// CheckOperator returns an error if a keyspace cannot have a merge operator
// because nobody knows it.
func (r *Registry) CheckOperator(name, operator string) error {
	if operator != "" && r.cfg.Operators[operator] == nil {
		return &UnknownOperatorError{Operator: operator, Keyspace: name}
	}
	return nil
}

// Add takes up a new keyspace.
func (r *Registry) Add(k manifest.Keyspace) *Info {
	info := &Info{
		ID: k.ID, Name: k.Name,
		Settings: Settings{k.Compression, time.Duration(k.TTLNS), k.Merge},
	}
	if k.Merge != "" {
		r.operators.Store(k.ID, r.cfg.Operators[k.Merge])
		r.merging.Store(true)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[k.Name], r.byID[k.ID] = info, info
	return info
}

// Drop takes off a keyspace and notes what is left of it.
func (r *Registry) Drop(k *Info, dropped manifest.DroppedKeyspace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, k.Name)
	delete(r.byID, k.ID)
	r.dropped[k.ID] = dropped
}

// Forget takes off what is left of dropped keyspaces.
func (r *Registry) Forget(ids []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		delete(r.dropped, id)
	}
}

// DroppedBefore returns the dropped keyspaces none of whose records are as new
// as oldest.
func (r *Registry) DroppedBefore(oldest base.SeqNum) (ids []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, k := range r.dropped {
		if k.LastSeq < oldest {
			ids = append(ids, id)
		}
	}
	return ids
}

// ByName returns the keyspace of a name, or nil.
func (r *Registry) ByName(name string) *Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[name]
}

// Name returns the name of a keyspace that exists, or once did; the default
// one has none.
func (r *Registry) Name(id uint64) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byID[id]; k != nil {
		return k.Name, true
	}
	k, ok := r.dropped[id]
	return k.Name, ok || id == 0
}

// All returns the named keyspaces, in no order.
func (r *Registry) All() []*Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*Info, 0, len(r.byID))
	for _, k := range r.byID {
		out = append(out, k)
	}
	return out
}

// MergeOperator returns the operator of the keyspace that an internal key
// belongs to; nil if it has none. It takes no lock.
func (r *Registry) MergeOperator(key []byte) *merge.Operator {
	if !r.merging.Load() {
		return nil
	}
	id, _ := SplitPrefix(key)
	op, _ := r.operators.Load(id)
	known, _ := op.(*merge.Operator)
	return known
}

// Codec returns the codec policy of the keyspace that an internal key belongs
// to.
func (r *Registry) Codec(key []byte) CodecPolicy {
	id, _ := SplitPrefix(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.policyOf(r.byID[id])
}

// SameCodec reports whether every keyspace has the same codec at two places in
// the tree. With first not nil, only that of the keyspace of this key counts.
func (r *Registry) SameCodec(first []byte, level int, bottom bool, otherLevel int, otherBottom bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := func(codec CodecPolicy) bool {
		return codec(level, bottom) == codec(otherLevel, otherBottom)
	}
	if first != nil {
		id, _ := SplitPrefix(first)
		return same(r.policyOf(r.byID[id]))
	}
	for _, k := range r.byID {
		if !same(r.policyOf(k)) {
			return false
		}
	}
	return same(r.cfg.Codec)
}

// policyOf returns the codec policy of a keyspace; nil is the default one.
func (r *Registry) policyOf(k *Info) CodecPolicy {
	if k != nil && k.Compression != 0 {
		return r.cfg.CodecFor(k.Compression)
	}
	return r.cfg.Codec
}
