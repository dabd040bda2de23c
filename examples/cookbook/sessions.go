package cookbook

import (
	"context"
	"time"

	"github.com/lightningdb/lightning"
)

const sessionTime = 30 * time.Minute

// OpenSessions returns a keyspace whose keys live for half an hour.
func OpenSessions(ctx context.Context, db *lightning.DB) (*lightning.Keyspace, error) {
	return db.Keyspace(ctx, "sessions", &lightning.KeyspaceOptions{TTL: sessionTime})
}

// UseSession returns the user of a session, whose time begins anew; or lightning.ErrNotFound.
func UseSession(sessions *lightning.Keyspace, token []byte) (user string, err error) {
	value, err := sessions.Get(token)
	if err != nil {
		return "", err
	}
	return string(value), sessions.Touch(token, sessionTime)
}
