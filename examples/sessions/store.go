package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/keyenc"
)

// Store keeps sessions. A session is one key that expires: the name of the user and the hash of a
// secret, as a tuple. So the sessions of a user stand one after the other and are listed by a scan,
// and a look-up, a use and the end of a session are each about one key: no index can be out of step
// with it. Whoever reads the files learns no secret.
//
// What a person has asked for, a login or a logout, is durable when it returns. That a session was
// used only goes to the operating system: after a loss of power it may end somewhat too early.
//
// A Store is safe for concurrent use.
type Store struct {
	sessions *lightning.Keyspace
	idle     time.Duration
}

// Session is what is known of a session.
type Session struct {
	ID      string    `json:"id"` // names it to its user; it opens nothing
	User    string    `json:"user"`
	Agent   string    `json:"agent"` // the program that it was begun with
	Began   time.Time `json:"began"`
	Expires time.Time `json:"expires"` // unless it is used before
}

var (
	// ErrNoSession says that a token is none of a session, or that this one has ended.
	ErrNoSession = errors.New("no such session")
	// ErrUser says that a user cannot have a name.
	ErrUser = errors.New("the name of a user has 1 to 200 bytes")
)

const (
	secretBytes  = 32
	userMaxBytes = 200
)

// record is the value of a session.
type record struct {
	Agent string
	Began time.Time
}

// OpenStore returns the store of a database. A session ends when it was not used for idle.
func OpenStore(ctx context.Context, db *lightning.DB, idle time.Duration) (*Store, error) {
	sessions, err := db.Keyspace(ctx, "sessions", nil)
	if err != nil {
		return nil, err
	}
	return &Store{sessions: sessions, idle: idle}, nil
}

// Begin begins a session and returns the token that opens it.
func (s *Store) Begin(ctx context.Context, user, agent string) (token string, err error) {
	if user == "" || len(user) > userMaxBytes {
		return "", ErrUser
	}
	secret := make([]byte, secretBytes)
	rand.Read(secret) // never fails
	key, err := sessionKey(user, secret)
	if err != nil {
		return "", err
	}
	value, err := json.Marshal(record{Agent: agent, Began: time.Now().UTC()})
	if err != nil {
		return "", err
	}
	b := s.sessions.NewBatch()
	if err := b.PutWithTTL(key, value, s.idle); err != nil {
		return "", err
	}
	if err := b.CommitContext(ctx, lightning.DurabilitySync); err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	plain, err := keyenc.Append(nil, user, secret)
	return base64.RawURLEncoding.EncodeToString(plain), err
}

// Use returns the session that a token opens, whose time begins anew. It does not bring back a
// session that ends at the same moment: Touch looks at the key when its turn to write has come.
func (s *Store) Use(token string) (Session, error) {
	key, err := keyOf(token)
	if err != nil {
		return Session{}, err
	}
	value, err := s.sessions.Get(key)
	if err == nil {
		err = s.sessions.Touch(key, s.idle)
	}
	if errors.Is(err, lightning.ErrNotFound) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, err
	}
	return decode(key, value, time.Now().Add(s.idle))
}

// End ends the session with an id, one of its user. To end one that has ended is no error.
func (s *Store) End(ctx context.Context, user, id string) error {
	hash, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return ErrNoSession
	}
	key, err := keyenc.Append(nil, user, hash)
	if err != nil {
		return err
	}
	b := s.sessions.NewBatch()
	if err := b.Delete(key); err != nil {
		return err
	}
	return b.CommitContext(ctx, lightning.DurabilitySync)
}

// Of yields the sessions of a user. An error ends them and comes as the last pair.
func (s *Store) Of(user string) iter.Seq2[Session, error] {
	return func(yield func(Session, error) bool) {
		prefix, err := keyenc.Append(nil, user)
		if err != nil {
			yield(Session{}, err)
			return
		}
		rows, err := s.sessions.Iterator(lightning.IterOptions{Prefix: prefix})
		if err != nil {
			yield(Session{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			session, err := decode(rows.Key(), rows.Value(), rows.ExpiresAt())
			if !yield(session, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Session{}, err)
		}
	}
}

// sessionKey is the key of the session that a secret of a user opens.
func sessionKey(user string, secret []byte) ([]byte, error) {
	hash := sha256.Sum256(secret)
	return keyenc.Append(nil, user, hash[:])
}

// keyOf is the key of the session that a token opens.
func keyOf(token string) ([]byte, error) {
	plain, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, ErrNoSession
	}
	user, secret, err := decodeKey(plain)
	if err != nil {
		return nil, ErrNoSession
	}
	return sessionKey(user, secret)
}

// decodeKey returns the user and what else is in the key of a session, or in a token.
func decodeKey(key []byte) (user string, rest []byte, err error) {
	d := keyenc.NewDecoder(key)
	if user, err = d.String(); err != nil {
		return "", nil, err
	}
	if rest, err = d.Bytes(nil); err != nil {
		return "", nil, err
	}
	return user, rest, d.End()
}

// decode makes a session of its key and value, which it does not keep.
func decode(key, value []byte, expires time.Time) (Session, error) {
	user, hash, err := decodeKey(key)
	if err != nil {
		return Session{}, fmt.Errorf("key of a session: %w", err)
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return Session{}, fmt.Errorf("session of %s: %w", user, err)
	}
	return Session{
		ID: base64.RawURLEncoding.EncodeToString(hash), User: user, Agent: r.Agent, Began: r.Began, Expires: expires.UTC(),
	}, nil
}
