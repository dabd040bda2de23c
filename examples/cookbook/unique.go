package cookbook

import (
	"context"
	"errors"

	"github.com/lightningdb/lightning"
)

// Users have names that do not change, and addresses of which no two have the same.
type Users struct {
	db        *lightning.DB
	addresses *lightning.Keyspace // user: address
	owners    *lightning.Keyspace // address: user
}

// ErrTaken says that another user has an address.
var ErrTaken = errors.New("the address is another user's")

func OpenUsers(ctx context.Context, db *lightning.DB) (*Users, error) {
	addresses, err := db.Keyspace(ctx, "addresses", nil)
	if err != nil {
		return nil, err
	}
	owners, err := db.Keyspace(ctx, "owners", nil)
	return &Users{db, addresses, owners}, err
}

// SetAddress gives a user an address, the first or another one.
func (u *Users) SetAddress(user, address string) error {
	return u.db.Update(func(tx *lightning.Tx) error {
		owner, err := tx.In(u.owners).Get([]byte(address))
		switch {
		case err == nil && string(owner) == user:
			return nil
		case err == nil:
			return ErrTaken
		case !errors.Is(err, lightning.ErrNotFound):
			return err
		}
		old, err := tx.In(u.addresses).Get([]byte(user))
		switch {
		case err == nil:
			if err := tx.In(u.owners).Delete(old); err != nil {
				return err
			}
		case !errors.Is(err, lightning.ErrNotFound):
			return err
		}
		if err := tx.In(u.addresses).Put([]byte(user), []byte(address)); err != nil {
			return err
		}
		return tx.In(u.owners).Put([]byte(address), []byte(user))
	})
}

// Claim takes a name that nobody has. It reports whether it was free.
func Claim(names *lightning.Keyspace, name, user string) (bool, error) {
	return names.PutIfAbsent([]byte(name), []byte(user))
}
