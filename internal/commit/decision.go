package commit

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/internal/keyspace"
	"github.com/lightningdb/lightning/internal/view"
)

// This file has commits that depend on what their key holds: a swap, a counter. Such a
// request comes with a Decision in place of a batch. When its turn has come the leader
// looks at what is visible and at the members of the group that go before it, and has the
// decision made, which fills the batch or declines. So it takes one round through the
// pipeline and conflicts with nobody.

// Decision is what a commit of one key makes of what the key holds. Its functions must not
// wait, nor keep what they are given.
type Decision struct {
	Key []byte // with the prefix of its keyspace
	// SizeBytes is about what the batch will have. Env.Foresee makes it larger where it is
	// to have the value that is there.
	SizeBytes int
	// Check says why nothing is to be written: ErrDeclined, or what is wrong. It may be
	// called at any time.
	Check func(now view.Current) error
	// Write fills the batch, which is empty. It is called after a Check of the same, and again
	// where its group begins again.
	Write func(now view.Current, b *batch.Batch) error
	// Behind says that the decision rests on a member of the group that goes before it.
	// Env.Validate sets it.
	Behind bool
}

// ErrDeclined is returned for a decision to write nothing.
var ErrDeclined = errors.New("commit declined")

// Make makes the decision.
func (x *Decision) Make(now view.Current, b *batch.Batch) error {
	if err := x.Check(now); err != nil {
		return err
	}
	return x.Write(now, b)
}

// Decide commits what a decision comes to, for a key of a keyspace; nil is the default one.
// It returns ErrDeclined where that is nothing. What is declined in advance was so at that
// moment, and takes no turn. Otherwise the leader, who looks again, finds in the caches what
// he needs, so that nobody waits for his reads.
// Of ctx, which may be nil, the same is true as for Commit.
func (p *Pipeline) Decide(ctx context.Context, k *keyspace.Info, x *Decision, d Durability) error {
	if err := p.env.Foresee(x); err != nil {
		return err
	}
	r := p.single(k)
	r.Decision, r.keyspace, r.ctx = x, k, ctx
	return p.commitSingle(r, d, nil)
}

// sizeBytes is about what a request adds to its group.
func (r *Request) sizeBytes() int {
	if r.Decision != nil {
		return r.Decision.SizeBytes
	}
	return r.Batch.SizeBytes()
}

// failBehind gives an error to the decisions of a group that rest on members of it, be it
// that they have declined: what they were made on has not happened.
func failBehind(group []*Request, err error) {
	for _, r := range group {
		if r.Decision != nil && r.Decision.Behind {
			r.err = err
		}
	}
}
