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
	"github.com/lightningdb/lightning/internal/ranked"
)

// CodecPolicy says what the blocks of a table may be stored by, for its level; bottom says
// whether it is the bottom one.
type CodecPolicy func(level int, bottom bool) compress.Policy

// Config says what keyspaces may ask for.
type Config struct {
	// Codec is the policy of keyspaces without a setting of their own.
	Codec CodecPolicy
	// CodecFor decodes a keyspace's own setting, which is not 0.
	CodecFor func(setting uint8) CodecPolicy
	// BlobBytes is from which length on values are kept apart in keyspaces without a setting
	// of their own; 0: never.
	BlobBytes int
	// Operators are the merge operators that keyspaces may have.
	Operators merge.Registry
}

// Registry knows the keyspaces of a database by name and number, and those that
// were dropped but that changes may still mention. It changes by acts, in the order
// of commits. The manifest follows at flushes: unsaved is what it does not have yet.
//
// All methods are safe for concurrent use. Its lock is never held during I/O,
// and no other is taken under it.
type Registry struct {
	cfg Config

	mu      ranked.Mutex[ranked.Keyspaces]
	byName  map[string]*Info
	byID    map[uint64]*Info
	dropped map[uint64]manifest.DroppedKeyspace
	unsaved map[uint64]bool // keyspaces that the manifest has never named
	nextID  uint64
	latest  *Settings // that a keyspace was given; many have the same

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
		unsaved: map[uint64]bool{},
		nextID:  1,
	}
}

// Load takes up the keyspaces of a manifest. It reports every one whose merge
// operator is not known.
func (r *Registry) Load(state *manifest.State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range state.Dropped {
		r.dropped[k.ID] = k
	}
	r.nextID = max(r.nextID, state.NextKeyspaceID)
	count := len(state.Keyspaces)
	r.byName, r.byID = make(map[string]*Info, count), make(map[uint64]*Info, count)
	infos := make([]Info, count)
	var missing []error
	for i := range infos {
		k := &state.Keyspaces[i]
		if err := r.applyOperator(k); err != nil {
			missing = append(missing, err)
			continue
		}
		r.list(&infos[i], k)
	}
	return errors.Join(missing...)
}

// list takes up a keyspace that was not there before.
func (r *Registry) list(info *Info, k *manifest.Keyspace) {
	info.ID, info.Name = k.ID, k.Name
	r.byName[info.Name], r.byID[info.ID] = info, info
	r.set(info, k)
}

// set gives a keyspace its settings.
func (r *Registry) set(info *Info, k *manifest.Keyspace) {
	s := Settings{k.Compression, time.Duration(k.TTLNS), k.Merge, k.BlobBytes}
	if r.latest == nil || *r.latest != s {
		r.latest = new(Settings)
		*r.latest = s
	}
	info.settings.Store(r.latest)
}

// CheckOperator returns an error if a keyspace cannot have a merge operator
// because nobody knows it.
func (r *Registry) CheckOperator(name, operator string) error {
	if operator != "" && r.cfg.Operators[operator] == nil {
		return &UnknownOperatorError{Operator: operator, Keyspace: name}
	}
	return nil
}

// applyOperator notes the merge operator that a keyspace has.
func (r *Registry) applyOperator(k *manifest.Keyspace) error {
	if k.Merge == "" {
		return nil
	}
	if err := r.CheckOperator(k.Name, k.Merge); err != nil {
		return err
	}
	r.operators.Store(k.ID, r.cfg.Operators[k.Merge])
	r.merging.Store(true)
	return nil
}

// Apply has an act take effect: a keyspace is made, changed or dropped. The error
// says that its merge operator is not known. Acts come in order, from one goroutine
// at a time.
func (r *Registry) Apply(a Act) error {
	if a.Keyspace != nil {
		if err := r.applyOperator(a.Keyspace); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nextID = max(r.nextID, a.ID+1)
	info := r.byID[a.ID]
	switch {
	case a.Keyspace == nil && info != nil:
		info.dropped.Store(true)
		delete(r.byName, info.Name)
		delete(r.byID, a.ID)
		r.dropped[a.ID] = manifest.DroppedKeyspace{ID: a.ID, Name: info.Name, LastSeq: a.Seq}
	case a.Keyspace != nil && info == nil:
		r.unsaved[a.ID] = true
		r.list(new(Info), a.Keyspace)
	case a.Keyspace != nil:
		r.set(info, a.Keyspace)
	}
	return nil
}

// NextID returns the number of the next keyspace that is made.
func (r *Registry) NextID() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nextID
}

