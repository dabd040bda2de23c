package keyspace

import (
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/manifest"
)

// Act makes a keyspace, changes its settings, or drops it. Acts are committed as
// records of base.KindKeyspace, in order with all other writes, and take effect
// when they become visible. They stay in memory, beside the memtable of their
// commit, until its flush brings them into the manifest.
type Act struct {
	ID uint64
	// Keyspace is what the keyspace is from now on; nil: dropped.
	Keyspace *manifest.Keyspace
	// Seq is the sequence number of the record, set when it is applied.
	Seq base.SeqNum
}

// AppendTo appends the value of the act's record, whose key is the prefix of the
// keyspace.
func (a *Act) AppendTo(dst []byte) []byte {
	if a.Keyspace == nil {
		return dst
	}
	return manifest.AppendKeyspace(dst, a.Keyspace)
}

// DecodeAct reads the record of an act.
func DecodeAct(key, value []byte) (Act, error) {
	id, n := SplitPrefix(key)
	if n != len(key) || id == 0 {
		return Act{}, fmt.Errorf("%x is not the prefix of a named keyspace", key)
	}
	if len(value) == 0 {
		return Act{ID: id}, nil
	}
	k, err := manifest.DecodeKeyspace(value)
	if err == nil && k.ID != id {
		err = fmt.Errorf("keyspace %d stands under the prefix of %d", k.ID, id)
	}
	return Act{ID: id, Keyspace: &k}, err
}
