package lightning

import "errors"

// HealthStatus says in one word how a database is.
type HealthStatus uint8

// The better ones first.
const (
	// HealthOK: everything works.
	HealthOK HealthStatus = iota
	// HealthDegraded: something does not work, and most does; the reasons say what.
	HealthDegraded
	// HealthReadOnly: no write is accepted; reads are.
	HealthReadOnly
	// HealthFailed: nothing works, as the database is closed.
	HealthFailed
)

func (s HealthStatus) String() string {
	switch s {
	case HealthOK:
		return "ok"
	case HealthDegraded:
		return "degraded"
	case HealthReadOnly:
		return "read-only"
	}
	return "failed"
}

// Health says how a database is, and why.
type Health struct {
	Status  HealthStatus // the worst of the reasons
	Reasons []HealthReason
}

// HealthReason is one thing that is not as it should be.
type HealthReason struct {
	Status HealthStatus // that it leads to
	What   string       // for people
	Err    error        // nil where there is none
	// Mends says that it ends by itself when its cause does.
	Mends bool
	// Do is what a person should do; empty where there is nothing to do.
	Do string
}

// add notes a reason.
func (h *Health) add(r HealthReason) {
	h.Status = max(h.Status, r.Status)
	h.Reasons = append(h.Reasons, r)
}

// newHealth draws the conclusions from the figures of a database.
func newHealth(db *DB) (h Health) {
	m := db.Metrics()
	if m.Levels == nil {
		h.add(HealthReason{Status: HealthFailed, What: "the database is closed", Err: ErrClosed})
		return h
	}
	state := &m.Health
	switch {
	case db.opts.ReadOnly:
		h.add(HealthReason{Status: HealthReadOnly, What: "the database was opened for reading", Err: ErrReadOnly})
	case state.WriteErr != nil:
		h.add(HealthReason{
			Status: HealthReadOnly, What: "writes are refused, because a file could not be written to", Err: state.WriteErr,
			Do: "mend what the error says, close the database and open it again",
		})
	}
	switch {
	case errors.Is(state.ReserveErr, ErrNoSpace):
		h.add(HealthReason{
			Status: HealthDegraded, What: "the disk is full: only deletes are accepted", Err: state.ReserveErr, Mends: true,
			Do: "make room on the disk",
		})
	case state.ReserveErr != nil:
		h.add(HealthReason{
			Status: HealthDegraded, What: "no space can be held for a full disk", Err: state.ReserveErr, Mends: true,
		})
	}
	if state.BackgroundErr != nil {
		h.add(HealthReason{
			Status: HealthDegraded, What: "a flush or compaction has failed; it is tried again", Err: state.BackgroundErr, Mends: true,
		})
	}
	if state.UnreadableFiles > 0 {
		h.add(HealthReason{
			Status: HealthDegraded, What: "files cannot be opened; each read tries again", Err: state.ReadErr, Mends: true,
			Do: "set right what the error says",
		})
	}
	if m.Parity.Unhealed > 0 {
		h.add(HealthReason{
			Status: HealthDegraded, What: "files have lost sectors, which parity makes good, and are not rewritten yet", Mends: true,
			Do: "have a look at the disk; where it does not end, look in the log why a file cannot be healed",
		})
	}
	if state.QuarantinedFiles > 0 || m.Scrub.Damage > 0 {
		h.add(HealthReason{
			Status: HealthDegraded, What: "files are damaged: reads of some keys fail",
			Do: "find out which with Verify, and restore a backup",
		})
	}
	return h
}