// AddTo adds what acts come to, the oldest first, to an edit of the manifest.
func (r *Registry) AddTo(e *manifest.Edit, acts []Act) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := make(map[uint64]Act, len(acts))
	order := make([]uint64, 0, len(acts))
	for _, a := range acts {
		if _, again := last[a.ID]; !again {
			order = append(order, a.ID)
		}
		last[a.ID] = a
		e.NextKeyspaceID = max(e.NextKeyspaceID, a.ID+1)
	}
	for _, id := range order {
		if !r.unsaved[id] {
			e.DropKeyspaces = append(e.DropKeyspaces, id)
		}
		if k := last[id].Keyspace; k != nil {
			e.AddKeyspaces = append(e.AddKeyspaces, *k)
		} else {
			e.AddDropped = append(e.AddDropped, r.dropped[id])
		}
	}
}

// Saved notes that an edit is in the manifest.
func (r *Registry) Saved(e *manifest.Edit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range e.AddKeyspaces {
		delete(r.unsaved, e.AddKeyspaces[i].ID)
	}
	for _, k := range e.AddDropped {
		delete(r.unsaved, k.ID)
	}
	for _, id := range e.ForgetDropped {
		delete(r.dropped, id)
	}
}

// AddForgotten adds to an edit the dropped keyspaces that the manifest has and none
// of whose records are as new as oldest.
func (r *Registry) AddForgotten(e *manifest.Edit, oldest base.SeqNum) {
	r.mu.Lock()
	defer r.mu.Unlock()
	justAdded := make(map[uint64]bool, len(e.AddDropped))
	for _, k := range e.AddDropped {
		justAdded[k.ID] = true
	}
	for id, k := range r.dropped {
		if k.LastSeq < oldest && !justAdded[id] {
			e.ForgetDropped = append(e.ForgetDropped, id)
		}
	}
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

// BlobBytes returns from which length on the stored values of the keyspace of an internal key
// are kept apart; 0: never.
func (r *Registry) BlobBytes(key []byte) int {
	id, _ := SplitPrefix(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byID[id]; k != nil {
		switch set := k.Settings().BlobBytes; set {
		case 0:
		case manifest.BlobsNever:
			return 0
		default:
			return int(set)
		}
	}
	return r.cfg.BlobBytes
}

const (
	// pieceBlobs is how many times longer a piece of a large value is than the shortest values
	// that are kept apart, and piecedBlobs how many times longer a value is from which on it is in
	// pieces. By default these are 256 KiB and 4 MiB.
	pieceBlobs  = 64
	piecedBlobs = 1024
	// pieceKeys is how many times longer than its key a piece is at least: the index of a blob
	// table has the key once for each.
	pieceKeys = 16
	// PiecesMin is less than all values that are in pieces.
	PiecesMin = 1024
)

// PieceBytes returns the length of the pieces of large values of the keyspace of a key that is
// kept apart, and from which length on values are in pieces; 0 where none are.
func (r *Registry) PieceBytes(key []byte) (pieceBytes, fromBytes int) {
	blob := r.BlobBytes(key)
	pieceBytes = max(pieceBlobs*blob, pieceKeys*len(key))
	if blob == 0 || pieceBytes > base.MaxValueBytes/2 {
		return 0, 0
	}
	return pieceBytes, max(piecedBlobs*blob, 2*pieceBytes)
}

// SameCodec reports whether every keyspace has the same codec at two places in
// the tree; what may take its place does not count, for it is no reason to write a table
// anew. With first not nil, only that of the keyspace of this key counts.
func (r *Registry) SameCodec(first []byte, level int, bottom bool, otherLevel int, otherBottom bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := func(codec CodecPolicy) bool {
		return codec(level, bottom).Codec == codec(otherLevel, otherBottom).Codec
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
	if k != nil && k.Settings().Compression != 0 {
		return r.cfg.CodecFor(k.Settings().Compression)
	}
	return r.cfg.Codec
}
