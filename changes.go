package lightning

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/internal/feed"
	"github.com/lightningdb/lightning/internal/loan"
)

// ChangeKind says what a change does. Kinds may be added: treat one that you do
// not know as an error.
type ChangeKind uint8

const (
	// ChangePut gives Key the value Value, until ExpiresAt. That a key has
	// expired is no change: nothing is written then.
	ChangePut = ChangeKind(feed.ChangeSet)
	// ChangeDelete removes Key.
	ChangeDelete = ChangeKind(feed.ChangeDelete)
	// ChangeDeleteRange removes all keys in [Key, End), nil for a bound meaning
	// that there is none.
	ChangeDeleteRange = ChangeKind(feed.ChangeDeleteRange)
	// ChangeMerge applies the operand Value to Key, with the merge operator of
	// the keyspace.
	ChangeMerge = ChangeKind(feed.ChangeMerge)
	// ChangeKeyspace makes a keyspace, or gives one that exists other Options.
	ChangeKeyspace = ChangeKind(feed.ChangeKeyspace)
	// ChangeDropKeyspace drops the keyspace. A range delete of all its keys
	// stands before it.
	ChangeDropKeyspace = ChangeKind(feed.ChangeDropKeyspace)
)

func (k ChangeKind) String() string {
	switch k {
	case ChangePut:
		return "put"
	case ChangeDelete:
		return "delete"
	case ChangeDeleteRange:
		return "delete-range"
	case ChangeMerge:
		return "merge"
	case ChangeKeyspace:
		return "keyspace"
	case ChangeDropKeyspace:
		return "drop-keyspace"
	}
	return fmt.Sprintf("change(%d)", uint8(k))
}

// Change is one operation of a ChangeBatch. Its slices are those of the batch: see
// ChangeBatch.All.
type Change struct {
	Kind ChangeKind
	// Keyspace is the name of the keyspace, as it was when the change was made;
	// empty for the default one.
	Keyspace string
	Key      []byte
	End      []byte // of a ChangeDeleteRange
	Value    []byte // of a ChangePut, or the operand of a ChangeMerge
	// ExpiresAt is when a ChangePut ends; the zero time: never.
	ExpiresAt time.Time
	// Options are those that a ChangeKeyspace gives the keyspace; nil otherwise.
	Options *KeyspaceOptions
}

// ChangeBatch is what one commit wrote: a single write, a Batch or a
// transaction. It is valid for one turn of the loop over DB.Changes.
type ChangeBatch struct {
	// First and Last are its sequence numbers; each change has one, but those of a
	// transaction that was too large for memory, which have fewer. A feed goes on
	// behind the batch at Last+1.
	First, Last uint64
	commit      *feed.Commit
	lender      *loan.Lender
	loans       []*loan.Loan // of the slices that All has handed out
}

// Len returns the number of changes.
func (b *ChangeBatch) Len() int {
	if b.commit == nil {
		return 0 // of the zero ChangeBatch
	}
	return b.commit.Len()
}

// Err returns what has ended the last loop over All before its time; nil if nothing
// has. That happens with a transaction that was too large for memory alone: All reads
// it from files, which are sound when the batch is delivered, but may not be readable
// any more. Ask before the changes count as made; if nobody does, the next turn of the
// loop over DB.Changes has the error.
func (b *ChangeBatch) Err() error {
	if b.commit == nil {
		return nil // of the zero ChangeBatch
	}
	return b.commit.Err()
}

// All returns the changes in order: a later one wins over an earlier one. Their
// slices belong to the feed: they are valid for one turn of the loop over All, and
// must not be written to. Of a transaction that was too large for memory it has what
// that came to: the ranges that were deleted, then of each key the last write, or the
// operands, in the order of the keys; it takes little memory. See Err for how that can
// end.
func (b *ChangeBatch) All() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		if b.Len() == 0 {
			return
		}
		for c := range b.commit.Changes() {
			change := Change{
				Kind: ChangeKind(c.Kind), Keyspace: c.Keyspace, Key: c.Key, End: c.End, Value: c.Value,
				ExpiresAt: asTime(c.Expiry),
			}
			if change.Kind == ChangeKeyspace {
				options := keyspaceOptions(c.Keyspace, c.Settings)
				change.Options = &options
			}
			if b.lender != nil {
				b.loans = append(b.loans, lendAll(b.lender, "ChangeBatch.All", &change.Key, &change.End, &change.Value)...)
			}
			if !yield(change) {
				return
			}
		}
	}
}

// changes is DB.Changes.
func changes(ctx context.Context, s *space, from uint64) iter.Seq2[*ChangeBatch, error] {
	return func(yield func(*ChangeBatch, error) bool) {
		if ctx == nil {
			yield(nil, errNilContext)
			return
		}
		source, err := s.engine.Feed(base.SeqNum(from))
		if err != nil {
			yield(nil, err)
			return
		}
		defer source.Close()
		for {
			commit, err := source.Next(ctx)
			if errors.Is(err, feed.ErrEnd) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			batch := ChangeBatch{
				First: uint64(commit.First), Last: uint64(commit.Last), commit: commit, lender: s.lender,
			}
			if !batch.handOut(yield) {
				return
			}
		}
	}
}

// handOut gives the batch to the loop for one turn, and reports whether that goes
// on. It does not where a slice was written to, which is the loop's last error.
func (b *ChangeBatch) handOut(yield func(*ChangeBatch, error) bool) bool {
	if !yield(b, nil) {
		for _, n := range b.loans {
			n.ReturnLater()
		}
		return false
	}
	if err := returnAll(b.loans); err != nil {
		yield(nil, err)
		return false
	}
	return true
}
