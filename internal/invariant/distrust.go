//go:build race && !invariants

package invariant

// TrustUsers says whether assertions may rest on users not writing into memory that
// was lent to them. Under the race detector, under which users run their programs,
// they may not.
const TrustUsers = false
